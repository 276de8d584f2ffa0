# SPDX-License-Identifier: Apache-2.0
"""The rules of one port, and in which of its two tables each is: queues by ethtool, the switch by tc. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tether_hw.nic.cx7.capability import Capabilities, lacking, unknown
from tether_hw.nic.cx7.model import SwitchNic
from tether_hw.nic.functions.lane import LaneAt
from tether_hw.nic.steering.lanes import Table, from_function, symbol, to_function
from tether_hw.nic.steering.model import WantedRule, lane_rule, overlap
from tether_hw.plan.function_name import pf_number
from tether_hw.plan.probed import offloads
from tether_hw.plan.rule import Rule


@dataclass(frozen=True)
class Port:
    """A NIC of the inventory on its function. device: the kernel's name of it."""

    name: str
    nic: SwitchNic
    function: str
    device: str | None
    lanes: tuple[LaneAt, ...] = ()

    def told(self, kind: str) -> dict[str, dict[str, Any]]:
        """What its VFs or SFs are told; those that carry a lane have its address."""
        told = self.nic.vfs_told() if kind == "vf" else self.nic.sfs_told()
        for lane in self.lanes:
            if lane.on is not None and lane.on.startswith(kind):
                told[lane.on[2:]] = {**told.get(lane.on[2:], {}), "address": lane.mac}
        return told


@dataclass(frozen=True)
class Ground:
    """What a port's rules stand on once everything before them is done. queues: None where nobody knows.

    status: the host's; forced: rules that hardware will not take are tried all the same, and judged by what is there.
    """

    status: Mapping[str, Any]
    eswitch: str
    queues: int | None
    vfs: int
    sfs: frozenset[int]
    forced: bool = False


@dataclass
class Steer:
    """`ntuple` and `flower`: the rules of the two tables. `steered`: every lane has a rule of its own.

    ports: what stands for a function that carries a lane -> its rules.
    """

    ntuple: list[Rule] = field(default_factory=list)
    flower: list[Rule] = field(default_factory=list)
    steered: bool = False
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ports: dict[str, Table] = field(default_factory=dict)


def steer(port: Port, ground: Ground, can: Capabilities) -> Steer:
    """The rules of one port."""
    plan = Steer()
    steering = port.nic.steering
    wanted = [] if steering is None else steering.rules
    asked = None if steering is None else steering.offload
    if port.nic.mode == "dpdk" or (not port.lanes and not wanted):
        return plan
    pf, outside = pf_number(port.function), can.vfs.made_by == "host"
    beside = [lane for lane in port.lanes if lane.on is not None]
    lanes = _functions(plan, port, ground, asked or "preferred", beside) if beside else _lanes(plan, port, asked, can)
    for rule in wanted:
        if rule.kind in _ethtool_actions(ground, can):
            plan.ntuple.append(rule.bind(port.device or "", len(plan.ntuple), "required", pf, outside))
        else:
            bound = rule.bind(port.device or "", len(plan.flower), asked or "required", pf, outside)
            plan.flower.append(bound)
        _limits(plan, port, rule, ground, can)
    _clashes(plan)
    if plan.flower and not plan.refusals:
        _hardware(plan, port, ground, can)
    plan.notes.extend(
        f"rule {rule.name} says no address: it takes every frame of EtherType {rule.match.ethertype:#06x} "
        + ("without a tag" if rule.match.vlan is None else f"of VLAN {rule.match.vlan}")
        for rule in wanted
        if not rule.match.narrow
    )
    plan.notes.append(_ways(plan, lanes))
    return plan


def _ethtool_actions(ground: Ground, can: Capabilities) -> Sequence[str]:
    """What ethtool's table is for: in switchdev a frame is dropped by the switch, before it comes to a queue."""
    actions = [] if can.ethtool_rules is None else can.ethtool_rules.actions
    return [action for action in actions if action == "queue" or ground.eswitch == "legacy"]


