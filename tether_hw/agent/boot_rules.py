# SPDX-License-Identifier: Apache-2.0
"""Rules of others that were set before ours at a boot: beside ours they stay, in the way of ours they are a refusal.

At a boot nothing of ours is left in the tables, and whoever is first there may have set something. What a step of the
boot plan names as a whole table is therefore met when ours are as planned and the others as they were found.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Iterable, Mapping

from tether_hw.agent.errors import AgentError
from tether_hw.plan.effects import Condition, look_up
from tether_hw.plan.kinds.nic_rules_flower import NicRulesFlower
from tether_hw.plan.kinds.nic_rules_ntuple import NicRulesNtuple
from tether_hw.plan.kinds.registry import parse_data

if TYPE_CHECKING:
    from tether_hw.plan.kinds.base import StepData
    from tether_hw.plan.step import Step

_TABLES = ("ntuple", "flower")


def beside(config: dict[str, Any], conditions: Iterable[Condition], own: Iterable[str] = ()) -> tuple[Condition, ...]:
    """The conditions, with the rules of others that their tables have now. own: places of ours that they do not have.

    Where others have rules, the table's switches are theirs too, as long as none of ours is wanted in it.
    """
    return tuple(_with_others(config, condition, set(own)) for condition in conditions)


def _with_others(config: dict[str, Any], condition: Condition, own: set[str]) -> Condition:
    if condition.path[:1] != ("functions",) or condition.path[-1] not in _TABLES:
        return condition
    now, wanted = look_up(config, condition.path), condition.equals
    if not isinstance(now, dict) or not isinstance(wanted, dict):
        return condition
    there = _others(now, wanted["rules"], own)
    if not there:
        return condition
    switches = wanted if wanted["rules"] else now
    return Condition(condition.path, {**switches, "rules": {**there, **wanted["rules"]}})


def _others(now: Mapping[str, Any], wanted: Mapping[str, Any], own: Iterable[str]) -> dict[str, Any]:
    return {place: rule for place, rule in now["rules"].items() if place not in wanted and place not in set(own)}


def check_free(config: dict[str, Any], step: Step) -> None:
    """Raises AgentError where a location of ethtool's that we want is taken: nothing of it says that it was ours."""
    data = _rules(step)
    if not isinstance(data, NicRulesNtuple):
        return
    now = look_up(config, ("functions", data.function, "ntuple"))
    rules = now["rules"] if isinstance(now, dict) else {}
    taken = [place for place in sorted(data.put, key=int) if place in rules and rules[place] != data.put[place]]
    if taken:
        words = "%s: %s: somebody else's rule is at location %s"
        raise AgentError(words % (step.id, data.device, ", ".join(taken)))


def places(step: Step) -> tuple[str, ...]:
    """Where a step sets rules."""
    data = _rules(step)
    return () if data is None else tuple(data.put)


def _rules(step: Step) -> NicRulesNtuple | NicRulesFlower | None:
    kinds = (NicRulesNtuple, NicRulesFlower)
    if step.kind not in [kind.kind for kind in kinds]:
        return None
    data = parse_data(step.kind, step.data, step.id)
    return data if isinstance(data, kinds) else None


def undo_beside(config: dict[str, Any], undo: StepData) -> StepData:
    """An undo that leaves the switches of a table on in which others have rules."""
    if not isinstance(undo, (NicRulesNtuple, NicRulesFlower)):
        return undo
    table = "ntuple" if isinstance(undo, NicRulesNtuple) else "flower"
    now = look_up(config, ("functions", undo.function, table))
    if not isinstance(now, dict) or not _others(now, undo.put, undo.gone):
        return undo
    if isinstance(undo, NicRulesNtuple):
        return replace(undo, on=bool(now["on"]))
    return replace(undo, hook=bool(now["hook"]), offload=bool(now["offload"]))
