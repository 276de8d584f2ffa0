# SPDX-License-Identifier: Apache-2.0
"""Runs on machines with systemd that nobody confirms, that a pulled plug cuts off, and that boot their host."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from tests.support.fleets import Background, Fleet, label, new_run
from tests.support.guests import Guests
from tether_hw.fleet import planner, planner_cx7
from tether_hw.plan.facts import Facts, differences
from tether_hw.plan.kinds.host_reboot import HostReboot
from tether_hw.plan.plan import Plan

LEFT = "ls /etc/systemd/system /run/systemd/transient | grep tether; true"


def plan_of(fleet: Fleet, host: str) -> tuple[Facts, Plan]:
    before = fleet.facts(host)
    plan = fleet.plan({host: before})
    assert not plan.refusals
    return before, plan


def assert_as_before(fleet: Fleet, before: Facts, host: str, run: str) -> None:
    now = fleet.facts(host)
    assert differences(before.config, now.config) == []
    assert (now.status["pending"], now.status["owned"]) == (None, [])
    assert fleet.status(host, run)["state"] == "rolled-back"
    assert fleet.run(host, "sh", "-c", LEFT) == ""


def taken_back_for(fleet: Fleet, host: str, run: str) -> str:
    """Why, in the words of the journal."""
    return next(str(record["why"]) for record in fleet.journal(host, run) if "why" in record)


def test_a_run_that_nobody_confirms_is_taken_back_by_a_timer_of_systemd(fresh: Guests, fleet: Fleet) -> None:
    short = replace(fleet, inventory_file=fresh.variant("short", time_scale__8="time_scale: 8\n  confirm_timeout_s: 6"))
    run = new_run()
    before, plan = plan_of(short, "a")
    short.gate("a", "await.begin")
    background = Background(short, plan, "a", run)
    pid = short.paused("a")
    assert f"tether-deadman-{run}" in short.run("a", "systemctl", "list-timers", "--all")
    short.signal("a", pid, "KILL")
    short.close()
    short.fault("a", "cut-ssh", "silent")
    try:
        background.join()
        time.sleep(60)  # the window, and no session that could do anything
    finally:
        short.heal("a")
    limit = time.monotonic() + 300
    while short.status("a", run)["state"] != "rolled-back" and time.monotonic() < limit:
        time.sleep(2)
    assert "not confirmed in time" in taken_back_for(short, "a", run)
    assert_as_before(short, before, "a", run)
    short.close()


def test_a_power_cut_in_the_middle_of_a_run_leaves_the_host_as_before(fleet: Fleet) -> None:
    run = new_run()
    before, plan = plan_of(fleet, "b")
    step = next(step for step in plan.hosts["b"].steps if step.kind == "nic_rules_flower")
    fleet.gate("b", f"step.end {step.id}")
    background = Background(fleet, plan, "b", run)
    fleet.paused("b")
    assert "tether-boot.service" in fleet.run("b", "sh", "-c", LEFT)
    fleet.close()
    fleet.fault("b", "power-cut", "")
    fleet.heal("b")
    result = background.join()
    # A controller that waits less long than such a machine boots says 4, and that the host takes it back by itself.
    assert result["result"] in ("rolled-back", "unreachable"), result
    assert "had not asked for it" in taken_back_for(fleet, "b", run)
    assert_as_before(fleet, before, "b", run)


@pytest.fixture
def booting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans boot their hosts first, as those do that set what a firmware starts with."""
    asked: set[str] = set()
    original = planner_cx7.plan_cx7

    def with_boot(inventory: Any, name: str, draft: Any, *more: Any) -> None:
        original(inventory, name, draft, *more)
        if name not in asked:
            asked.add(name)
            step = HostReboot.planned(draft.facts.config, draft.facts.status["owned"], "the test wants it")
            draft.nic_steps.append((None, step))

    monkeypatch.setattr(planner, "plan_cx7", with_boot)


@pytest.mark.usefixtures("booting")
def test_a_run_goes_on_after_the_boot_that_it_asked_for(fresh: Guests, fleet: Fleet) -> None:
    run, first = new_run(), fresh.boot_id("a")
    _, plan = plan_of(fleet, "a")
    assert plan.hosts["a"].steps[0].kind == "host_reboot"
    result = fleet.apply(plan, "a", run)
    assert result["result"] == "confirmed", result
    assert fresh.boot_id("a") != first
    journal = fleet.journal("a", run)
    assert [(one["number"], one["of"]) for one in journal if one["point"] == "reboot"] == [(1, 1), (1, 1)]
    assert "continue.begin" in [label(one) for one in journal]
    assert differences(plan.hosts["a"].expected(), fleet.facts("a").config) == []
