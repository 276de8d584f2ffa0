# SPDX-License-Identifier: Apache-2.0
"""What a function shall be: as the inventory says, else as it was before us while it is as we set it, else as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tether_hw.nic.cx7.capability import Capabilities
from tether_hw.nic.cx7.steer import Port
from tether_hw.plan.checks import Check
from tether_hw.plan.facts_mlx5 import PLAIN
from tether_hw.plan.kinds.base import StepData

Pairs = list[tuple[str | None, StepData]]


@dataclass
class FunctionPlan:
    """`steered`: NICs whose lanes have rules of their own. `stays`: nothing else is done to the function now."""

    steps: Pairs = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    steered: set[str] = field(default_factory=set)
    checks: list[Check] = field(default_factory=list)
    stays: bool = False


@dataclass(frozen=True)
class Scene:
    """What a function is planned from. others: the steps that are planned for its device already.

    held: the other side of its card gives its VFs addresses, which no driver may have before.
    """

    config: dict[str, Any]
    status: Mapping[str, Any]
    can: Capabilities
    others: Sequence[tuple[str | None, StepData]] = ()
    forced: bool = False
    held: bool = False

    def owned(self, *path: str) -> Mapping[str, Any] | None:
        """The entry of the owned record for a path."""
        return next((entry for entry in self.status["owned"] if tuple(entry["path"]) == path), None)


@dataclass
class Goal:
    """One function. `vfs` and `sfs`: number -> what each has afterwards. `why`: why its mode changes, if it does."""

    who: str
    function: str
    mode: str
    mode_after: str
    count: int
    count_after: int
    inline: str | None
    encap: str | None
    params: dict[str, str]
    vfs: dict[str, dict[str, Any]]
    sfs: dict[str, dict[str, Any]]
    asked_vfs: bool
    asked_mode: bool
    why: str | None = None
    laned: tuple[str, ...] = ()  # functions that carry a lane: vf0, sf88
    totals: tuple[str, ...] = ()  # values of settings that say how many VFs there can be, when the card has them

    @property
    def recount(self) -> bool:
        """Whether its VFs go before they come again."""
        return self.count > 0 and self.count_after != self.count

    @property
    def through_legacy(self) -> bool:
        """Whether it leaves switchdev and comes back."""
        return self.why is not None and self.mode == self.mode_after == "switchdev"


def goal_of(plan: FunctionPlan, function: str, port: Port | None, scene: Scene) -> Goal:
    """What a function shall be; its facts have the part `mlx5`."""
    facts = scene.config["functions"][function]
    part = facts["mlx5"]
    nic = None if port is None else port.nic
    at = ("functions", function)
    who = function if port is None else f"NIC {port.name}"

    def value(inner: tuple[str, ...], asked: Any, now: Any, what: str) -> Any:
        return _value(plan, scene, (*at, *inner), asked, now, what)

    mode = facts["eswitch"] or "legacy"
    mode_after = value(("eswitch",), nic and nic.eswitch, mode, "its mode") or mode
    count_after = value(("vfs",), None if nic is None else nic.vf_count, facts["vfs"], "its VF count")
    wishes = {} if nic is None else nic.params.told()
    params = {
        name: value(("mlx5", "params", name), wishes.get(name), part["params"][name], name) for name in part["params"]
    }
    steering = value(("mlx5", "steering_mode"), nic and nic.steering_mode, part["steering_mode"], "its steering mode")
    if steering is not None:
        params["flow_steering_mode"] = steering
    goal = Goal(
        who=who,
        function=function,
        mode=mode,
        mode_after=mode_after,
        count=facts["vfs"],
        count_after=count_after,
        inline=value(("mlx5", "inline"), nic and nic.inline, part["inline"], "its inline mode"),
        encap=value(("mlx5", "encap"), nic and nic.encap, part["encap"], "its encap mode"),
        params={name: wanted for name, wanted in params.items() if wanted != _now(part, name)},
        vfs={},
        sfs={},
        asked_vfs=(nic is not None and nic.vfs is not None) or scene.owned(*at, "vfs") is not None,
        asked_mode=(nic is not None and nic.eswitch is not None) or scene.owned(*at, "eswitch") is not None,
    )
    if nic is not None:
        goal.totals = tuple(nic.nv[key] for key in scene.can.vfs.total if key in nic.nv)
    told = {} if nic is None else nic.vfs_told()
    told_sfs = {} if nic is None else nic.sfs_told()
    if port is not None:
        told, told_sfs = port.told("vf"), port.told("sf")
        goal.laned = tuple(lane.on for lane in port.lanes if lane.on is not None)
    owned = scene.owned(*at, "mlx5", "vfs")
    goal.vfs = {
        str(number): _attributes(told.get(str(number), {}), part["vfs"].get(str(number)), owned, str(number))
        for number in range(count_after)
    }
    goal.sfs = _sfs(part["sfs"], told_sfs, scene.owned(*at, "mlx5", "sfs"))
    if goal.mode_after != goal.mode:
        goal.why = f"the change to {goal.mode_after}"
    elif goal.params and goal.mode == "switchdev":
        goal.why = f"the change of {', '.join(sorted(goal.params))}, which legacy alone takes"
    return goal


def _now(part: Mapping[str, Any], name: str) -> str | None:
    value: str | None = part["steering_mode"] if name == "flow_steering_mode" else part["params"][name]
    return value


def _value(plan: FunctionPlan, scene: Scene, path: tuple[str, ...], asked: Any, now: Any, what: str) -> Any:
    if asked is not None:
        return asked
    entry = scene.owned(*path)
    if entry is None or now == entry["before"]:
        return now
    if now == entry["set"]:
        return entry["before"]
    plan.notes.append(f"{path[1]}: {what} is no longer what we set; it is left as it is")
    return now


def _attributes(
    told: Mapping[str, Any], now: Mapping[str, Any] | None, owned: Mapping[str, Any] | None, number: str
) -> dict[str, Any]:
    """Address and rates that a VF or SF shall have."""
    result = {}
    for name in PLAIN:
        there = PLAIN[name] if now is None else now[name]
        if name in told:
            there = told[name]
        elif owned is not None:
            before = ((owned["before"] or {}).get(number) or PLAIN)[name]
            ours = ((owned["set"] or {}).get(number) or PLAIN)[name]
            there = before if there == ours else there
        result[name] = there
    return result


def _sfs(now: Mapping[str, Any], told: Mapping[str, Any], owned: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The SFs that there shall be: those asked for, and those of others."""
    ours = set() if owned is None else set(owned["set"] or {}) - set(owned["before"] or {})
    there = set(told) | (set(now) - ours)
    return {
        number: _attributes(told.get(number, {}), now.get(number), owned, number) for number in sorted(there, key=int)
    }
