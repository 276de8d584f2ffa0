# SPDX-License-Identifier: Apache-2.0
"""Every golden case: the plan is as written, facts + effects = intent, and taking it back gives the facts again."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import fleet_facts
from tests.support.cases import Case, applied, cases, run, seen, setting_of
from tether_hw.fleet import planner, planner_cx7, planner_e810, planner_engine
from tether_hw.fleet.planner import make_plan
from tether_hw.nic.bluefield import sides
from tether_hw.nic.cx7 import limits as cx7_limits
from tether_hw.nic.cx7 import nv as cx7_nv
from tether_hw.nic.cx7 import steer as cx7_steer
from tether_hw.nic.e810 import package, placement, steer
from tether_hw.nic.e810 import plan as e810_plan
from tether_hw.nic.functions import tables
from tether_hw.nic.generic import plan as generic_plan
from tether_hw.plan.effects import fold
from tether_hw.plan.facts import Facts, differences
from tether_hw.plan.kinds.registry import KINDS, parse_data
from tether_hw.plan.plan import Plan
from tether_hw.plan.shape import ShapeError
from tether_hw.plan.undo import undo_order

CASES = cases()
#: Where refusals are written.
PLANNERS = (
    planner,
    planner_engine,
    planner_e810,
    planner_cx7,
    generic_plan,
    e810_plan,
    steer,
    tables,
    placement,
    package,
    cx7_steer,
    cx7_limits,
    cx7_nv,
    sides,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plan(case: Case, tmp_path: Path) -> None:
    _inventory, facts, plan = run(case, tmp_path)
    assert seen(plan, sorted(facts), tmp_path) == case.document["expect"]


@pytest.mark.pain(3)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_facts_and_effects_are_the_intent(case: Case, tmp_path: Path) -> None:
    inventory, facts, plan = run(case, tmp_path)
    after = {name: applied(facts[name], host) for name, host in plan.hosts.items()}
    again = make_plan(inventory, after, setting_of(case, inventory))
    assert [step.summary for step in again.steps] == []
    assert [refusal["reason"] for refusal in again.refusals] == case.document.get("later", [])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_taking_back_gives_the_facts_again(case: Case, tmp_path: Path) -> None:
    _inventory, _facts, plan = run(case, tmp_path)
    reasons = [step.undo_reason for step in plan.steps if step.undo_reason is not None]
    assert reasons == ([case.document["irreversible"]] if "irreversible" in case.document else [])
    for host in plan.hosts.values() if not reasons else ():
        # After each step as well: a run may end anywhere.
        for done in range(len(host.steps) + 1):
            config = fold(host.config, [change for step in host.steps[:done] for change in step.effect])
            for undo in undo_order(host.steps[:done]):
                assert undo.data is not None, undo.reason
                config = fold(config, undo.data.effect(config))
            # The bytes of a file that was no document are put back; its content was never known.
            assert differences(host.config, config) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_conditions_hold_when_their_step_comes(case: Case, tmp_path: Path) -> None:
    _inventory, _facts, plan = run(case, tmp_path)
    for host in plan.hosts.values():
        config = host.config
        for step in host.steps:
            assert all(condition.holds(config) for condition in step.pre), step.id
            if not plan.not_for_apply:  # a plan that cannot be saved need not be readable
                assert not parse_data(step.kind, step.data).holds(config), step.id
            config = fold(config, step.effect)
            assert all(condition.holds(config) for condition in step.post), step.id


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_saved_plan_is_read_as_it_was_made(case: Case, tmp_path: Path) -> None:
    _inventory, _facts, plan = run(case, tmp_path)
    unmade = [reason for reason in plan.not_for_apply if "dpdk" not in reason]
    if unmade:  # what it names is not there yet: nobody can take it for a plan that runs
        with pytest.raises(ShapeError):
            Plan.load(plan.text())
    else:
        assert Plan.load(plan.text()) == plan


def test_every_case_says_what_it_shows() -> None:
    assert len({case.document["about"] for case in CASES}) > len(CASES) - 8
    assert all(case.document["about"] for case in CASES)


def test_every_kind_of_step_has_a_case(tmp_path: Path) -> None:
    planned = {step["step"].split("-")[1] for case in CASES for step in steps_of(case)}
    assert planned == set(KINDS)


def test_every_driver_has_first_second_change_and_remove() -> None:
    names = {case.name for case in CASES}
    for driver in (
        "bluefield-arm",
        "bluefield-host",
        "veth",
        "virtio",
        "ice",
        "user",
        "e810-new-kernel",
        "e810-switchdev",
        "e810-package",
        "cx7-mlx5",
        "cx7-netdevsim",
    ):
        for what in ("first", "second"):
            assert any(name.startswith(f"{driver}-{what}") for name in names), (driver, what)
    for driver in (
        "bluefield-arm",
        "bluefield-host",
        "veth",
        "virtio",
        "ice",
        "e810-new-kernel",
        "e810-switchdev",
        "e810-package",
        "cx7-mlx5",
        "cx7-netdevsim",
    ):
        assert any(name.startswith(f"{driver}-remove") for name in names), driver
    for driver in (
        "bluefield-arm",
        "bluefield-host",
        "veth",
        "virtio",
        "e810-new-kernel",
        "e810-switchdev",
        "e810-package",
        "cx7-mlx5",
        "cx7-netdevsim",
    ):
        assert any(name.startswith(f"{driver}-change") for name in names), driver


def steps_of(case: Case) -> list[dict[str, str]]:
    return [
        step for entry in case.document["expect"].values() if isinstance(entry, dict) for step in entry.get("steps", [])
    ]


def refusal_patterns() -> dict[str, re.Pattern[str]]:
    """A pattern for each text that the planner may refuse with, found in its source."""
    patterns = {}
    for module in PLANNERS:
        path = Path(str(module.__file__))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "append"
                and ast.unparse(node.func.value).split(".")[-1] in ("refusals", "reasons", "lacks")
            ):
                argument = node.args[0]
                if isinstance(argument, ast.JoinedStr | ast.Constant):
                    values = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
                    parts = [re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".*" for part in values]
                    patterns[f"{path.name}:{node.lineno}"] = re.compile("".join(parts), re.DOTALL)
    return patterns


def test_every_refusal_has_a_case() -> None:
    refusals = [
        reason
        for case in CASES
        for entry in case.document["expect"].values()
        if isinstance(entry, dict)
        for reason in entry.get("refusals", [])
    ]
    patterns = refusal_patterns()
    assert len(patterns) >= 45
    without = [place for place, pattern in patterns.items() if not any(pattern.search(reason) for reason in refusals)]
    assert without == []


def test_facts_that_differ_make_another_digest() -> None:
    facts = fleet_facts.facts("a", {"data0": "veth"})
    other = replace(facts, config=fleet_facts.merge(facts.config, {"nics": {"data0": {"mtu": 1501}}}))
    assert isinstance(other, Facts)
    assert facts.digest != other.digest
    assert replace(facts, status={**facts.status, "cpus": 64}).digest == facts.digest
