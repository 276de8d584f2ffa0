# SPDX-License-Identifier: Apache-2.0
"""Settings in a card's memory: what its firmware starts with next, and whether it must start for that. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tether_hw.nic.cx7.goal import FunctionPlan, Scene
from tether_hw.nic.cx7.steer import Port
from tether_hw.plan.effects import fold
from tether_hw.plan.kinds.host_reboot import HostReboot
from tether_hw.plan.kinds.nic_nv import NicNv

#: Settings that each physical function has for itself; all others are the card's.
OWN = "PF_"
_REASON_MOST = 256


@dataclass
class Waiting:
    """What waits for the next start of cards, of all functions of a host."""

    words: list[str]
    asked: dict[tuple[str, str], tuple[str, str]]


def plan_settings(plan: FunctionPlan, function: str, port: Port | None, scene: Scene, waiting: Waiting) -> Scene:
    """The step for the settings of one function; the scene behind it, as other functions of the card see it."""
    who = function if port is None else f"NIC {port.name}"
    facts = scene.config["functions"][function]
    part = facts["mlx5"]
    asked = {} if port is None else dict(port.nic.nv)
    can = scene.can.settings
    if asked:
        if can is None:
            plan.refusals.append(f"{who}: {scene.can.driver} has no settings in a card's memory")
            return scene
        if all(scene.status["tools"].get(program) is None for program in can.programs):
            plan.refusals.append(f"{who}: nv needs the program {' or '.join(can.programs)}, which the host lacks")
            return scene
        missing = [key for key in sorted(asked) if key not in part["nv"]]
        if missing:
            plan.refusals.append(f"{who}: its card has no setting {', '.join(missing)}")
            return scene
    for key, value in sorted(asked.items()):
        at = (facts["card"] or function, key if not key.startswith(OWN) else f"{function} {key}")
        first = waiting.asked.setdefault(at, (who, value))
        if first[1] != value:
            plan.refusals.append(f"{who}: {key}={value}, {first[0]} of the same card says {first[1]}")
    if can is None:
        return scene  # what was set while there were some is the other side's now
    wanted = {**_put_back(plan, function, set(asked), scene, waiting), **asked}
    later = {key: value for key, value in wanted.items() if part["nv"][key]["next"] != value}
    if any(part["nv"][key]["current"] != value for key, value in wanted.items()):
        shown = ", ".join(f"{key}={wanted[key]}" for key in sorted(wanted) if part["nv"][key]["current"] != wanted[key])
        waiting.words.append(f"{function} starts with {shown}")
    if not later:
        return scene
    step = NicNv.between(scene.config, function, later)
    plan.steps.append((None if port is None else port.name, step))
    return replace(scene, config=fold(scene.config, step.effect(scene.config)))


def boot(waiting: Waiting, scene: Scene) -> HostReboot | None:
    """The one boot of the host that all of it waits for."""
    if not waiting.words:
        return None
    reason = "; ".join(waiting.words)
    if len(reason) > _REASON_MOST:
        reason = f"{len(waiting.words)} functions start with other settings"
    return HostReboot.planned(scene.config, scene.status["owned"], reason)


def _put_back(plan: FunctionPlan, function: str, asked: set[str], scene: Scene, waiting: Waiting) -> dict[str, str]:
    """Settings that nobody asks for any more, as they were before us, while they are as we set them."""
    facts = scene.config["functions"][function]
    back: dict[str, str] = {}
    for key, now in facts["mlx5"]["nv"].items():
        entry = scene.owned("functions", function, "mlx5", "nv", key, "next")
        elsewhere = (facts["card"] or function, key) in waiting.asked and not key.startswith(OWN)
        if key in asked or elsewhere or entry is None or now["next"] == entry["before"]:
            continue
        if now["next"] == entry["set"]:
            back[key] = entry["before"]
        else:
            plan.notes.append(f"{function}: {key} is no longer what we set; it is left as it is")
    return back
