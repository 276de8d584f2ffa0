# SPDX-License-Identifier: Apache-2.0
"""The transaction as a whole: who may confirm, who holds the host, what is refused, what is left alone."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.fleets import Background, Fleet, new_run
from tether_hw.errors import Exit, HostRefused
from tether_hw.fleet import runs
from tether_hw.fleet.apply import Application, Wish
from tether_hw.fleet.host_run import HostRun
from tether_hw.plan.facts import Facts, differences
from tether_hw.plan.plan import Plan


@pytest.fixture(scope="module")
def plan(fleet: Fleet, before: dict[str, Facts]) -> Plan:
    return fleet.plan(before)


def variant(fleet: Fleet, folder: Path, more: str = "", **changes: str) -> Fleet:
    """The same hosts under another inventory."""
    text = fleet.inventory_file.read_text()
    for old, new in changes.items():
        text = text.replace(old.replace("__", ": "), new)
    path = folder / "variant.yaml"
    path.write_text(text + more)
    keys = fleet.inventory.keys_file
    path.with_name("variant.keys.yaml").write_text(keys.read_text())
    return replace(fleet, inventory_file=path)


def take_back(fleet: Fleet, host: str, run: str) -> None:
    results = runs.rollback(fleet.reach(), [host], run)
    assert [result["exit"] for result in results] == [0], results


def test_a_host_whose_listener_died_is_taken_back_though_the_old_session_lives(
    fleet: Fleet, plan: Plan, tmp_path: Path
) -> None:
    short = variant(fleet, tmp_path, "apply: {confirm_timeout_s: 5}\n")
    run = new_run()
    short.gate("a", "verify.end")
    background = Background(short, plan, "a", run)
    pid = short.paused("a")
    try:
        short.fault("a", "cut-ssh", "listener")
        short.signal("a", pid, "CONT")
        result = background.join()
    finally:
        short.heal("a")
    assert result["result"] == "rolled-back", result
    assert result["exit"] == Exit.ROLLED_BACK
    assert "not confirmed in time" in result["message"]


def test_a_session_from_before_the_last_step_may_not_confirm(fleet: Fleet, plan: Plan) -> None:
    run = new_run()
    old_session, old_agent = fleet.agent("a")
    with old_session:
        one = Application(fleet.reach(), replace(plan, hosts={"a": plan.hosts["a"]}), Wish(confirm=False), run)
        assert one.carry_out()[0]["result"] == "awaiting"
        with pytest.raises(HostRefused, match="was there") as refused:
            old_agent.call("confirm", {"run": run})
        assert refused.value.code == "not-fresh"
        assert old_agent.call("status", {"run": run})["state"] == "awaiting"
    assert runs.confirm(fleet.reach(), ["a"], run)[0]["result"] == "confirmed"
    assert runs.confirm(fleet.reach(), ["a"], run)[0]["message"] == "confirmed already"
    take_back(fleet, "a", run)


def test_the_second_controller_is_told_who_holds_the_host(
    fleet: Fleet, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run()
    monkeypatch.setenv("TETHER_STATE", str(tmp_path / "one"))
    fleet.gate("a", "arm.end")
    background = Background(fleet, plan, "a", run)
    pid = fleet.paused("a")
    monkeypatch.setenv("TETHER_STATE", str(tmp_path / "two"))
    second = fleet.apply(plan, "a")
    assert second["result"] == "locked"
    assert second["exit"] == Exit.LOCKED
    assert run in second["message"]
    assert second["detail"]["holder"] in second["message"]
    assert second["detail"]["since"] in second["message"]
    fleet.signal("a", pid, "CONT")
    assert background.join()["result"] == "confirmed"
    take_back(fleet, "a", run)


def test_a_plan_made_from_other_facts_is_refused_with_the_difference(fleet: Fleet, plan: Plan) -> None:
    fleet.run("a", "ip", "link", "set", "data0", "mtu", "1700")
    try:
        result = fleet.apply(plan, "a")
    finally:
        fleet.run("a", "ip", "link", "set", "data0", "mtu", "1500")
    assert result["result"] == "refused"
    assert result["exit"] == Exit.FAILED
    assert result["detail"]["differences"] == [{"path": ["nics", "data0", "mtu"], "before": 1500, "after": 1700}]
    assert "nics.data0.mtu was 1500, is 1700" in result["message"]


def test_a_plan_that_shows_other_commands_than_it_means_is_refused(fleet: Fleet, plan: Plan) -> None:
    steps = list(plan.hosts["a"].steps)
    steps[0] = replace(steps[0], argv=(("true",),))
    forged = replace(plan, hosts={"a": replace(plan.hosts["a"], steps=tuple(steps))})
    result = fleet.apply(forged, "a")
    assert result["result"] == "refused"
    assert "other commands" in result["message"]


def test_an_unreachable_host_is_4_and_the_other_is_done(fleet: Fleet, plan: Plan) -> None:
    run = new_run()
    fleet.fault("b", "cut-ssh", "all")
    try:
        results = Application(replace(fleet.reach(), timeout_s=5.0), plan, Wish(), run).carry_out()
    finally:
        fleet.heal("b")
    assert {result["host"]: result["result"] for result in results} == {"a": "confirmed", "b": "unreachable"}
    assert {result["host"]: result["exit"] for result in results} == {"a": 0, "b": Exit.UNREACHABLE}
    take_back(fleet, "a", run)


@pytest.mark.pain(4)
def test_a_host_that_drops_everything_is_4_at_its_deadline(fleet: Fleet, plan: Plan) -> None:
    fleet.fault("b", "cut-ssh", "silent")
    try:
        begun = time.monotonic()
        one = Application(replace(fleet.reach(), timeout_s=2.0), replace(plan, hosts={"b": plan.hosts["b"]}), Wish())
        result = one.carry_out()[0]
        taken = time.monotonic() - begun
    finally:
        fleet.heal("b")
    assert result["exit"] == Exit.UNREACHABLE
    assert taken < 10


def test_max_fail_halts_the_run(fleet: Fleet, plan: Plan) -> None:
    fleet.fault("a", "cut-ssh", "all")
    try:
        wish = Wish(parallel=1, max_fail=0)
        results = Application(replace(fleet.reach(), timeout_s=3.0), plan, wish).carry_out()
    finally:
        fleet.heal("a")
    assert [result["result"] for result in results] == ["unreachable", "not-begun"]


def test_a_run_under_later_ones_is_not_taken_back_before_them(fleet: Fleet, plan: Plan, tmp_path: Path) -> None:
    first, second = new_run(), ""
    assert fleet.apply(plan, "a", first)["result"] == "confirmed"
    other = variant(fleet, tmp_path, mtu__3000="mtu: 2600")
    later = other.plan({"a": other.facts("a")})
    assert later.changes > 0
    time.sleep(1.1)  # names of runs are ordered by their second
    second = new_run()
    assert other.apply(later, "a", second)["result"] == "confirmed"
    refused = runs.rollback(fleet.reach(), ["a"], first)[0]
    assert refused["result"] == "refused"
    assert second in refused["message"]
    take_back(fleet, "a", second)
    assert differences(plan.hosts["a"].expected(), fleet.facts("a").config) == []
    take_back(fleet, "a", first)


def test_what_somebody_else_changed_since_is_left_alone(fleet: Fleet, plan: Plan) -> None:
    run = new_run()
    assert fleet.apply(plan, "a", run)["result"] == "confirmed"
    fleet.run("a", "sh", "-c", "printf '{\"mine\": true}' > /etc/tether/roster.json")
    results = runs.rollback(fleet.reach(), ["a"], run)
    assert results[0]["exit"] == Exit.FAILED, results
    assert "engine.roster" in results[0]["message"]
    assert fleet.run("a", "cat", "/etc/tether/roster.json") == '{"mine": true}'
    fleet.run("a", "rm", "/etc/tether/roster.json")


def test_a_file_that_was_not_in_our_spelling_comes_back_byte_by_byte(fleet: Fleet, plan: Plan, tmp_path: Path) -> None:
    foreign = '{"schema":"tether.roster/1",\n\n   "peers":[]}\n'
    fleet.run("a", "sh", "-c", 'printf %s "$1" > /etc/tether/roster.json', "sh", foreign)
    try:
        found = fleet.facts("a")
        run = new_run()
        assert fleet.apply(fleet.plan({"a": found}), "a", run)["result"] == "confirmed"
        assert fleet.run("a", "cat", "/etc/tether/roster.json") != foreign
        take_back(fleet, "a", run)
        assert fleet.run("a", "cat", "/etc/tether/roster.json") == foreign
    finally:
        fleet.run("a", "rm", "-f", "/etc/tether/roster.json")


def test_a_step_that_fails_takes_the_host_back(fleet: Fleet, before: dict[str, Facts], tmp_path: Path) -> None:
    wrong = variant(fleet, tmp_path, "", **{"cpus__by-lane": "limits: {rx_cells: 16777216}"})
    plan = wrong.plan({"a": before["a"]})
    assert plan.changes > 0
    scaled = variant(wrong, tmp_path, "apply: {time_scale: 0.3}\n")
    result = scaled.apply(plan, "a")
    assert result["exit"] == Exit.ROLLED_BACK, result
    assert "local verify failed" in result["message"]


def test_runs_are_known_from_every_controller(
    fleet: Fleet, plan: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = new_run()
    assert fleet.apply(plan, "a", run)["result"] == "confirmed"
    monkeypatch.setenv("TETHER_STATE", str(tmp_path / "another"))
    entries = {entry["host"]: entry for entry in runs.listing(fleet.reach(), ["a", "b"])}
    assert {known["run"]: known["state"] for known in entries["a"]["runs"]}[run] == "confirmed"
    assert run not in {known["run"] for known in entries["b"]["runs"]}
    session, agent = fleet.agent("b")
    with session:
        one = HostRun(fleet.reach(), "b", run, agent)
        assert one.call("status")["state"] == "not-begun"
    results = {result["host"]: result for result in runs.rollback(fleet.reach(), ["a", "b"], run)}
    assert results["a"]["result"] == "taken-back"
    assert results["b"]["result"] == "unknown"
    missing = runs.rollback(fleet.reach(), ["a", "b"], "r20000101-000000-aaaaaa")
    assert {result["result"] for result in missing} == {"refused"}
