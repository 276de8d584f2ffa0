# SPDX-License-Identifier: Apache-2.0
"""From the facts of a function and the intent for it to steps, refusals and notes. Pure.

mlx5 changes the mode of its switch beside VFs that no driver has; SFs and rates live in switchdev only. What a change
wipes is taken away before it and made again behind it; what is not ours to take away is a refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tether_hw.nic.cx7.attributes import changed, taken, tell
from tether_hw.nic.cx7.goal import FunctionPlan, Goal, Scene, goal_of
from tether_hw.nic.cx7.limits import check
from tether_hw.nic.cx7.representors import PortsPlan, checks, clear_ports, set_ports
from tether_hw.nic.cx7.steer import Ground, Port, Steer, steer
from tether_hw.nic.functions.tables import (
    Habits,
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
from tether_hw.plan.effects import fold
from tether_hw.plan.facts_mlx5 import is_plain
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.host_reboot import HostReboot
from tether_hw.plan.kinds.nic_eswitch import NicEswitch
from tether_hw.plan.kinds.nic_host_vfs import NicHostVfs
from tether_hw.plan.kinds.nic_param import NicParam
from tether_hw.plan.kinds.nic_queues import NicQueues
from tether_hw.plan.kinds.nic_sf import NicSf
from tether_hw.plan.kinds.nic_vf_binding import NicVfBinding
from tether_hw.plan.kinds.nic_vfs import NicVfs
from tether_hw.plan.order import in_order

_RATES = ("tx_max", "tx_share")


def plan_function(function: str, port: Port | None, scene: Scene) -> FunctionPlan:
    """Plan one function; port: the NIC of the inventory that it is, None where only something of ours is left on it."""
    plan = FunctionPlan()
    goal = goal_of(plan, function, port, scene)
    check(plan, goal, port, scene)
    tables = _clear(plan, port, goal, scene)
    if plan.refusals:
        return plan
    nic = None if port is None else port.name
    plan.steps.extend((nic, step) for step in _switch(goal, scene))
    status = scene.status["functions"][function]
    if status["rides_ssh"] and (goal.why is not None or goal.recount):
        plan.notes.append(
            f"{goal.who}: this session rides on it and may be cut; what is not confirmed goes back by itself"
        )
    if tables is None:
        return plan
    ntuple, flower, ports = tables
    # What comes behind a boot is planned again from what that leaves.
    stay = [step for _, step in in_order([*plan.steps, *scene.others]) if not isinstance(step, HostReboot)]
    later = after(scene.config, stay)
    at = (function, scene.config["functions"][function]["device"])
    for step in (set_ntuple(later, at, ntuple), set_flower(later, at, flower)):
        if step is not None:
            plan.steps.append((nic, step))
    plan.steps.extend((nic, step) for step in set_ports(later, goal, ports))
    if nic is not None:
        plan.checks.extend(checks(goal, ports, nic))
    filters = ntuple_places(ntuple.wanted, ntuple.size)
    for table, rules in (("ntuple", filters), ("flower", flower_places(flower.wanted))):
        if rules and nic is not None:
            data = {"function": function, "table": table, "rules": rules}
            plan.checks.append(Check(f"rules-{table}-{nic}", "rules", nic, data))
    return plan


class _Steps:
    """Steps one after the other, each planned from what those before it leave."""

    def __init__(self, config: dict[str, Any], function: str) -> None:
        self.config = config
        self.function = function
        self.steps: list[StepData] = []

    @property
    def part(self) -> dict[str, Any]:
        found: dict[str, Any] = self.config["functions"][self.function]["mlx5"]
        return found

    def add(self, step: StepData) -> None:
        self.config = fold(self.config, step.effect(self.config))
        self.steps.append(step)


def _switch(goal: Goal, scene: Scene) -> list[StepData]:
    """Parameters, mode, VFs and SFs, in the order in which plans run them."""
    facts = scene.config["functions"][goal.function]
    steps = _Steps(scene.config, goal.function)
    at = (goal.function, facts["device"])
    unbound = _to_unbind(goal, scene)
    if unbound:
        steps.add(NicVfBinding(goal.function, unbound, scene.can.driver, False))
    for target, put in _to_take(goal, scene):
        for step in tell(scene.can, at, target, goal.mode, put):
            steps.add(step)
    gone = [number for number in facts["mlx5"]["sfs"] if _sf_goes(goal, facts["mlx5"]["sfs"], number)]
    for number in sorted(gone, key=int):
        steps.add(NicSf(goal.function, int(number), False))
    if goal.recount:
        steps.add(_count(goal, scene, 0))
    _mode(goal, steps)
    made = goal.count_after > 0 and (goal.recount or goal.count == 0)
    bind = [] if goal.recount else _to_bind(goal, unbound, scene)
    if made:
        drivers = _drivers(goal, scene)
        held = scene.held or any(drivers[one] is None or goal.vfs[one]["address"] is not None for one in drivers)
        steps.add(_count(goal, scene, goal.count_after, False if held and facts["mlx5"]["autoprobe"] else None))
        now = steps.part["vfs"]
        bind = [int(number) for number in drivers if drivers[number] is not None and now[number]["driver"] is None]
    for number, sf in goal.sfs.items():
        now = steps.part["sfs"].get(number)
        if now is None or not now["active"]:
            steps.add(NicSf(goal.function, int(number), True, sf["address"]))
    for kind, wanted in (("vf", goal.vfs), ("sf", goal.sfs)):
        for number, attributes in wanted.items():
            put = changed(steps.part[f"{kind}s"][number], attributes)
            for step in tell(scene.can, at, f"{kind}{number}", goal.mode_after, put):
                steps.add(step)
    if bind:
        steps.add(NicVfBinding(goal.function, tuple(bind), scene.can.driver, True))
    return steps.steps


def _count(goal: Goal, scene: Scene, count: int, probe: bool | None = None) -> StepData:
    """VFs are made here, or waited for."""
    if scene.can.vfs.made_by == "host":
        return NicHostVfs(goal.function, count)
    return NicVfs(goal.function, count, probe)


def _mode(goal: Goal, steps: _Steps) -> None:
    part = steps.part
    inline = goal.inline if goal.inline != part["inline"] else None
    encap = goal.encap if goal.encap != part["encap"] else None
    if goal.mode == "switchdev" and goal.why is not None:
        last = goal.mode_after == "legacy"
        steps.add(NicEswitch(goal.function, "legacy", inline if last else None, encap if last else None))
    for name in sorted(goal.params):
        steps.add(NicParam(goal.function, name, goal.params[name]))
    if goal.why is not None and goal.mode_after == "switchdev":
        steps.add(NicEswitch(goal.function, "switchdev", inline, encap))
    elif goal.why is None and (inline, encap) != (None, None):
        steps.add(NicEswitch(goal.function, goal.mode, inline, encap))


def _drivers(goal: Goal, scene: Scene) -> dict[str, str | None]:
    """VF -> its driver once all are made: as before us, as it was, or as the host gives it to new ones."""
    part = scene.config["functions"][goal.function]["mlx5"]
    if not scene.can.vfs.on_bus:
        return {}
    owned = scene.owned("functions", goal.function, "mlx5", "vfs")
    before = part["vfs"] if owned is None else owned["before"]
    usual = scene.can.driver if part["autoprobe"] else None
    found = {number: before[number]["driver"] if number in before else usual for number in goal.vfs}
    return {number: scene.can.driver if f"vf{number}" in goal.laned else found[number] for number in found}


def _to_bind(goal: Goal, unbound: tuple[int, ...], scene: Scene) -> list[int]:
    """VFs that stay and have their driver afterwards: those that it left for a while, and those that carry a lane."""
    vfs = scene.config["functions"][goal.function]["mlx5"]["vfs"]
    away = _given_back(goal, scene)
    laned = {int(number) for number in vfs if f"vf{number}" in goal.laned and vfs[number]["driver"] is None}
    return sorted({number for number in unbound if str(number) not in away} | laned)


def _given_back(goal: Goal, scene: Scene) -> set[str]:
    """VFs that have the driver that we gave them for a lane, and carry none any more."""
    owned = scene.owned("functions", goal.function, "mlx5", "vfs")
    if owned is None:
        return set()
    before, ours, driver = owned["before"] or {}, owned["set"] or {}, scene.can.driver
    return {
        number
        for number in ours
        if number in before
        and before[number]["driver"] is None
        and ours[number]["driver"] == driver
        and f"vf{number}" not in goal.laned
    }


def _to_unbind(goal: Goal, scene: Scene) -> tuple[int, ...]:
    """The VFs that their driver must leave for a while: for a new mode, a new address, or for good."""
    if not scene.can.vfs.on_bus:
        return ()
    vfs: Mapping[str, Any] = scene.config["functions"][goal.function]["mlx5"]["vfs"]
    bound = {number for number, vf in vfs.items() if vf["driver"] == scene.can.driver}
    if goal.recount:
        mixed = len({vf["driver"] for vf in vfs.values()}) > 1
        told = any(not is_plain(vf) for vf in vfs.values())
        chosen = bound if mixed or told else set()
    elif goal.why is not None and scene.can.switch.vfs_at_change == "unbound":
        chosen = bound
    else:
        chosen = {number for number in bound if "address" in changed(vfs[number], goal.vfs[number])}
        chosen |= bound & _given_back(goal, scene)
    return tuple(sorted(int(number) for number in chosen))


def _to_take(goal: Goal, scene: Scene) -> list[tuple[str, dict[str, Any]]]:
    """What functions were told that does not outlive what comes, or that they shall not have any more."""
    part = scene.config["functions"][goal.function]["mlx5"]
    found = []
    for number in sorted(part["vfs"], key=int):
        vf = part["vfs"][number]
        if goal.recount:
            put = taken(vf)
        else:
            put = {name: value for name, value in changed(vf, goal.vfs[number]).items() if value in (None, 0)}
            if goal.why is not None:
                put |= taken(vf, _RATES)
        found.append((f"vf{number}", put))
    for number in sorted(part["sfs"], key=int):
        sf = part["sfs"][number]
        if _sf_goes(goal, part["sfs"], number):
            put = taken(sf, _RATES)
        else:
            put = {name: value for name, value in changed(sf, goal.sfs[number]).items() if value in (None, 0)}
        found.append((f"sf{number}", put))
    return [(target, put) for target, put in found if put]


def _sf_goes(goal: Goal, sfs: Mapping[str, Any], number: str) -> bool:
    """Whether an SF goes, perhaps to come again: with the mode, or with another address."""
    if number not in goal.sfs or goal.why is not None:
        return True
    return bool(sfs[number]["address"] != goal.sfs[number]["address"])


def _clear(
    plan: FunctionPlan, port: Port | None, goal: Goal, scene: Scene
) -> tuple[TablePlan, TablePlan, PortsPlan] | None:
    """The rules that a function shall have, and the steps that take away what is in the way before anything else."""
    wanted = Steer()
    nic = None if port is None else port.name
    if port is not None:
        wanted = steer(port, _ground(port, goal, scene), scene.can)
        plan.refusals.extend(f"NIC {port.name}: {reason}" for reason in wanted.refusals)
        plan.notes.extend(f"NIC {port.name}: {note}" for note in wanted.notes)
        if wanted.steered:
            plan.steered.add(port.name)
    facts = scene.config["functions"][goal.function]
    if facts["device"] is None:
        return None
    count = any(isinstance(step, NicQueues) and step.device == facts["device"] for _, step in scene.others)
    part = facts["mlx5"]
    header = [name for name in ("inline", "encap") if getattr(goal, name) != part[name]]
    vanish = goal.recount or any(_sf_goes(goal, part["sfs"], number) for number in part["sfs"])
    upheaval = Upheaval(
        all_rules=goal.why,
        ntuple="another number of queues" if count else None,
        redirects="VFs and SFs that go" if vanish else None,
        flower=f"another {' and '.join(header)} mode" if header and scene.can.switch.flows_at_encap else None,
    )
    habits = Habits(one_shape=False, keeps_offload=scene.can.flower_rules.offload_off == "refused")
    size = scene.status["functions"][goal.function]["ntuple_size"]
    at = (goal.function, facts["device"])
    own = ("functions", goal.function)
    tables = (
        clear_ntuple(scene.config, at, wanted.ntuple, size, scene.owned(*own, "ntuple"), upheaval, habits),
        clear_flower(scene.config, at, wanted.flower, scene.owned(*own, "flower"), upheaval, habits),
    )
    for table in tables:
        plan.refusals.extend(table.refusals)
        plan.notes.extend(table.notes)
        if table.off is not None:
            plan.steps.append((nic, table.off))
    ports = clear_ports(plan, goal, wanted.ports, scene)
    plan.steps.extend((nic, step) for step in ports.off)
    return (*tables, ports)


def _ground(port: Port, goal: Goal, scene: Scene) -> Ground:
    queues = port.nic.queues
    if queues is None and port.device is not None:
        queues = queues_behind(scene.config, port.device, scene.others)
    sfs = frozenset(int(number) for number in goal.sfs)
    return Ground(scene.status, goal.mode_after, queues, goal.count_after, sfs, scene.forced)
