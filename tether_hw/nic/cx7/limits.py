# SPDX-License-Identifier: Apache-2.0
"""What a function cannot be, or not without taking away what is somebody else's: refusals with reasons. Pure."""

from __future__ import annotations

from typing import Any

from tether_hw.nic.cx7.capability import lacking, unknown
from tether_hw.nic.cx7.goal import FunctionPlan, Goal, Scene
from tether_hw.nic.cx7.model import SwitchNic
from tether_hw.nic.cx7.steer import Port


def check(plan: FunctionPlan, goal: Goal, port: Port | None, scene: Scene) -> None:
    """Refusals and notes go to the plan."""
    facts = scene.config["functions"][goal.function]
    status = scene.status["functions"][goal.function]
    if port is not None:
        _card(plan, goal, port.nic, status)
        _values(plan, goal, port.nic, facts, scene)
    _mode(plan, goal, facts, scene)
    _vfs(plan, goal, facts, status, scene)
    _sfs(plan, goal, port, facts, scene)


def _card(plan: FunctionPlan, goal: Goal, nic: SwitchNic, status: dict[str, Any]) -> None:
    if nic.psid is not None and nic.psid != status["psid"]:
        shown = "shows none" if status["psid"] is None else f"is {status['psid']}"
        plan.refusals.append(f"{goal.who}: its card shall be of PSID {nic.psid}, it {shown}")


def _values(plan: FunctionPlan, goal: Goal, nic: SwitchNic, facts: dict[str, Any], scene: Scene) -> None:
    """Whether the driver has what is asked for at all."""
    can, part = scene.can, facts["mlx5"]
    if nic.steering_mode is not None and (can.steering_modes is None or part["steering_mode"] is None):
        plan.refusals.append(f"{goal.who}: {can.driver} of this host has no flow_steering_mode")
    for name in nic.params.told():
        if can.params is None or name not in can.params.names or name not in part["params"]:
            plan.refusals.append(f"{goal.who}: {can.driver} of this host has no parameter {name}")
    for name, asked, known in (("inline", nic.inline, can.switch.inline), ("encap", nic.encap, can.switch.encap)):
        if asked is not None and (asked not in known or part[name] is None):
            plan.refusals.append(f"{goal.who}: {can.driver} of this host has no {name} mode that could be set")


def _mode(plan: FunctionPlan, goal: Goal, facts: dict[str, Any], scene: Scene) -> None:
    needs = scene.can.switch.needs
    if goal.mode_after == "switchdev":
        why = lacking(needs, scene.status["kernel"], scene.status["kernel_config"])
        if why is not None:
            plan.refusals.append(f"{goal.who}: {why}")
            return
        if facts["eswitch"] is None:
            plan.refusals.append(f"{goal.who}: its driver shows no switch whose mode could be set")
            return
    if goal.through_legacy and not goal.asked_mode:
        plan.refusals.append(
            f"{goal.who}: switchdev, which nobody asked for, is in the way of {goal.why}: say eswitch: switchdev"
        )


def _vfs(plan: FunctionPlan, goal: Goal, facts: dict[str, Any], status: dict[str, Any], scene: Scene) -> None:
    can, vfs = scene.can, facts["mlx5"]["vfs"]
    if can.vfs.made_by == "host":
        _outside(plan, goal, vfs)
        return
    most = max([status["vfs_max"], *(int(value) for value in goal.totals if value.isdigit())])
    if goal.count_after > most:
        plan.refusals.append(
            f"{goal.who}: {goal.count_after} VFs, the function has at most {most}"
            + (f": its card's {' and '.join(can.vfs.total)} say so, set them by nv:" if can.vfs.total else "")
        )
        return
    moved = goal.why is not None and can.switch.vfs_at_change == "unbound"
    if goal.count and moved and not goal.asked_vfs:
        plan.refusals.append(
            f"{goal.who}: {goal.count} VFs that nobody asked for are in the way of {goal.why}: say vfs: {goal.count}"
        )
        return
    _laned(plan, goal, facts, scene)
    readdressed = {
        number for number in goal.vfs if number in vfs and vfs[number]["address"] != goal.vfs[number]["address"]
    }
    disturbed = set(vfs) if goal.recount or moved else readdressed
    used = [
        f"VF {number} ({vfs[number]['driver']})"
        for number in sorted(disturbed, key=int)
        if vfs[number]["driver"] not in (None, can.driver)
    ]
    if used:
        plan.refusals.append(f"{goal.who}: {', '.join(used)} in use by somebody else: free it first")


def _laned(plan: FunctionPlan, goal: Goal, facts: dict[str, Any], scene: Scene) -> None:
    """A function that carries a lane is there, and its driver has it."""
    vfs = facts["mlx5"]["vfs"]
    for name in goal.laned:
        number = name[2:]
        if not scene.can.vfs.on_bus:
            plan.refusals.append(f"{goal.who}: {scene.can.driver} gives {name} no device that could carry a lane")
        elif name.startswith("vf") and number not in goal.vfs:
            plan.refusals.append(f"{goal.who}: a lane is on VF {number}, there are {goal.count_after}: say vfs: N")
        elif name.startswith("vf") and vfs.get(number, {}).get("driver") not in (None, scene.can.driver):
            driver = vfs[number]["driver"]
            plan.refusals.append(f"{goal.who}: a lane is on VF {number}, which {driver} has: free it first")


def _outside(plan: FunctionPlan, goal: Goal, vfs: dict[str, Any]) -> None:
    """VFs of the host around the card: who drives them there is not known, so none is touched while it is there."""
    if not goal.count or goal.recount:
        return
    changed = [number for number in vfs if vfs[number]["address"] != goal.vfs[number]["address"]]
    why = goal.why or (f"another address of VF {', '.join(changed)}" if changed else None)
    if why is not None:
        plan.refusals.append(
            f"{goal.who}: {goal.count} VFs of the host are in the way of {why}: say vfs: 0 at both sides and apply "
            "that first"
        )


def _sfs(plan: FunctionPlan, goal: Goal, port: Port | None, facts: dict[str, Any], scene: Scene) -> None:
    can, now = scene.can, facts["mlx5"]["sfs"]
    asked = {} if port is None else port.nic.sfs_told()
    if asked and can.sfs is None:
        plan.refusals.append(f"{goal.who}: {can.driver} has no SFs")
        return
    if asked and can.sfs is not None:
        why = lacking(can.sfs.needs, scene.status["kernel"], scene.status["kernel_config"])
        if why is not None:
            plan.refusals.append(f"{goal.who}: {why}")
            return
        if unknown(can.sfs.needs, scene.status["kernel_config"]):
            plan.notes.append(f"{goal.who}: nobody knows whether this kernel has {can.sfs.needs.option}")
        if goal.mode_after != "switchdev":
            plan.refusals.append(f"{goal.who}: SFs are of switchdev: say eswitch: switchdev")
            return
    owned = scene.owned("functions", goal.function, "mlx5", "sfs")
    ours = set() if owned is None else set(owned["set"] or {}) - set(owned["before"] or {})
    foreign = sorted(set(now) - set(asked) - ours, key=int)
    if foreign and goal.why is not None:
        plan.refusals.append(
            f"{goal.who}: SF {', '.join(foreign)}, which nobody asked for, in the way of {goal.why}: say it in sfs:"
        )
