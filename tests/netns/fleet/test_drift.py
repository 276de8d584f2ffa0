# SPDX-License-Identifier: Apache-2.0
"""Drift as it is seen over SSH: what somebody changed with a tool of the host, with its cause; nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.netns.fleet.conftest import Say
from tests.support.fleets import Fleet
from tether_hw.errors import Exit
from tether_hw.fleet import bundle

#: Everything of a host that has a name or a content, with the time of its last change; not sshd's log of logins.
STATE = "find /etc /opt /var /root /home /run /srv /usr/local -xdev -path /var/log -prune -o -printf '%p %i %T@ %C@\\n'"


def drifted(document: dict[str, Any], host: str) -> dict[str, dict[str, Any]]:
    """Path -> entry."""
    (entry,) = [entry for entry in document["hosts"] if entry["host"] == host]
    return {".".join(item["path"]): item for item in entry["drift"]}


@pytest.mark.pain(12)
def test_drift_of_each_part_with_its_cause(
    fleet: Fleet, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "bundle_path", lambda arch: fleet.bundle.path.with_name(f"tether-{arch}.tar"))
    inventory = fleet.inventory_file
    code, document = say(inventory, "apply", "--yes", "--limit", "a")
    assert code == 0, document
    run = document["run"]

    before = fleet.run("a", "sh", "-c", STATE)
    code, document = say(inventory, "drift", "a", "--detailed-exitcode")
    assert (code, document["drift"], document["hosts"][0]["result"]) == (0, 0, "as-kept")
    assert document["hosts"][0]["kept"]["run"] == run
    assert fleet.run("a", "sh", "-c", STATE) == before

    fleet.run("a", "ip", "link", "set", "data0", "mtu", "2900")
    script = "cp $1 /root/roster; echo ' ' >> $1; touch -d 2026-01-02T03:04:05Z $1"
    fleet.run("a", "sh", "-c", script, "sh", "/etc/tether/roster.json")
    code, document = say(inventory, "drift", "a", "--detailed-exitcode")
    assert (code, document["schema"], document["drift"]) == (Exit.CHANGES, "tether.drift/1", 2)
    found = drifted(document, "a")
    assert set(found) == {"nics.data0.mtu", "engine.roster_sha256"}
    assert (found["nics.data0.mtu"]["was"], found["nics.data0.mtu"]["is"]) == (3000, 2900)
    assert found["nics.data0.mtu"]["planned"]
    (cause,) = found["engine.roster_sha256"]["causes"]
    assert cause == {"what": "file", "words": "the file was last written at 2026-01-02T03:04:05Z and belongs to root"}
    code, document = say(inventory, "drift", "a")
    assert (code, document["drift"]) == (0, 2)

    noisy = tmp_path / "noisy.yaml"
    noise = "drift: {ignore: [{path: nics.data0.mtu, reason: a bench, until: 2099-01-01}]}\n"
    noisy.write_text(inventory.read_text() + noise)
    noisy.with_name("noisy.keys.yaml").write_text(inventory.with_name("fleet.keys.yaml").read_text())
    code, document = say(noisy, "drift", "a", "--detailed-exitcode")
    assert (code, document["drift"], document["ignored"]) == (Exit.CHANGES, 1, 1)
    noisy.write_text(inventory.read_text() + noise.replace("2099", "2020"))
    code, document = say(noisy, "drift", "a")
    assert (document["drift"], document["ignored"], len(document["expired"])) == (2, 0, 1)

    fleet.run("a", "cp", "/root/roster", "/etc/tether/roster.json")
    fleet.run("a", "ip", "link", "set", "data0", "mtu", "3000")
    code, document = say(inventory, "drift", "a", "--detailed-exitcode")
    assert (code, document["drift"]) == (0, 0)

    fleet.reboot("a")  # the boot plan makes the host again
    code, document = say(inventory, "drift", "a", "--detailed-exitcode")
    assert (code, document["drift"]) == (0, 0)
    fleet.run("a", "mv", "/etc/tether/at-boot", "/root/at-boot")
    fleet.reboot("a")
    fleet.run("a", "mv", "/root/at-boot", "/etc/tether/at-boot")
    code, document = say(inventory, "drift", "a", "--detailed-exitcode")
    found = drifted(document, "a")
    assert code == Exit.CHANGES
    assert found["engine.service"]["causes"][0]["what"] == "boot"

    code, document = say(inventory, "rollback", run, "--yes", "--limit", "a")
    assert code == 0, document
    code, document = say(inventory, "drift", "a", "--detailed-exitcode")
    assert (code, document["drift"], document["hosts"][0]["kept"]["state"]) == (0, 0, "taken-back")


def test_a_host_that_another_run_holds_says_which(fleet: Fleet, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "bundle_path", lambda arch: fleet.bundle.path.with_name(f"tether-{arch}.tar"))
    code, document = say(fleet.inventory_file, "apply", "--yes", "--no-confirm", "--limit", "a")
    assert code == 0, document
    run = document["run"]
    code, document = say(fleet.inventory_file, "drift", "a")
    entry = document["hosts"][0]
    if entry["kept"] is not None:
        causes = {cause["words"] for item in entry["drift"] for cause in item["causes"] if cause["what"] == "run"}
        assert any(run in words and "awaiting" in words for words in causes)
    code, document = say(fleet.inventory_file, "rollback", run, "--yes", "--limit", "a")
    assert code == 0, document
