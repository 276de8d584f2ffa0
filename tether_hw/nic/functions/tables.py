# SPDX-License-Identifier: Apache-2.0
"""From the tables of rules that a function has to those that it shall have: steps, and what is in the way. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tether_hw.plan.effects import fold, look_up
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.nic_queues import NicQueues
from tether_hw.plan.kinds.nic_rules_flower import NicRulesFlower
from tether_hw.plan.kinds.nic_rules_ntuple import NicRulesNtuple
from tether_hw.plan.rule import LOST, MOST_RULES, REDIRECT, Rule
from tether_hw.plan.rules_table import flower_number, flower_place

Config = dict[str, Any]
NO_NTUPLE: dict[str, Any] = {"on": True, "rules": {}}
NO_FLOWER: dict[str, Any] = {"hook": False, "offload": False, "rules": {}}


@dataclass
class TablePlan:
    """`off` runs before everything else that is done to the function, `on` behind it, where there is such a step."""

    wanted: Sequence[Rule]
    off: StepData | None = None
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    switches: dict[str, bool] = field(default_factory=dict)
    ours: set[str] = field(default_factory=set)
    size: int | None = None  # of the table, by which rules find their places


@dataclass(frozen=True)
class Upheaval:
    """What happens to a function between its rules going and coming; words for people, None for nothing."""

    all_rules: str | None = None
    ntuple: str | None = None
    redirects: str | None = None
    flower: str | None = None


@dataclass(frozen=True)
class Habits:
    """What drivers differ in.

    one_shape: all ethtool rules of a port look at the same fields, of which the tag is none. keeps_offload: tc's rules
    cannot be switched out of the hardware while some are there.
    """

    one_shape: bool = True
    keeps_offload: bool = False


ICE = Habits()


def shape(document: Mapping[str, Any]) -> tuple[bool, ...]:
    """Which fields a rule looks at: the card's input set."""
    return tuple(document[name] is not None for name in ("destination", "source", "vlan"))


def after(config: Config, steps: Sequence[StepData]) -> Config:
    """The config behind these steps."""
    for step in steps:
        config = fold(config, step.effect(config))
    return config


def set_by_us(owned: Mapping[str, Any] | None, now: Mapping[str, Any]) -> set[str]:
    """The places of a table that hold what the owned record says we put there."""
    if owned is None or not isinstance(owned["set"], dict):
        return set()
    before = (owned["before"] or {}).get("rules", {})
    return {
        place
        for place, rule in owned["set"]["rules"].items()
        if before.get(place) != rule and now["rules"].get(place) == rule
    }


def _changed(owned: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str]:
    """The places of a table where we put something and something else is now."""
    if owned is None or not isinstance(owned["set"], dict):
        return []
    before, rules = (owned["before"] or {}).get("rules", {}), owned["set"]["rules"]
    return sorted(
        place
        for place, rule in rules.items()
        if before.get(place) != rule and now["rules"].get(place) not in (None, rule, before.get(place))
    )


def switch_back(owned: Mapping[str, Any] | None, now: Mapping[str, Any], name: str) -> bool:
    """A switch of a table as it was before us, where we set it and it still is what we set; else as it is."""
    if owned is not None and isinstance(owned["set"], dict) and owned["set"].get(name) == now[name]:
        return bool((owned["before"] or {}).get(name, now[name]))
    return bool(now[name])


def clear_ntuple(
    config: Config,
    at: tuple[str, str],
    wanted: Sequence[Rule],
    size: int | None,
    owned: Mapping[str, Any] | None,
    upheaval: Upheaval,
    habits: Habits = ICE,
) -> TablePlan:
    """What becomes of ethtool's rules of a function and its device before everything else."""
    function, device = at
    plan = TablePlan(wanted)
    table: Mapping[str, Any] = config["functions"][function]["ntuple"] or NO_NTUPLE
    plan.ours = set_by_us(owned, table)
    plan.notes.extend(
        f"{device}: the rule at location {place} is no longer what we set; it is left as it is"
        for place in _changed(owned, table)
    )
    plan.size = _size_of(plan.ours, size)
    documents = ntuple_places(wanted, plan.size)
    foreign = {place: rule for place, rule in table["rules"].items() if place not in plan.ours}
    _foreign_ntuple(plan, device, documents, foreign, upheaval, habits)
    moving = {place for place in documents if table["rules"].get(place) != documents[place]}
    collide = moving and _collide(table, documents, plan.ours, moving, habits)
    in_the_way = upheaval.all_rules or upheaval.ntuple or collide
    plan.switches["on"] = True if documents else switch_back(owned, table, "on")
    if (plan.ours and (in_the_way or not documents)) or (not documents and plan.switches["on"] != table["on"]):
        on = bool(table["on"]) if documents else plan.switches["on"]
        plan.off = NicRulesNtuple.between(function, device, table["rules"], plan.ours, {}, on)
        plan.ours = set()
    return plan


