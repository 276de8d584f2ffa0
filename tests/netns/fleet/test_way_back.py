# SPDX-License-Identifier: Apache-2.0
"""The way back: older runs in order, refused out of order, and both ends of a link that was not proved."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.netns.fleet.conftest import Say
from tests.netns.fleet.test_verbs import by_host
from tests.support.fleets import Fleet
from tether_hw.errors import Exit
from tether_hw.fleet import bundle, state
from tether_hw.plan.facts import differences


@pytest.fixture(autouse=True)
def own_bundle(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "bundle_path", lambda arch: fleet.bundle.path.with_name(f"tether-{arch}.tar"))


def other_mtu(fleet: Fleet, mtu: int) -> Path:
    """The same fleet with another MTU on its link."""
    path = fleet.inventory_file.with_name(f"mtu-{mtu}.yaml")
    text = fleet.inventory_file.read_text()
    assert "mtu: 3000" in text
    path.write_text(text.replace("mtu: 3000", f"mtu: {mtu}") + "keys_file: fleet.keys.yaml\n")
    return path


def test_older_runs_go_back_in_order(fleet: Fleet, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    inventory = fleet.inventory_file
    before = {host: fleet.facts(host).config for host in ("a", "b")}
    made = []
    # The second controller's clock is a year behind: names do not tell the order.
    for number, (path, shift_s) in enumerate([(inventory, 0), (other_mtu(fleet, 2800), -31_536_000)]):
        now = time.gmtime(time.time() + shift_s)
        name = time.strftime(f"r%Y%m%d-%H%M%S-00000{number}", now)
        monkeypatch.setattr(state, "new_run", lambda name=name: name)
        code, document = say(path, "apply", "--yes", "--limit", "a,b")
        assert code == 0, document
        made.append(document["run"])
    first, second = made
    assert second < first
    assert [one["run"] for one in fleet.ask("a", "runs", {})["runs"]][-2:] == [first, second]

    code, document = say(inventory, "rollback", first, "--yes")
    assert (code, by_host(document)) == (Exit.FAILED, {"a": "refused", "b": "refused"})
    assert all(second in entry["message"] for entry in document["hosts"])
    assert all(f"--to {first}" in entry["hint"] for entry in document["hosts"])
    assert fleet.facts("a").config["nics"]["data0"]["mtu"] == 2800

    code, document = say(inventory, "rollback", "--to", first, "--yes")
    assert (code, by_host(document)) == (0, {"a": "taken-back", "b": "taken-back"})
    assert [entry["runs"] for entry in document["hosts"]] == [[second, first]] * 2
    for host, config in before.items():
        assert differences(config, fleet.facts(host).config) == []
    code, document = say(inventory, "rollback", "--to", first, "--yes")
    assert (code, [entry["runs"] for entry in document["hosts"]]) == (0, [[], []])


def test_the_way_back_ends_at_what_somebody_changed(fleet: Fleet, say: Say) -> None:
    inventory = fleet.inventory_file
    code, document = say(inventory, "apply", "--yes", "--limit", "a")
    assert code == 0, document
    run = document["run"]
    fleet.run("a", "ip", "link", "set", "data0", "mtu", "2900")
    code, document = say(inventory, "rollback", run, "--yes", "--limit", "a")
    config = fleet.facts("a").config
    fleet.run("a", "ip", "link", "set", "data0", "mtu", "1500")
    assert code == Exit.FAILED
    assert "nics.data0.mtu differs" in document["hosts"][0]["message"]
    assert (config["nics"]["data0"]["mtu"], config["engine"]["service"]) == (2900, "absent")


def test_both_ends_of_an_unproven_link_are_taken_back(fleet: Fleet, say: Say) -> None:
    before = {host: fleet.facts(host).config for host in ("a", "b")}
    fleet.fault("b", "wrong-queue", "all")
    try:
        code, document = say(fleet.inventory_file, "apply", "--yes", "--rollback-unproven")
    finally:
        fleet.heal("b")
    assert (code, by_host(document)) == (Exit.ROLLED_BACK, {"a": "rolled-back", "b": "rolled-back"})
    assert all("link was not proved: b: link-" in entry["message"] for entry in document["hosts"])
    assert {check["host"] for check in document["checks"] if check["result"] == "failed"} == {"b"}
    for host, config in before.items():
        assert differences(config, fleet.facts(host).config) == []


def test_a_proven_link_stays(fleet: Fleet, say: Say) -> None:
    code, document = say(fleet.inventory_file, "apply", "--yes", "--rollback-unproven")
    assert (code, by_host(document)) == (0, {"a": "confirmed", "b": "confirmed"})
    code, document = say(fleet.inventory_file, "rollback", document["run"], "--yes")
    assert code == 0


@pytest.mark.parametrize(
    "words",
    [("rollback", "--yes"), ("rollback", "r1", "--to", "r1"), ("apply", "--no-confirm", "--rollback-unproven")],
)
def test_contradictions_are_usage(words: tuple[str, ...], fleet: Fleet) -> None:
    from tether_hw.cli.main import main

    assert main([*words, "-i", str(fleet.inventory_file)]) == Exit.USAGE
