# SPDX-License-Identifier: Apache-2.0
"""Faults at every journal point: resume finishes or rollback restores, also from another state folder."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.faults.case import FAULTS, POINTS, Case, assert_as_before
from tests.support.fleets import Fleet, label, new_run
from tether_hw.fleet import runs
from tether_hw.plan.facts import Facts, differences
from tether_hw.plan.plan import Plan


@pytest.fixture(scope="module")
def plan(fleet: Fleet, before: dict[str, Facts]) -> Plan:
    plan = fleet.plan(before)
    assert not plan.refusals
    assert not plan.not_for_apply
    return plan


def test_every_point_of_a_clean_runs_journal_has_a_case(fleet: Fleet, before: dict[str, Facts], plan: Plan) -> None:
    run = new_run()
    result = fleet.apply(plan, "a", run)
    assert result["result"] == "confirmed", result
    assert tuple(label(record) for record in fleet.journal("a", run)) == POINTS
    assert differences(plan.hosts["a"].expected(), fleet.facts("a").config) == []
    assert fleet.plan({"a": fleet.facts("a")}).changes == 0
    results = runs.rollback(fleet.reach(), ["a"], run)
    assert [result["exit"] for result in results] == [0], results
    assert_as_before(fleet, before, "a")


@pytest.mark.parametrize("point", POINTS)
def test_a_fault_at(
    fleet: Fleet, before: dict[str, Facts], plan: Plan, point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TETHER_STATE", str(tmp_path / "another"))
    problems: list[str] = []

    def host_cases(host: str) -> None:
        for number, (fault, (where, cause)) in enumerate(FAULTS.items()):
            if where != host:
                continue
            way = ("resume", "rollback")[(POINTS.index(point) + number) % 2]
            try:
                case = Case(fleet, plan, host, point, tmp_path)
                cause(case)
                case.go_on(way, fault)
                assert_as_before(fleet, before, host)
            except BaseException as error:  # noqa: BLE001 - told by the thread that waits
                import traceback

                text = "".join(traceback.format_exception(error))
                problems.append(f"{fault} at {point}, then {way}, on {host}:\n{text}")
                return

    hosts = [threading.Thread(target=host_cases, args=(host,), daemon=True) for host in ("a", "b")]
    for thread in hosts:
        thread.start()
    for thread in hosts:
        thread.join(240)
        assert not thread.is_alive()
    assert not problems, "\n".join(problems)
