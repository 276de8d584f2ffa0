# SPDX-License-Identifier: Apache-2.0
"""From the facts of a card and the intents for its ports to steps, refusals and notes. Pure.

A card is planned as a whole: its package belongs to all of its functions, and another one means that the driver leaves
all of them. What a change wipes is taken away before it and made again behind it; what is not ours to take away is a
refusal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tether_hw.nic.e810.capability import Capabilities
from tether_hw.nic.e810.package import PackageFile
from tether_hw.nic.e810.placement import Placement, place
from tether_hw.nic.e810.steer import ETHTOOL, FLOWER, Ground, Port, Steer, steer
from tether_hw.nic.functions.tables import (
    TablePlan,
    Upheaval,
    after,
    clear_flower,
    clear_ntuple,
    flower_places,
    ntuple_places,
    queues_behind,
    set_flower,
    set_ntuple,
)
from tether_hw.plan.checks import Check
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.nic_driver import NicDriver
from tether_hw.plan.kinds.nic_eswitch import NicEswitch
from tether_hw.plan.kinds.nic_queues import NicQueues
from tether_hw.plan.kinds.nic_vfs import NicVfs
from tether_hw.plan.order import in_order

Pairs = list[tuple[str | None, StepData]]
_TABLES = {ETHTOOL: "ntuple", FLOWER: "flower"}
#: Drivers of a VF that the host itself uses; any other hands it to somebody.
HOST_VF_DRIVERS = (None, "iavf", "ice")


@dataclass
class CardPlan:
    """`steered`: NICs whose lanes have rules of their own. `dropped`: other steps that these make needless."""

    steps: Pairs = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    steered: set[str] = field(default_factory=set)
    dropped: list[StepData] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)


@dataclass(frozen=True)
class Scene:
    """What a card is planned from. others: the steps that are planned for its devices already."""

    config: dict[str, Any]
    status: Mapping[str, Any]
    can: Capabilities
    packages: Mapping[str, PackageFile]
    others: Sequence[tuple[str | None, StepData]] = ()

    def owned(self, *path: str) -> Mapping[str, Any] | None:
        """The entry of the owned record for a path."""
        return next((entry for entry in self.status["owned"] if tuple(entry["path"]) == path), None)

    def functions(self, serial: str) -> list[str]:
        """The functions of a card."""
        return sorted(name for name, one in self.config["functions"].items() if one["card"] == serial)


@dataclass
class _Goal:
    """One function: what its switch and its VFs are and shall be."""

    mode: str
    mode_after: str
    vfs: int
    vfs_after: int
    asked_mode: bool
    asked_vfs: bool


def plan_card(serial: str, ports: Sequence[Port], scene: Scene) -> CardPlan:
    """Plan one card; ports: those of its functions that the inventory has."""
    plan = CardPlan()
    by_function = {port.function: port for port in ports}
    functions = scene.functions(serial)
    placement = place(serial, ports, scene.config, scene.status, scene.packages, functions)
    plan.refusals.extend(placement.refusals)
    plan.notes.extend(placement.notes)
    goals = {name: _goal(plan, name, by_function.get(name), scene, placement) for name in functions}
    tables = {name: _clear(plan, name, by_function.get(name), goals[name], scene, placement) for name in functions}
    for name in functions:
        _function(plan, name, by_function.get(name), goals[name], scene, placement)
    if placement.reload:
        _reload(plan, serial, functions, scene, placement)
    plan.steps.extend((None, step) for step in placement.files)
    if plan.refusals:
        return plan
    later = after(
        scene.config, [step for _, step in in_order([*plan.steps, *scene.others]) if step not in plan.dropped]
    )
    for name, both in tables.items():
        if both is None:
            continue
        ntuple, flower = both
        at = (name, scene.config["functions"][name]["device"])
        nic = by_function[name].name if name in by_function else None
        for step in (set_ntuple(later, at, ntuple), set_flower(later, at, flower)):
            if step is not None:
                plan.steps.append((nic, step))
        filters = ntuple_places(ntuple.wanted, ntuple.size)
        for table, rules in ((ETHTOOL, filters), (FLOWER, flower_places(flower.wanted))):
            if rules and nic is not None:
                data = {"function": name, "table": _TABLES[table], "rules": rules}
                plan.checks.append(Check(f"rules-{nic}", "rules", nic, data))
    return plan


def _value(plan: CardPlan, scene: Scene, path: tuple[str, ...], asked: Any, now: Any, what: str) -> Any:
    """What a value shall be: as asked, else as it was before us while it still is as we set it, else as it is."""
    if asked is not None:
        return asked
    entry = scene.owned(*path)
    if entry is None or now == entry["before"]:
        return now
    if now == entry["set"]:
        return entry["before"]
    plan.notes.append(f"{path[1]}: {what} is no longer what we set; it is left as it is")
    return now


def _goal(plan: CardPlan, name: str, port: Port | None, scene: Scene, placement: Placement) -> _Goal:
    function = scene.config["functions"][name]
    nic = None if port is None else port.nic
    mode = function["eswitch"] or "legacy"
    at = ("functions", name)
    mode_after = _value(plan, scene, (*at, "eswitch"), None if nic is None else nic.eswitch, mode, "its mode") or mode
    vfs_after = _value(plan, scene, (*at, "vfs"), None if nic is None else nic.vfs, function["vfs"], "its VF count")
    asked_mode = (nic is not None and nic.eswitch is not None) or scene.owned(*at, "eswitch") is not None
    asked_vfs = (nic is not None and nic.vfs is not None) or scene.owned(*at, "vfs") is not None
    return _Goal(mode, mode_after, function["vfs"], vfs_after, asked_mode, asked_vfs)


def _why(goal: _Goal, placement: Placement) -> str | None:
    """What of this plan takes the driver's state away, in words."""
    if placement.reload:
        return "the new package, for which the driver leaves the card"
    if goal.mode_after != goal.mode:
        return f"the change to {goal.mode_after}"
    return None