def _size_of(ours: set[str], size: int | None) -> int | None:
    """Rules that were set in safe mode's wake, when nobody knew the size of the table, stay where they are."""
    low = bool(ours) and size is not None and all(int(place) < size - MOST_RULES for place in ours)
    return None if low else size


def set_ntuple(config: Config, at: tuple[str, str], plan: TablePlan) -> StepData | None:
    """The step that sets what is wanted on a function that is in this config by then."""
    if not plan.wanted:
        return None
    table = config["functions"][at[0]]["ntuple"] or NO_NTUPLE
    step = NicRulesNtuple.between(*at, table["rules"], plan.ours, ntuple_places(plan.wanted, plan.size), True)
    return step if step.put or step.gone or not table["on"] else None


def ntuple_places(wanted: Sequence[Rule], size: int | None) -> dict[str, dict[str, Any]]:
    """Location -> rule, as facts show it."""
    return {str(rule.location(size or MOST_RULES)): rule.document() for rule in wanted}


def flower_places(wanted: Sequence[Rule]) -> dict[str, dict[str, Any]]:
    """Pref and handle -> rule, as facts show it."""
    return {flower_place(rule): rule.document() for rule in wanted}


def _foreign_ntuple(
    plan: TablePlan,
    device: str,
    documents: Mapping[str, Any],
    foreign: Mapping[str, Any],
    upheaval: Upheaval,
    habits: Habits,
) -> None:
    why = upheaval.all_rules or upheaval.ntuple
    if foreign and why is not None:
        plan.refusals.append(f"{device}: rules of ethtool that are not ours ({len(foreign)}) are in the way of {why}")
        return
    for place, document in documents.items():
        there = foreign.get(place)
        if there is not None and there != document:
            plan.refusals.append(f"{device}: location {place} holds a rule that is not ours: {words(there)}")
    if not documents:
        return
    shapes = {shape(document) for document in documents.values()}
    for place, there in foreign.items():
        if place in documents:
            continue
        if "other" in there:
            if habits.one_shape and "ether" in there["other"].lower():
                plan.refusals.append(
                    f"{device}: location {place} holds a rule that is not ours and looks at other fields: "
                    f"{there['other']}"
                )
        elif habits.one_shape and shape(there) not in shapes:
            plan.refusals.append(
                f"{device}: location {place} holds a rule that is not ours and looks at other fields: {words(there)}"
            )
        elif any(_match(there, habits) == _match(document, habits) for document in documents.values()):
            plan.refusals.append(
                f"{device}: location {place} holds a rule that is not ours for the same frames: {words(there)}"
            )


def _collide(
    table: Mapping[str, Any], documents: Mapping[str, Any], ours: set[str], moving: set[str], habits: Habits
) -> bool:
    """Whether the driver would refuse the change while the old rules are there: a match twice, or other fields."""
    old = {place: table["rules"][place] for place in ours}
    new_shapes = {shape(documents[place]) for place in moving}
    if habits.one_shape and any(shape(rule) not in new_shapes for rule in old.values()):
        return True
    return any(
        _match(rule, habits) == _match(documents[place], habits) and place != at
        for place in moving
        for at, rule in old.items()
    )


def _match(document: Mapping[str, Any], habits: Habits) -> tuple[Any, ...]:
    """What makes two rules the same match to the driver."""
    names = ("ethertype", "destination", "source") + (() if habits.one_shape else ("vlan",))
    return tuple(str(document[name]) for name in names)


