# SPDX-License-Identifier: Apache-2.0
"""Proving changes nothing on a host, and says field by field what is not as planned."""

from __future__ import annotations

import time

import pytest

from tests.netns.fleet.conftest import Say
from tests.support.fleets import Fleet
from tether_hw.cli.main import main
from tether_hw.errors import Exit
from tether_hw.fleet import bundle, verify
from tether_hw.fleet.fingerprint import fingerprint
from tether_hw.plan.facts import differences

#: Everything that a verb could leave behind, with its time of change.
LOOK = "find /opt /etc /var/lib /home /root /usr/local -xdev -printf '%p %y %s %T@ %C@\\n' | sort"


def test_verify_on_a_host_without_anything_leaves_it_so(fleet: Fleet, say: Say) -> None:
    fleet.run("a", "rm", "-rf", f"/opt/tether/{bundle.find('x86_64').digest}")
    before = fleet.run("a", "sh", "-c", LOOK)
    code, document = say(fleet.inventory_file, "verify", "--limit", "a")
    assert fleet.run("a", "sh", "-c", LOOK) == before
    assert (code, document["hosts"]) == (Exit.UNPROVED, [])
    found = {check["id"]: (check["result"], check["evidence"]) for check in document["checks"]}
    result, evidence = found.pop("config")
    assert result == "failed"
    assert "engine.service is absent, planned is running" in evidence
    assert "nics.data0.mtu is 1500, planned is 3000" in evidence
    assert {result for name, (result, _) in found.items() if name.startswith("link")} == {"not provable now"}
    missing = {found[name] for name in found if not name.startswith("link")}
    assert missing == {("failed", "the bundle of this suite is not on the host: tether apply places it")}


def test_a_host_with_another_identity_key_is_refused(fleet: Fleet, say: Say) -> None:
    old = fleet.inventory.keys["a"][0]
    fleet.run("a", "mv", "/etc/tether/identity.key", "/etc/tether/identity.old")
    try:
        fleet.run("a", "sh", "-c", f"umask 077; printf '{'5a' * 32}\\n' > /etc/tether/identity.key")
        code, document = say(fleet.inventory_file, "verify", "--limit", "a")
    finally:
        fleet.run("a", "mv", "/etc/tether/identity.old", "/etc/tether/identity.key")
    assert (code, document["checks"]) == (Exit.FAILED, [])
    (refused,) = document["hosts"]
    assert (refused["host"], refused["result"], refused["exit"]) == ("a", "refused", Exit.FAILED)
    assert f"recorded {fingerprint(old)}, shown SHA256:" in refused["message"]


def test_the_runs_of_another_suite_are_listed_and_taken_back(fleet: Fleet, say: Say) -> None:
    before = fleet.facts("a")
    code, document = say(fleet.inventory_file, "apply", "--yes", "--limit", "a")
    assert code == 0
    run = document["run"]
    ours = f"/opt/tether/{bundle.find('x86_64').digest}"
    fleet.run("a", "cp", "-a", ours, "/opt/tether/" + "0" * 64)
    fleet.run("a", "rm", "-rf", ours)  # as if this suite were another one
    look = fleet.run("a", "sh", "-c", LOOK)
    code, document = say(fleet.inventory_file, "runs", "--limit", "a")
    assert fleet.run("a", "sh", "-c", LOOK) == look
    assert code == 0
    assert [known["state"] for known in document["hosts"][0]["runs"] if known["run"] == run] == ["confirmed"]
    code, document = say(fleet.inventory_file, "rollback", "last", "--yes", "--limit", "a")
    fleet.run("a", "rm", "-rf", "/opt/tether/" + "0" * 64)
    assert (code, document["run"]) == (0, run)
    assert differences(before.config, fleet.facts("a").config) == []


def test_a_cut_link_names_the_nic_and_a_stopped_engine_is_not_waited_for(
    fleet: Fleet, say: Say, capsys: pytest.CaptureFixture[str]
) -> None:
    inventory = fleet.inventory_file
    code, document = say(inventory, "apply", "--yes")
    assert code == 0, document
    run = document["run"]
    fleet.fault("b", "cut-link", "all")
    try:
        code, document = say(inventory, "verify")
    finally:
        fleet.heal("b")
    assert code == Exit.UNPROVED
    failed = {check["host"]: check["evidence"] for check in document["checks"] if check["result"] == "failed"}
    assert set(failed) == {"a", "b"}
    assert all(evidence.startswith("b.data0 has no carrier; ") for evidence in failed.values()), failed

    fleet.run("a", "rm", "/etc/tether/at-boot")  # nothing makes the host again
    fleet.reboot("a")
    began = time.monotonic()
    answer = fleet.reach()
    checks, errors = verify.local(answer, {"a": fleet.plan({"a": fleet.facts("a")}).hosts["a"]})
    took = time.monotonic() - began
    assert errors == {}
    stopped = [check["evidence"] for check in checks if check["check"] == "engine"]
    assert len(stopped) == 1
    assert stopped[0].startswith("the engine is stopped"), stopped
    assert took < 12, took

    code, document = say(inventory, "rollback", run, "--yes")
    assert code == 0, document
    capsys.readouterr()
    assert main(["runs", "-i", str(inventory), "--limit", "b"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(run)]
    assert "b: taken-back, 5 of 5 steps carried out, all of them taken back, by " in line