def _function(plan: CardPlan, name: str, port: Port | None, goal: _Goal, scene: Scene, placement: Placement) -> None:
    """VFs and the e-switch of one function."""
    status = scene.status["functions"][name]
    nic = None if port is None else port.name
    who = name if port is None else f"NIC {port.name}"
    why = _why(goal, placement)
    if placement.safe_mode and placement.reload and port is not None:
        most = max([port.nic.queues or 1, *(lane.queue + 1 for lane in port.lanes)])
        if most > scene.can.safe_mode.queues:
            plan.refusals.append(
                f"{who}: without the package its card is in safe mode, with 1 queue, and it needs {most}: keep ddp:"
            )
            return
    if placement.safe_mode and (goal.vfs_after or goal.mode_after == "switchdev"):
        plan.refusals.append(f"{who}: the card is in safe mode, without VFs and switchdev: give it a package with ddp:")
        return
    if goal.mode_after == "switchdev" and scene.config["functions"][name]["eswitch"] is None:
        plan.refusals.append(f"{who}: its driver shows no switch whose mode could be set")
        return
    if goal.vfs_after > status["vfs_max"]:
        plan.refusals.append(f"{who}: {goal.vfs_after} VFs, the function has at most {status['vfs_max']}")
        return
    through_none = goal.vfs > 0 and (why is not None or goal.vfs_after != goal.vfs)
    if through_none and not goal.asked_vfs:
        plan.refusals.append(
            f"{who}: {goal.vfs} VFs that nobody asked for are in the way of {why}: say vfs: {goal.vfs}"
        )
        return
    if through_none:
        used = [f"VF {vf} ({driver})" for vf, driver in _handed_out(status)]
        if used:
            plan.refusals.append(f"{who}: {', '.join(used)} in use by somebody else: free it before its count changes")
            return
        plan.steps.append((nic, NicVfs(name, 0)))
    if placement.reload and goal.mode == "switchdev" and not goal.asked_mode:
        plan.refusals.append(
            f"{who}: switchdev, which nobody asked for, is in the way of {why}: say eswitch: switchdev"
        )
        return
    if goal.mode == "switchdev" and (placement.reload or goal.mode_after == "legacy"):
        plan.steps.append((nic, NicEswitch(name, "legacy")))
    if goal.mode_after == "switchdev" and (placement.reload or goal.mode == "legacy"):
        plan.steps.append((nic, NicEswitch(name, "switchdev")))
    if goal.vfs_after and (through_none or goal.vfs != goal.vfs_after):
        plan.steps.append((nic, NicVfs(name, goal.vfs_after)))
    if status["rides_ssh"] and (why is not None or through_none):
        plan.notes.append(f"{who}: this session rides on it and may be cut; what is not confirmed goes back by itself")


