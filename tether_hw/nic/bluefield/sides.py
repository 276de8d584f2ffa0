# SPDX-License-Identifier: Apache-2.0
"""What the mode of a card, its firmware and its other side allow at this side: refusals with the next step. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tether_hw.nic.bluefield.model import ENGINE, ENGINE_OF, BluefieldNic, Seat
from tether_hw.nic.cx7.capability import ByReset
from tether_hw.nic.cx7.goal import FunctionPlan, Scene
from tether_hw.nic.cx7.nv import Waiting
from tether_hw.plan.kinds.nic_nv import NicNv
from tether_hw.plan.kinds.nic_reset import NicReset

Facts = Mapping[str, Any]
_REASON_MOST = 256
_PROGRAMS = ("mlxconfig", "mstconfig")


def running_mode(functions: Facts, card: str) -> str | None:
    """dpu or nic, as the firmware of a card (its serial) runs now; None where these facts do not say it."""
    for facts in functions.values():
        if facts["card"] == card and facts["mlx5"] is not None and ENGINE in facts["mlx5"]["nv"]:
            return "nic" if facts["mlx5"]["nv"][ENGINE]["current"] == ENGINE_OF["nic"] else "dpu"
    return None


def mode_of(nic: BluefieldNic, name: str, function: str, scene: Scene, says: bool) -> FunctionPlan:
    """Whether the card is in the mode that it shall be in; what makes it so, and what must be done by hand.

    says: whether what the host may do is told here.
    """
    seat, plan = nic.seat, FunctionPlan()
    who = f"NIC {name}"
    setting = scene.config["functions"][function]["mlx5"]["nv"].get(ENGINE)
    if setting is None:
        plan.stays = True
        lacks = all(scene.status["tools"].get(program) is None for program in _PROGRAMS)
        why = f"needs the program {' or '.join(_PROGRAMS)}" if lacks else f"its card has no setting {ENGINE}"
        plan.refusals.append(f"{who}: nobody can tell in which mode card {seat.card} is: {why}")
        return plan
    wanted = ENGINE_OF[seat.mode]
    if setting["current"] != wanted:
        plan.stays = True
        _other_mode(plan, who, function, seat, scene, setting)
        return plan
    restricted = scene.status["functions"][function].get("restricted")
    if seat.mode != "nic" and says:
        _privileges(plan, who, function, seat, restricted)
    return plan


def _other_mode(
    plan: FunctionPlan, who: str, function: str, seat: Seat, scene: Scene, setting: Mapping[str, str]
) -> None:
    now, wanted = "nic" if setting["current"] == ENGINE_OF["nic"] else "dpu", ENGINE_OF[seat.mode]
    cycle = f"switch the power of {seat.host} off and on, then tether plan"
    restricted = scene.status["functions"][function].get("restricted") is True
    if setting["next"] == wanted:
        plan.refusals.append(
            f"{who}: needs a power cycle: card {seat.card} runs in mode {now}, next in mode {seat.mode}: {cycle}"
        )
    elif seat.side == "arm":
        plan.notes.append(
            f"{who}: card {seat.card} runs in mode {now}; its change to {seat.mode} is set at {seat.host}: nothing "
            "here before that"
        )
    elif restricted:
        plan.refusals.append(
            f"{who}: card {seat.card} runs in mode {now}, and {seat.host} is restricted: at {seat.arm} run mlxprivhost "
            "-d DEVICE p, then tether plan"
        )
    else:
        step = NicNv.between(scene.config, function, {ENGINE: wanted})
        plan.steps.append((who.partition(" ")[2], step))
        plan.notes.append(
            f"{who}: card {seat.card} runs in mode {now}, and in mode {seat.mode} after a power cycle only: {cycle}; "
            "until then its ports stay as they are"
        )


def _privileges(plan: FunctionPlan, who: str, function: str, seat: Seat, restricted: bool | None) -> None:
    if restricted is None:
        if seat.mode == "zero-trust":
            plan.notes.append(f"{who}: mlxprivhost does not say here what {seat.host} may set: unknown")
        return
    if restricted == (seat.mode == "zero-trust"):
        return
    what, word = ("may set everything", "r") if seat.mode == "zero-trust" else ("is restricted", "p")
    where = f"-d {function}" if seat.side == "arm" else "-d DEVICE"
    plan.refusals.append(
        f"{who}: {seat.host} {what}, mode {seat.mode} says otherwise: at {seat.arm} run mlxprivhost {where} {word}, "
        "then tether plan"
    )


def check_arm(plan: FunctionPlan, nic: BluefieldNic, name: str, function: str, functions: Facts, ports: Facts) -> None:
    """What must hold at the Arm of all ports of a card. ports: function -> its NIC of the inventory, or None."""
    seat, who = nic.seat, f"NIC {name}"
    for other, facts in sorted(functions.items()):
        if facts["card"] != functions[function]["card"] or other == function or facts["mlx5"] is None:
            continue
        beside = ports.get(other)
        if facts["eswitch"] == "legacy" and (beside is None or beside.nic.eswitch != "switchdev"):
            plan.refusals.append(
                f"{who}: {other} of the same card is in legacy mode, and {seat.host}'s driver waits for both ports: "
                "say a NIC for it with eswitch: switchdev"
            )


def without_switch(nic: BluefieldNic, name: str, function: str, arm: Facts | None) -> str | None:
    """Why a function of the host has no driver, if that is because of the Arm. arm: the functions there, if known."""
    seat = nic.seat
    if seat.mode == "nic" or seat.side == "arm":
        return None
    ready = arm is not None and all(
        facts["eswitch"] == "switchdev" for facts in arm.values() if facts["card"] == nic.device.serial
    )
    if ready:
        return f"NIC {name}: {function} has no driver though {seat.arm} is ready: boot {seat.host}, then tether plan"
    return (
        f"NIC {name}: {function} has no driver: it waits until both ports are in switchdev at {seat.arm}: apply that "
        f"without this NIC, boot {seat.host}, then tether plan"
    )


def reset(
    plan: FunctionPlan, nic: BluefieldNic, name: str, function: str, scene: Scene, waiting: Waiting, asked: int
) -> None:
    """The reset for settings that wait for a start of the firmware, where the ladder has a rung for it.

    asked: VFs that this side waits for; the host makes none in a plan in which the card is reset.
    """
    settings = scene.can.settings
    if not waiting.words or settings is None or not isinstance(settings.starts_by, ByReset):
        return
    seat, who, rung = nic.seat, f"NIC {name}", settings.starts_by
    reason = "; ".join(waiting.words)
    reason = reason if len(reason) <= _REASON_MOST else f"{len(waiting.words)} functions start with other settings"
    cycle = f"switch the power of {seat.host} off and on, then tether plan"
    functions, card = scene.config["functions"], scene.config["functions"][function]["card"]
    count = max(asked, sum(facts["vfs"] for facts in functions.values() if facts["card"] == card))
    if seat.reboots == 0:
        plan.refusals.append(f"{who}: needs a power cycle: {reason}, and reboots: 0 forbids a reset: {cycle}")
        return
    if count:
        plan.refusals.append(
            f"{who}: {count} VFs of {seat.host} are in the way of the reset of card {seat.card}: say vfs: 0 at both "
            "sides and apply that first"
        )
        return
    if all(scene.status["tools"].get(program) is None for program in rung.programs):
        needs = " or ".join(rung.programs)
        plan.refusals.append(f"{who}: {reason}: a reset needs the program {needs}, which the host lacks")
        return
    offer = scene.status["functions"][function].get("reset") or {"levels": [], "syncs": []}
    if rung.level not in offer["levels"] or rung.sync not in offer["syncs"]:
        lacks = (
            "offers no reset by its drivers (synchronization by driver is not supported)"
            if rung.level in offer["levels"]
            else f"offers no reset of level {rung.level}"
        )
        plan.refusals.append(f"{who}: needs a power cycle: {reason}, and the card {lacks}: {cycle}")
        return
    at = (function, rung.level, rung.sync)
    plan.steps.append((name, NicReset.of(scene.config, scene.status["owned"], reason, seat.reboots, at)))
    plan.notes.append(
        f"{who}: the reset of card {seat.card} boots {seat.arm} and takes its ports from {seat.host} for a while"
    )