def clear_flower(
    config: Config,
    at: tuple[str, str],
    wanted: Sequence[Rule],
    owned: Mapping[str, Any] | None,
    upheaval: Upheaval,
    habits: Habits = ICE,
) -> TablePlan:
    """What becomes of tc's rules of a function and its device before everything else; ours carry our marks."""
    function, device = at
    plan = TablePlan(wanted)
    table: Mapping[str, Any] = config["functions"][function]["flower"] or NO_FLOWER
    plan.ours = {place for place in table["rules"] if flower_number(place) is not None}
    foreign = {place: rule for place, rule in table["rules"].items() if place not in plan.ours}
    _foreign_flower(plan, device, wanted, foreign, upheaval)
    back = {name: switch_back(owned, table, name) for name in ("hook", "offload")}
    hook = bool(wanted) or back["hook"] or bool(foreign)
    offload = any(rule.offload != "software" for rule in wanted) or back["offload"]
    if habits.keeps_offload and foreign and table["offload"] and not offload:
        plan.notes.append(f"{device}: hw-tc-offload stays on while rules of others ({len(foreign)}) are there")
        offload = True
    plan.switches = {"hook": hook, "offload": offload}
    redirects = any(table["rules"][place].get("action") == REDIRECT for place in plan.ours)
    in_the_way = (upheaval.all_rules or upheaval.flower) is not None or (redirects and upheaval.redirects is not None)
    changed = (hook, offload) != (table["hook"], table["offload"])
    if (plan.ours and (in_the_way or not wanted)) or (not wanted and changed):
        keep = (bool(table["hook"]), bool(table["offload"])) if wanted else (hook, offload)
        plan.off = NicRulesFlower.between(function, device, table["rules"], [], *keep)
    return plan


def set_flower(config: Config, at: tuple[str, str], plan: TablePlan) -> StepData | None:
    """The step that sets what is wanted on a function that is in this config by then."""
    if not plan.wanted:
        return None
    table = config["functions"][at[0]]["flower"] or NO_FLOWER
    switches = (plan.switches["hook"], plan.switches["offload"])
    step = NicRulesFlower.between(*at, table["rules"], plan.wanted, *switches)
    return step if step.put or step.gone or switches != (table["hook"], table["offload"]) else None


def _foreign_flower(
    plan: TablePlan, device: str, wanted: Sequence[Rule], foreign: Mapping[str, Any], upheaval: Upheaval
) -> None:
    prefs = {flower_place(rule).partition("/")[0] for rule in wanted}
    for place, there in foreign.items():
        if place.partition("/")[0] in prefs:
            plan.refusals.append(
                f"{device}: pref {place.partition('/')[0]} holds a rule that is not ours: {words(there)}"
            )
    why = upheaval.all_rules or upheaval.flower
    if foreign and why is not None:
        plan.refusals.append(f"{device}: rules of tc that are not ours ({len(foreign)}) are in the way of {why}")
    elif upheaval.redirects is not None and any(_redirects(there) for there in foreign.values()):
        plan.refusals.append(
            f"{device}: rules of tc that are not ours redirect to VFs and are in the way of {upheaval.redirects}"
        )


def _redirects(rule: Mapping[str, Any]) -> bool:
    return "mirred" in rule["other"] or "redirect" in rule["other"] if "other" in rule else rule["action"] == REDIRECT


def words(rule: Mapping[str, Any]) -> str:
    """A rule of a table of facts for people."""
    if "other" in rule:
        return str(rule["other"])
    target = rule["target"]
    where = {
        "queue": f"queue {rule['queue']}",
        "goto": f"chain {rule.get('goto')}",
        "redirect": "a device that is gone" if target == LOST else str(target),
    }.get(rule["action"], "drop")
    return f"{rule['ethertype']:#06x} to {where}" if where != "drop" else f"{rule['ethertype']:#06x} dropped"


def queues_behind(config: Config, device: str, others: Sequence[tuple[str | None, StepData]]) -> int | None:
    """How many queues a device has once the other steps are done, such as one that puts an earlier count back.

    None where nobody knows.
    """
    counts = [step.queues for _, step in others if isinstance(step, NicQueues) and step.device == device]
    queues = counts[-1] if counts else look_up(config, ("nics", device, "queues"))
    return min(queues.values()) if isinstance(queues, dict) else None
