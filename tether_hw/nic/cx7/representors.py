# SPDX-License-Identifier: Apache-2.0
"""Rules of what stands for a VF or SF that carries a lane: its own frames leave by the port. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tether_hw.nic.cx7.goal import FunctionPlan, Goal, Scene
from tether_hw.nic.steering.lanes import Table
from tether_hw.plan.checks import Check
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.nic_rules_port import NicRulesPort
from tether_hw.plan.rules_table import flower_number


@dataclass
class PortsPlan:
    """`wanted`: port -> its rules. `off` run before everything else that is done to the function."""

    wanted: dict[str, Table]
    off: list[StepData] = field(default_factory=list)


def clear_ports(plan: FunctionPlan, goal: Goal, wanted: Mapping[str, Table], scene: Scene) -> PortsPlan:
    """What becomes of the rules that are there, before everything else; refusals go to the plan."""
    result = PortsPlan(dict(wanted))
    reps: Mapping[str, Any] = scene.config["functions"][goal.function]["mlx5"]["reps"]
    owned = scene.owned("functions", goal.function, "mlx5", "reps")
    before = (owned["before"] or {}) if owned is not None else {}
    for port in sorted(reps):
        rules = reps[port]["rules"]
        foreign = [place for place in rules if flower_number(place) is None or "other" in rules[place]]
        ours = port not in before and owned is not None and port in (owned["set"] or {})
        why = _vanishes(goal, port, scene)
        if foreign and (why is not None or port in wanted):
            reason = why or "its lane"
            plan.refusals.append(f"{port}: rules of tc that are not ours ({len(foreign)}) are in the way of {reason}")
        elif not foreign and why is not None and not (ours or len(rules)):
            plan.refusals.append(f"{port}: clsact, which is not ours, is in the way of {why}")
        elif not foreign and (why is not None or (port not in wanted and len(rules))):
            keep = why is None and not ours
            result.off.append(NicRulesPort(goal.function, port, {} if keep else None))
        elif not foreign and ours and port not in wanted:
            result.off.append(NicRulesPort(goal.function, port, None))
    return result


def _vanishes(goal: Goal, port: str, scene: Scene) -> str | None:
    """Why what stands for a function goes, perhaps to come again; None where it stays."""
    if goal.why is not None:
        return goal.why
    if "vf" in port:
        return "another number of VFs" if goal.recount else None
    number = port.rpartition("sf")[2].partition(".")[0]
    now = scene.config["functions"][goal.function]["mlx5"]["sfs"].get(number)
    gone = now is None or number not in goal.sfs or now["address"] != goal.sfs[number]["address"]
    return "an SF that goes" if gone else None


def set_ports(later: Mapping[str, Any], goal: Goal, ports: PortsPlan) -> Sequence[StepData]:
    """The steps that set what is wanted on a function that is in this config by then."""
    reps = later["functions"][goal.function]["mlx5"]["reps"]
    wanted = ports.wanted
    return [
        NicRulesPort(goal.function, port, wanted[port])
        for port in sorted(wanted)
        if reps.get(port) != {"rules": wanted[port]}
    ]


def checks(goal: Goal, ports: PortsPlan, nic: str) -> list[Check]:
    """That they are there, in hardware where they may be."""
    found = []
    for port in sorted(ports.wanted):
        data = {"function": goal.function, "table": "reps", "port": port, "rules": ports.wanted[port]}
        found.append(Check(f"rules-{port[1:].partition('.')[0]}-{nic}", "rules", nic, data))
    return found
