# SPDX-License-Identifier: Apache-2.0
"""Planners and agents that are wrong in one way each, and whether the model notices.

A mutant changes the steps of a plan (`change`), or patches what it names (`patches`), or is an agent that runs the
commands shown to people one by one and believes that they worked (`naive`), or stops at the first that fails (`stops`).
`prepare` happens before all, `world` between plan and apply.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.drivers.common.law import Family
from tests.drivers.common.picture import Picture
from tests.drivers.common.rules import seen
from tests.drivers.common.transaction import Scene
from tether_hw.agent import command, nic_rules
from tether_hw.agent.errors import AgentError
from tether_hw.fleet import planner_boot
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.nic_rules_flower import NicRulesFlower
from tether_hw.plan.kinds.nic_rules_ntuple import NicRulesNtuple
from tether_hw.plan.order import in_order
from tether_hw.plan.paths import HostPaths

Pairs = list[tuple[str | None, StepData]]
Patches = Callable[[Any], list[AbstractContextManager[object]]]


def unpatched(machine: Any) -> list[AbstractContextManager[object]]:
    """A mutant of its steps alone."""
    return []


@dataclass(frozen=True)
class Mutant:
    """What is wrong, and where it shows. before: wishes that were applied already, by those who are right.

    unmoved: what the right ones do with the wish: "holds", "refused" in the plan, or "fails" where the world says no.
    """

    wish: Any
    change: Callable[[Pairs], Pairs] | None = None
    patches: Patches = unpatched
    naive: bool = False
    stops: bool = False
    begin: Any = None
    before: tuple[Any, ...] = ()
    prepare: Callable[[Any], object] = lambda machine: None
    world: Callable[[Any], object] = lambda machine: None
    unmoved: str = "holds"
    scale: float = 0.01


@dataclass
class Verdict:
    """How a wish ended: "holds", "refused", "fails", or "wrong" where only the model knows."""

    outcome: str
    why: str
    bites: Counter[str]


def naive(data: NicRulesNtuple | NicRulesFlower, paths: HostPaths, timeout_s: float) -> None:
    """An agent that looks at nothing."""
    for argv in data.argv(paths):
        command.execute(argv, timeout_s)


def stopping(data: NicRulesNtuple | NicRulesFlower, paths: HostPaths, timeout_s: float) -> None:
    """One that looks at exit codes only."""
    for argv in data.argv(paths):
        command.checked(argv, timeout_s)


def changed(steps: Sequence[tuple[str | None, StepData]], change: Callable[[Pairs], Pairs]) -> Pairs:
    return change(list(in_order(steps)))


def judge(family: Family, folder: Path, mutant: Mutant, mutated: bool) -> Verdict:
    """Apply its wish, with the mutant or without."""
    scene = family.scene(family.build(folder, mutant.begin), folder, mutant.scale if mutated else 0.05)
    mutant.prepare(scene.machine)
    for wish in mutant.before:
        inventory = scene.inventory(wish.nics(), family.files())
        plan = scene.plan(inventory)
        assert not plan.refusals, plan.refusals
        assert scene.apply(inventory, plan).state == "confirmed"
    inventory = scene.inventory(mutant.wish.nics(), family.files())
    before = family.picture(scene.machine)
    with ExitStack() as stack:
        if mutated:
            for one in mutant.patches(scene.machine):
                stack.enter_context(one)
            if mutant.naive:
                stack.enter_context(patch.object(nic_rules, "carry_out", naive))
            if mutant.stops:
                stack.enter_context(patch.object(nic_rules, "carry_out", stopping))
            if mutant.change is not None:
                change = mutant.change
                stack.enter_context(patch.object(planner_boot, "in_order", lambda steps: changed(steps, change)))
        bites = stack.enter_context(seen())
        outcome, why = _outcome(family, scene, inventory, mutant, before)
    return Verdict(outcome, why, bites)


def _outcome(family: Family, scene: Scene, inventory: object, mutant: Mutant, before: Picture) -> tuple[str, str]:
    plan = scene.plan(inventory)  # type: ignore[arg-type]
    if plan.refusals:
        return "refused", str(plan.refusals[0]["reason"])
    mutant.world(scene.machine)
    try:
        applied = scene.apply(inventory, plan)  # type: ignore[arg-type]
    except AgentError as error:
        return "fails", error.message
    if applied.state != "confirmed":
        return "fails", applied.why
    wrong = family.wrong(scene.machine, mutant.wish)
    if wrong:
        return "wrong", "; ".join(wrong)
    again = scene.plan(inventory)  # type: ignore[arg-type]
    if again.steps or again.refusals:
        return "wrong", f"a second plan: {[step.summary for step in again.steps]} {again.refusals}"
    record = scene.roll_back(applied)
    left = before.differences(family.picture(scene.machine))
    if not record["restored"] or left:
        return "wrong", f"not taken back: {record['problems']} {left}"
    return "holds", ""
