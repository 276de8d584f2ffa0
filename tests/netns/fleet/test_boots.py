# SPDX-License-Identifier: Apache-2.0
"""Hosts that boot: by a run's own step, by a pulled plug, and with a boot plan from then on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.netns.fleet.test_transaction import variant
from tests.support.fleets import Background, Fleet, label, new_run
from tether_hw.fleet import planner, planner_e810, runs, verify
from tether_hw.plan.facts import Facts, differences
from tether_hw.plan.kinds.host_reboot import HostReboot
from tether_hw.plan.plan import Plan

REBOOT = "01-host_reboot"


@pytest.fixture(scope="module")
def plan(fleet: Fleet, before: dict[str, Facts]) -> Plan:
    plan = fleet.plan(before)
    assert not plan.refusals
    return plan


@pytest.fixture
def booting(fleet: Fleet, before: dict[str, Facts], monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A plan that boots its hosts first, as one does that sets what a firmware starts with."""
    asked: set[str] = set()
    original = planner_e810.plan_e810

    def with_boot(inventory: Any, name: str, draft: Any, *more: Any) -> None:
        original(inventory, name, draft, *more)
        if name not in asked:
            asked.add(name)
            step = HostReboot.planned(draft.facts.config, draft.facts.status["owned"], "the test wants it")
            draft.nic_steps.append((None, step))

    monkeypatch.setattr(planner, "plan_e810", with_boot)
    plan = fleet.plan(before)
    assert not plan.refusals
    assert plan.hosts["a"].steps[0].id == REBOOT
    return plan


def take_back(fleet: Fleet, host: str, run: str) -> None:
    results = runs.rollback(fleet.reach(), [host], run)
    assert [result["exit"] for result in results] == [0], results


def assert_as_before(fleet: Fleet, before: dict[str, Facts], host: str) -> None:
    now = fleet.facts(host)
    assert differences(before[host].config, now.config) == []
    assert now.status["pending"] is None
    assert now.status["owned"] == []
    assert hooked(fleet, host) == ""


def hooked(fleet: Fleet, host: str) -> str:
    return fleet.run(host, "sh", "-c", "ls /etc/tether | grep at-boot || true")


def boot(fleet: Fleet, host: str) -> str:
    return fleet.run(host, "cat", "/proc/sys/kernel/random/boot_id")


def power_cut(fleet: Fleet, host: str) -> None:
    fleet.fault(host, "power-cut", "all")
    fleet.heal(host)


def test_a_run_goes_on_after_its_own_boot_and_every_later_boot_makes_the_host_again(
    fleet: Fleet, before: dict[str, Facts], booting: Plan
) -> None:
    run, first = new_run(), boot(fleet, "a")
    result = fleet.apply(booting, "a", run)
    assert result["result"] == "confirmed", result
    assert boot(fleet, "a") != first
    journal = fleet.journal("a", run)
    told = [(record["number"], record["of"]) for record in journal if record["point"] == "reboot"]
    assert told == [(1, 1), (1, 1)]
    labels = [label(record) for record in journal]
    assert labels.index(f"step.begin {REBOOT}") < labels.index("continue.begin") < labels.index(f"step.end {REBOOT}")
    assert labels.count("arm.end") == 2
    expected = booting.hosts["a"].expected()
    assert differences(expected, fleet.facts("a").config) == []

    # A boot that no run asked for: nothing is open, the boot plan makes the host again before its sshd starts.
    second = boot(fleet, "a")
    power_cut(fleet, "a")
    assert boot(fleet, "a") != second
    assert differences(expected, fleet.facts("a").config) == []
    assert fleet.plan({"a": fleet.facts("a")}).changes == 0
    kept = fleet.ask("a", "runs", {})["boot"]
    assert (kept["plan"], kept["result"]["ok"]) == (run, True)
    plans = {"a": fleet.plan({"a": fleet.facts("a")}).hosts["a"]}
    checks, failed = verify.local(fleet.reach(), plans)
    assert not failed
    assert {check["result"] for check in checks} == {"proved"}, checks

    take_back(fleet, "a", run)
    assert_as_before(fleet, before, "a")


@pytest.mark.parametrize(
    "point", [f"step.begin {REBOOT}", f"step.end {REBOOT}", "step.end 03-nic_mtu-data0", "await.begin"]
)
def test_any_other_boot_takes_the_run_back(fleet: Fleet, before: dict[str, Facts], booting: Plan, point: str) -> None:
    run = new_run()
    fleet.gate("b", point)
    background = Background(fleet, booting, "b", run)
    after_boot = point != f"step.begin {REBOOT}"
    fleet.paused("b")
    power_cut(fleet, "b")
    result = background.join()
    assert result["result"] == "rolled-back", result
    assert "had not asked for it" in result["message"]
    journal = fleet.journal("b", run)
    assert any(record["point"] == "continue" for record in journal) == after_boot
    assert_as_before(fleet, before, "b")


def test_a_cut_in_a_second_run_gives_what_the_first_left(
    fleet: Fleet, before: dict[str, Facts], plan: Plan, tmp_path: Path
) -> None:
    first, second = new_run(), new_run()
    assert fleet.apply(plan, "a", first)["result"] == "confirmed"
    left = fleet.facts("a")
    other = variant(fleet, tmp_path, mtu__3000="mtu: 2048")
    change = other.plan({"a": left})
    assert {step.kind for step in change.hosts["a"].steps} >= {"nic_mtu", "engine_service", "engine_config"}
    other.gate("a", f"step.end {change.hosts['a'].steps[-1].id}")
    background = Background(other, change, "a", second)
    other.paused("a")
    assert fleet.facts("a").config["nics"]["data0"]["mtu"] == 2048
    power_cut(fleet, "a")
    assert background.join()["result"] == "rolled-back"
    assert differences(left.config, fleet.facts("a").config) == []
    assert fleet.plan({"a": fleet.facts("a")}).changes == 0
    take_back(fleet, "a", first)
    assert_as_before(fleet, before, "a")


def test_a_boot_plan_that_fails_leaves_the_host_as_it_booted_and_verify_says_so(
    fleet: Fleet, before: dict[str, Facts], plan: Plan
) -> None:
    run = new_run()
    assert fleet.apply(plan, "a", run)["result"] == "confirmed"
    engine = f"/opt/tether/{fleet.bundle.digest}/bin/tether-engine"
    fleet.run("a", "mv", engine, engine + ".away")
    power_cut(fleet, "a")
    fleet.run("a", "mv", engine + ".away", engine)
    found = fleet.facts("a").config
    assert found["nics"] == before["a"].config["nics"]
    assert found["engine"]["service"] == "stopped"
    again = fleet.plan({"a": fleet.facts("a")})
    checks, failed = verify.local(fleet.reach(), again.hosts)
    assert not failed
    told = next(check for check in checks if check["check"] == "boot")
    assert told["result"] == "failed"
    assert "has no engine" in told["evidence"]
    entry = next(entry for entry in runs.listing(fleet.reach(), ["a"]))
    assert (entry["boot"]["plan"], entry["boot"]["result"]["ok"]) == (run, False)
    # What is configured again is not unconfigured any more.
    second = new_run()
    assert fleet.apply(again, "a", second)["result"] == "confirmed"
    assert fleet.ask("a", "runs", {})["boot"] == {"plan": second, "result": None}
    take_back(fleet, "a", second)
    take_back(fleet, "a", run)
    assert_as_before(fleet, before, "a")
