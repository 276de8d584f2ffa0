# SPDX-License-Identifier: Apache-2.0
"""What apply says and does where it cannot simply go on: no bundle, a moved host, Ctrl-C before the first host."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from tests.netns.fleet.conftest import Say
from tests.netns.fleet.test_verbs import by_host
from tests.support.fleets import Fleet
from tether_hw.errors import Exit
from tether_hw.fleet import bundle
from tether_hw.fleet.reach import Reach

BACK = "mkdir -p /opt/tether; cp -an /opt/tether.away/. /opt/tether; rm -r /opt/tether.away"


def test_apply_places_the_bundle_that_reads_the_identity_key(fleet: Fleet, say: Say) -> None:
    fleet.run("a", "mv", "/opt/tether", "/opt/tether.away")
    try:
        code, document = say(fleet.inventory_file, "plan", "--limit", "a")
        assert code == Exit.FAILED
        assert "it shows no identity key" in document["refusals"][0]["reason"]
        assert fleet.run("a", "ls", "/opt").split() == ["tether.away"]
        code, document = say(fleet.inventory_file, "apply", "--yes", "--limit", "a")
        assert (code, by_host(document)) == (0, {"a": "confirmed"}), document
        code, document = say(fleet.inventory_file, "rollback", document["run"], "--yes", "--limit", "a")
        assert (code, by_host(document)) == (0, {"a": "taken-back"})
    finally:
        fleet.run("a", "sh", "-c", BACK)


def test_a_lost_key_is_not_made_anew_by_apply(fleet: Fleet, say: Say) -> None:
    fleet.run("a", "mv", "/etc/tether/identity.key", "/etc/tether/identity.old")
    try:
        code, document = say(fleet.inventory_file, "apply", "--yes", "--limit", "a")
        assert (code, by_host(document)) == (Exit.FAILED, {"a": "refused"})
        assert "it shows no identity key" in document["hosts"][0]["message"]
        assert fleet.run("a", "sh", "-c", "ls /etc/tether").split() == ["identity.old"]
    finally:
        fleet.run("a", "mv", "/etc/tether/identity.old", "/etc/tether/identity.key")


def test_a_saved_plan_without_steps_looks_at_its_hosts(fleet: Fleet, say: Say, tmp_path: Path) -> None:
    inventory, saved = fleet.inventory_file, str(tmp_path / "p.plan")
    code, document = say(inventory, "apply", "--yes", "--limit", "a", "--no-confirm")
    assert (code, by_host(document)) == (0, {"a": "awaiting"})
    run = document["run"]
    try:
        code, document = say(inventory, "plan", "-o", saved, "--limit", "a")
        assert (code, document["changes"]) == (0, 0)
        code, document = say(inventory, "apply", saved, "--yes")
        assert (code, by_host(document)) == (Exit.LOCKED, {"a": "locked"}), document
        assert run in document["hosts"][0]["message"]
        code, document = say(inventory, "confirm", run, "--limit", "a")
        assert (code, by_host(document)) == (0, {"a": "confirmed"})
        code, document = say(inventory, "apply", saved, "--yes")
        assert (code, by_host(document)) == (0, {"a": "unchanged"}), document
        fleet.run("a", "ip", "link", "set", "data0", "mtu", "2900")
        code, document = say(inventory, "apply", saved, "--yes")
        fleet.run("a", "ip", "link", "set", "data0", "mtu", "3000")
        assert (code, by_host(document)) == (Exit.FAILED, {"a": "refused"}), document
        (difference,) = document["hosts"][0]["detail"]["differences"]
        assert (difference["path"], difference["before"], difference["after"]) == (["nics", "data0", "mtu"], 3000, 2900)
    finally:
        code, document = say(inventory, "rollback", run, "--yes", "--limit", "a")
    assert (code, by_host(document)) == (0, {"a": "taken-back"})


def test_a_host_that_moved_does_not_keep_the_others_from_a_saved_plan(fleet: Fleet, say: Say, tmp_path: Path) -> None:
    inventory, saved = fleet.inventory_file, str(tmp_path / "p.plan")
    code, document = say(inventory, "apply", "--yes", "--limit", "a")
    assert code == 0, document
    first = document["run"]
    code, document = say(inventory, "plan", "-o", saved)
    assert (code, {step["host"] for step in document["steps"]}) == (0, {"b"})
    fleet.run("a", "ip", "link", "set", "data0", "mtu", "2900")
    code, document = say(inventory, "apply", saved, "--yes")
    fleet.run("a", "ip", "link", "set", "data0", "mtu", "3000")
    second = document["run"]
    results = [(entry["host"], entry["result"]) for entry in document["hosts"]]
    links = {check["result"] for check in document["checks"]}
    for run, host in ((second, "b"), (first, "a")):
        taken, told = say(inventory, "rollback", run, "--yes", "--limit", host)
        assert taken == 0, told
    assert (code, results) == (Exit.FAILED, [("a", "refused"), ("b", "confirmed")])
    assert links == {"not provable now"}


def test_ctrl_c_before_anything_was_staged_claims_no_run(
    fleet: Fleet, say: Say, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bundle, "bundle_path", lambda arch: fleet.bundle.path.with_name(f"tether-{arch}.tar"))
    saved = tmp_path / "p.plan"
    code, _ = say(fleet.inventory_file, "plan", "-o", str(saved), "--limit", "a")
    assert code == 0
    connect, at_door, go_on = Reach.session, threading.Event(), threading.Event()

    def slow(reach: Reach, host: str) -> object:
        if threading.current_thread() is not threading.main_thread():
            at_door.set()
            go_on.wait(30)
        return connect(reach, host)

    def interrupt() -> None:
        at_door.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Reach, "session", slow)
    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    code, document = say(fleet.inventory_file, "apply", str(saved), "--yes")
    go_on.set()
    thread.join(10)
    monkeypatch.undo()
    assert (code, document["schema"]) == (Exit.INTERRUPTED, "tether.error/1"), document
    assert (document["message"], document["hint"]) == ("interrupted; no host had begun, nothing is left of it", None)
    assert fleet.facts("a").status["pending"] is None
