# SPDX-License-Identifier: Apache-2.0
"""The verbs as people and scripts use them: one JSON document on stdout, exit codes, links proved and disproved."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.netns.fleet.conftest import Say, own_inventory
from tests.support.fleets import Fleet
from tests.support.labs import Lab
from tether_hw.errors import Exit
from tether_hw.fleet import bundle
from tether_hw.plan.facts import differences


def by_host(document: dict[str, Any]) -> dict[str, str]:
    return {entry["host"]: entry["result"] for entry in document["hosts"]}


def test_apply_verify_wrong_queue_and_rollback(fleet: Fleet, say: Say, tmp_path: Path) -> None:
    inventory = fleet.inventory_file
    before = {host: fleet.facts(host).config for host in ("a", "b")}

    code, document = say(inventory, "apply", "--yes")
    assert (code, document["schema"], by_host(document)) == (0, "tether.apply/1", {"a": "confirmed", "b": "confirmed"})
    run = document["run"]
    assert {check["result"] for check in document["checks"]} == {"proved"}
    assert {(check["host"], check["check"]) for check in document["checks"]} == {("a", "link"), ("b", "link")}

    code, document = say(inventory, "plan", "--detailed-exitcode")
    assert (code, document["changes"]) == (0, 0)
    code, document = say(inventory, "apply", "--yes")
    assert (code, document["run"], by_host(document)) == (0, None, {"a": "unchanged", "b": "unchanged"})

    code, document = say(inventory, "verify")
    assert (code, document["schema"]) == (0, "tether.verify/1")
    assert {check["result"] for check in document["checks"]} == {"proved"}
    assert {check["check"] for check in document["checks"]} == {"config", "engine", "lane", "link"}
    assert all({"host", "nic", "check", "result", "evidence"} <= set(check) for check in document["checks"])

    fleet.fault("b", "wrong-queue", "all")
    try:
        code, document = say(inventory, "verify")
    finally:
        fleet.heal("b")
    failed = [check for check in document["checks"] if check["result"] == "failed"]
    assert code == Exit.UNPROVED
    assert [(check["host"], check["check"]) for check in failed] == [("b", "link")]
    assert "data0 queue 0" in failed[0]["evidence"]
    assert "came in here" in failed[0]["evidence"]

    fleet.run("a", "ip", "link", "set", "data0", "mtu", "2900")
    code, document = say(inventory, "verify", "--limit", "a")
    fleet.run("a", "ip", "link", "set", "data0", "mtu", "3000")
    assert code == Exit.UNPROVED
    results = {check["check"]: check["result"] for check in document["checks"]}
    assert results["config"] == "failed"
    (differs,) = [check["evidence"] for check in document["checks"] if check["check"] == "config"]
    assert differs == "nics.data0.mtu is 2900, planned is 3000"
    assert results["link"] == "not provable now"

    code, document = say(inventory, "runs")
    assert (code, document["schema"]) == (0, "tether.runs/1")
    assert [known["state"] for known in document["hosts"][0]["runs"] if known["run"] == run] == ["confirmed"]
    assert run in document["here"]

    code, document = say(inventory, "rollback", run, "--yes")
    assert (code, document["schema"]) == (0, "tether.rollback/1")
    assert by_host(document) == {"a": "taken-back", "b": "taken-back"}
    for host, config in before.items():
        assert differences(config, fleet.facts(host).config) == []


def test_a_saved_plan_waits_for_its_confirm(fleet: Fleet, say: Say, tmp_path: Path) -> None:
    inventory, saved = fleet.inventory_file, tmp_path / "p.plan"
    code, document = say(inventory, "plan", "-o", str(saved), "--limit", "a")
    assert code == 0
    code, document = say(inventory, "apply", str(saved), "--yes", "--no-confirm")
    assert code == 0
    run = document["run"]
    assert by_host(document) == {"a": "awaiting"}
    assert document["next"] == [f"tether confirm {run}", f"tether rollback {run}"]
    code, document = say(inventory, "apply", "--yes", "--limit", "a")
    assert (code, by_host(document), document["run"]) == (Exit.LOCKED, {"a": "locked"}, None)
    assert run in document["hosts"][0]["message"]
    code, document = say(inventory, "plan", "--limit", "a")
    assert (code, document["changes"]) == (0, 0)
    assert any(run in note["note"] and "not confirmed" in note["note"] for note in document["notes"])
    code, document = say(inventory, "confirm", run, "--limit", "a")
    assert (code, document["schema"], by_host(document)) == (0, "tether.confirm/1", {"a": "confirmed"})
    code, document = say(inventory, "resume", run, "--yes")
    assert (code, document["schema"], by_host(document)) == (0, "tether.resume/1", {"a": "confirmed"})
    code, document = say(inventory, "rollback", run, "--yes")
    assert (code, by_host(document)) == (0, {"a": "taken-back"})


def test_keys_are_shown_and_a_question_without_a_terminal_is_an_error(fleet: Fleet, say: Say) -> None:
    code, document = say(fleet.inventory_file, "key", "enroll")
    assert (code, document["schema"], by_host(document)) == (
        0,
        "tether.key.enroll/1",
        {"a": "enrolled", "b": "enrolled"},
    )
    code, document = say(fleet.inventory_file, "key", "show")
    assert (code, document["schema"]) == (0, "tether.key.show/1")
    assert all(entry["keys"][0]["fingerprint"].startswith("SHA256:") for entry in document["hosts"])
    code, document = say(fleet.inventory_file, "apply")
    assert (code, document["schema"]) == (Exit.ERROR, "tether.error/1")
    assert "--yes" in document["hint"]


def test_a_third_host_joins_during_a_transfer(new_lab: Callable[..., Lab], say: Say, tmp_path: Path) -> None:
    lab = new_lab(hosts=3)
    three = own_inventory(lab, tmp_path)
    two = tmp_path / "two" / "fleet.yaml"
    two.parent.mkdir()
    lines = [line for line in three.read_text().splitlines() if not line.startswith("  c: ")]
    two.write_text("\n".join(lines).replace(", c.data0", "") + "\n")
    code, document = say(two, "apply", "--yes")
    assert code == 0, document
    (tmp_path / "fleet.keys.yaml").write_text((two.parent / "fleet.keys.yaml").read_text())

    digest = lab.inside("a", "ls", "-t", "/opt/tether").stdout.split()[0]
    engine = f"/opt/tether/{digest}/bin/tether-engine"
    lab.ssh("a", "head -c 268435456 /dev/urandom > /root/big")
    script = f"{engine} recv --to /root/big --json > /root/recv.json 2>/root/recv.err & echo started"
    assert "started" in lab.ssh("b", f"nohup sh -c '{script}' </dev/null >/dev/null 2>&1 & echo started").stdout
    send = f"{engine} send /root/big b --json > /root/send.json 2>/root/send.err; echo $? > /root/send.done"
    lab.ssh("a", f"nohup sh -c '{send}' </dev/null >/dev/null 2>&1 & echo started")

    code, document = say(three, "apply", "--yes")
    assert code == 0, document
    assert by_host(document) == {"a": "confirmed", "b": "confirmed", "c": "confirmed"}
    assert {check["result"] for check in document["checks"]} == {"proved"}

    wait = (
        "for i in $(seq 600); do test -e /root/send.done && break; sleep 0.1; done; cat /root/send.done /root/send.err"
    )
    assert lab.ssh("a", wait).stdout.splitlines()[0] == "0", lab.ssh("a", "cat /root/send.err").stdout
    sums = {lab.ssh(host, "sha256sum < /root/big").stdout for host in ("a", "b")}
    assert len(sums) == 1
    stats = json.loads(lab.ssh("a", f"{engine} stats --json").stdout)
    transfer = json.loads(lab.ssh("a", "cat /root/send.json").stdout)["transfers"][0]
    assert stats["uptime_s"] > transfer["seconds"], "the engine was started anew for the roster"
    assert {peer["name"] for peer in stats["peers"]} == {"b", "c"}


def test_an_interrupted_apply_says_how_to_go_on(fleet: Fleet, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "bundle_path", lambda arch: fleet.bundle.path.with_name(f"tether-{arch}.tar"))
    fleet.gate("a", "arm.end")
    paused: list[int] = []

    def interrupt() -> None:
        paused.append(fleet.paused("a"))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    code, document = say(fleet.inventory_file, "apply", "--yes", "--limit", "a")
    thread.join(10)
    assert (code, document["schema"]) == (Exit.INTERRUPTED, "tether.error/1"), document
    told = f"{document['message']} {document['hint']}"
    found = re.search(r"tether resume (r\S+?),? ", told + " ")
    assert found, told
    run = found.group(1)
    fleet.signal("a", paused[0], "CONT")
    code, document = say(fleet.inventory_file, "resume", run, "--yes", "--limit", "a")
    assert (code, by_host(document)) == (0, {"a": "confirmed"})
    code, document = say(fleet.inventory_file, "rollback", run, "--yes", "--limit", "a")
    assert (code, by_host(document)) == (0, {"a": "taken-back"})