def _handed_out(status: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(vf, driver) for vf, driver in sorted(status["vf_drivers"].items()) if driver not in HOST_VF_DRIVERS]


def _reload(plan: CardPlan, serial: str, functions: Sequence[str], scene: Scene, placement: Placement) -> None:
    """The driver leaves all functions of the card and comes back."""
    config = scene.config
    for name in functions:
        driver, device = config["functions"][name]["driver"], config["functions"][name]["device"]
        if driver != scene.can.driver or device is None:
            shown = "no driver" if driver is None else f"driver {driver}"
            plan.refusals.append(
                f"{name} of the same card has {shown}: a package is loaded with {scene.can.driver} on every function"
            )
    if plan.refusals:
        return
    queues = _queues_behind(plan, serial, functions, scene, placement)
    bare = after(config, [step for _, step in in_order(plan.steps) if not isinstance(step, NicVfs | NicEswitch)])
    unbind = NicDriver.unbinding(config, serial)
    bind = NicDriver.binding(bare, serial, placement.package, placement.safe_mode, queues)
    plan.steps += [(None, unbind), (None, bind)]


def _queues_behind(
    plan: CardPlan, serial: str, functions: Sequence[str], scene: Scene, placement: Placement
) -> dict[str, dict[str, int]]:
    """Device -> the queues that the driver has to be given when it comes back; those of the facts for all others.

    Out of safe mode the driver chooses a count of its own, so the plan sets what it knows; into safe mode there is one.
    """
    devices = [scene.config["functions"][name]["device"] for name in functions]
    if not placement.safe_mode and not scene.config["cards"][serial]["safe_mode"]:
        return {}
    plan.dropped = [step for _, step in scene.others if isinstance(step, NicQueues) and step.device in devices]
    queues = {step.device: step.queues for step in plan.dropped if isinstance(step, NicQueues)}
    if placement.safe_mode:
        for device in devices:
            now = scene.config["nics"][device]["queues"]
            queues[device] = dict.fromkeys(now or {}, scene.can.safe_mode.queues)
    return {device: count for device, count in queues.items() if count}


def _ground(name: str, port: Port, goal: _Goal, scene: Scene, placement: Placement) -> Ground:
    status = scene.status["functions"][name]
    queues = port.nic.queues
    if queues is None and port.device is not None:
        queues = queues_behind(scene.config, port.device, scene.others)
    return Ground(
        kernel=scene.status["kernel"],
        driver_version=status["driver_version"],
        eswitch=goal.mode_after,
        safe_mode=placement.safe_mode,
        queues=queues,
        vfs=goal.vfs_after,
        table_size=status["ntuple_size"],
        lldp=status["lldp"],
    )


def _clear(
    plan: CardPlan, name: str, port: Port | None, goal: _Goal, scene: Scene, placement: Placement
) -> tuple[TablePlan, TablePlan] | None:
    """The rules that a function shall have, and the steps that take away what is in the way before anything else.

    None where the kernel has no device of it, and so no tables.
    """
    wanted = Steer("", "")
    nic = None if port is None else port.name
    if port is not None:
        wanted = steer(port, _ground(name, port, goal, scene, placement), scene.can)
        plan.refusals.extend(f"NIC {port.name}: {reason}" for reason in wanted.refusals)
        plan.notes.extend(f"NIC {port.name}: {note}" for note in wanted.notes)
        if wanted.steered:
            plan.steered.add(port.name)
    device = scene.config["functions"][name]["device"]
    if device is None:
        return None
    count = any(isinstance(step, NicQueues) and step.device == device for _, step in scene.others)
    upheaval = Upheaval(
        all_rules=_why(goal, placement),
        ntuple="another number of queues" if count else None,
        redirects="another number of VFs" if goal.vfs and goal.vfs_after != goal.vfs else None,
    )
    size = scene.status["functions"][name]["ntuple_size"]
    ntuple, flower = (wanted.rules if wanted.way == way else [] for way in (ETHTOOL, FLOWER))
    at = (name, device)
    tables = (
        clear_ntuple(scene.config, at, ntuple, size, scene.owned("functions", name, "ntuple"), upheaval),
        clear_flower(scene.config, at, flower, scene.owned("functions", name, "flower"), upheaval),
    )
    for table in tables:
        plan.refusals.extend(table.refusals)
        plan.notes.extend(table.notes)
        if table.off is not None:
            plan.steps.append((nic, table.off))
    return tables