def _lanes(plan: Steer, port: Port, asked: str | None, can: Capabilities) -> str:
    """Rules for the lanes; in which words they are steered."""
    lanes = sum(not lane.delivered for lane in port.lanes)
    if can.ethtool_rules is None or asked == "software":
        why = f"{can.driver} has no ethtool -N" if can.ethtool_rules is None else "offload: software"
        if asked == "required" and port.lanes and port.nic.steering is not None and not port.nic.steering.rules:
            plan.refusals.append(f"steering is required of its lanes: {why}")
        if lanes > 1:
            return f"{lanes} lanes, 1 effective queue, others by ring: {why}"
        return f"its lanes by nothing (XDP only filters): {why}" if port.lanes else ""
    plan.ntuple.extend(lane_rules(port))
    plan.steered = bool(port.lanes)
    return ""


def _functions(plan: Steer, port: Port, ground: Ground, offload: str, lanes: Sequence[LaneAt]) -> str:
    """Lanes that have a VF or SF each: in legacy the card brings it what is for its address, in switchdev rules do."""
    plan.steered = True
    on = ", ".join(str(lane.on) for lane in lanes)
    if ground.eswitch == "legacy":
        return f"its lanes by the addresses of {on}"
    pf, device = pf_number(port.function), port.device or ""
    for number, lane in enumerate(lanes):
        plan.flower.append(to_function(lane, device, number, offload, pf))
        plan.ports[symbol(pf, lane.on or "")] = from_function(lane, device, offload)
    return f"frames of {on} leave by rules of their own"


def lane_rules(port: Port) -> list[Rule]:
    """The rules that bring each lane's frames to its queue."""
    device = port.device or ""
    return [
        lane_rule(device, number, lane.lane, lane.mac, lane.vlan, lane.queue, "required")
        for number, lane in enumerate(port.lanes)
    ]


def _limits(plan: Steer, port: Port, rule: WantedRule, ground: Ground, can: Capabilities) -> None:
    who, action = f"rule {rule.name}", rule.action
    if ground.eswitch == "legacy" and rule.kind not in _ethtool_actions(ground, can):
        plan.refusals.append(f"{who}: {rule.kind} is done by the switch: say eswitch: switchdev")
        return
    if rule.kind == "queue" and can.ethtool_rules is None:
        plan.refusals.append(f"{who}: {can.driver} has no ethtool -N, and a rule of the switch has no queue")
        return
    if rule.chain and rule.kind == "queue":
        plan.refusals.append(f"{who}: chains are the switch's, queues are chosen behind it")
    if isinstance(action, str):
        return
    if action.queue is not None and ground.queues is not None and action.queue >= ground.queues:
        plan.refusals.append(f"{who}: queue {action.queue}, {port.name} has {ground.queues}: say queues: N")
    for target in rule.targets:
        if target.vf is not None and target.vf >= ground.vfs:
            plan.refusals.append(f"{who}: VF {target.vf}, there are {ground.vfs}: say vfs: N")
        if target.sf is not None and target.sf not in ground.sfs:
            plan.refusals.append(f"{who}: SF {target.sf} is not there: say it in sfs:")


def _clashes(plan: Steer) -> None:
    for rules in (plan.ntuple, plan.flower):
        for number, one in enumerate(rules):
            for other in rules[:number]:
                if overlap(one, other):
                    plan.refusals.append(
                        f"rules {other.name} and {one.name} fit the same frames: the card chooses, not we"
                    )


def _hardware(plan: Steer, port: Port, ground: Ground, can: Capabilities) -> None:
    """Whether hardware takes rules of tc, as far as this is known before they are set."""
    if plan.flower[0].offload == "software":
        return
    status, table = ground.status, can.flower_rules
    why = lacking(table.needs, status["kernel"], status["kernel_config"])
    takes: bool | None = None if why is None else False
    words = why or ""
    if takes is None:
        takes, words = offloads(status, port.function, can.driver, ground.eswitch)
    if takes is None and table.known and not unknown(table.needs, status["kernel_config"]):
        return
    if takes is False and plan.flower[0].offload == "required" and not ground.forced:
        plan.refusals.append(f"rules in hardware are required: {words}")
    elif takes is not True:
        plan.notes.append(words)


def _ways(plan: Steer, lanes: str) -> str:
    tables = [("ethtool rules", plan.ntuple), ("tc flower rules", plan.flower)]
    words = " and ".join(f"{len(rules)} {name}" for name, rules in tables if rules)
    return "steers by " + "; ".join(part for part in (words or "nothing", lanes) if part)
