# SPDX-License-Identifier: Apache-2.0
"""The best way that a host has to steer the frames of one port, its rules, and why it was chosen. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tether_hw.nic.e810.capability import Capabilities
from tether_hw.nic.e810.model import E810Nic
from tether_hw.nic.functions.lane import LaneAt
from tether_hw.nic.functions.tables import shape
from tether_hw.nic.steering.model import WantedRule, lane_rule, overlap
from tether_hw.plan.rule import Rule

#: ethtool's and tc's tables are the kernel's; fdir is DPDK's and only rendered; xdp filters and does not steer.
ETHTOOL, FLOWER, FDIR, XDP = "ethtool", "flower", "fdir", "xdp"


@dataclass(frozen=True)
class Port:
    """A NIC of the inventory on its function. device: the kernel's, None without a driver of the kernel."""

    name: str
    nic: E810Nic
    function: str
    device: str | None
    lanes: tuple[LaneAt, ...] = ()


@dataclass(frozen=True)
class Ground:
    """What a port's rules stand on once everything before them is done. queues: None where nobody knows."""

    kernel: str
    driver_version: str | None
    eswitch: str
    safe_mode: bool
    queues: int | None
    vfs: int
    table_size: int | None
    lldp: bool | None


@dataclass
class Steer:
    """`rules` are to be in the table that `way` names; `steered`: every lane has a rule of its own."""

    way: str
    reason: str
    rules: list[Rule] = field(default_factory=list)
    steered: bool = False
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def steer(port: Port, ground: Ground, can: Capabilities) -> Steer:
    """The way and the rules of one port."""
    nic = port.nic
    wanted = nic.steering.rules if nic.steering is not None else []
    way, reason = _way(port, ground, can)
    plan = Steer(way, reason)
    if not port.lanes and not wanted:
        return plan
    asked = None if nic.steering is None else nic.steering.offload
    if way == XDP:
        plan.refusals.extend(f"rule {rule.name}: {reason}" for rule in wanted)
        if asked == "required" and port.lanes and not wanted:
            plan.refusals.append(f"steering is required of its lanes: {reason}")
    else:
        _rules(plan, port, wanted, asked or "required")
        _limits(plan, port, wanted, ground, can)
        plan.notes.extend(
            f"rule {rule.name} says no address: it takes every frame of EtherType {rule.match.ethertype:#06x} "
            + ("without a tag" if rule.match.vlan is None else f"of VLAN {rule.match.vlan}")
            for rule in wanted
            if not rule.match.narrow
        )
    _note(plan, sum(not lane.delivered for lane in port.lanes))
    return plan


def _way(port: Port, ground: Ground, can: Capabilities) -> tuple[str, str]:
    nic = port.nic
    if nic.mode == "dpdk":
        return FDIR, "flow director rules of the PMD, which `tether render` writes"
    if ground.safe_mode:
        return XDP, "the card is in safe mode, where there are no rules: it has no package that it could load"
    if ground.eswitch == "switchdev":
        return FLOWER, "the port is in switchdev"
    if nic.steering is not None and nic.steering.offload == "software":
        return XDP, "offload: software, and ethtool -N is hardware"
    lacks = can.no_ethtool_rules(ground.kernel, ground.driver_version)
    if lacks is not None:
        return XDP, lacks
    if any(lane.vlan is not None for lane in port.lanes) and not can.ethtool_rules.vlan:
        return XDP, "ice does not show the VLAN of an ethtool rule again, so none could be proved on a link with a VLAN"
    version = ground.driver_version
    return ETHTOOL, f"ice has ethtool -N for EtherTypes on kernel {ground.kernel}" + (
        f", driver {version}" if version not in (None, ground.kernel) else ""
    )


def _rules(plan: Steer, port: Port, wanted: Sequence[WantedRule], offload: str) -> None:
    """The lanes' rules first, then those of the inventory in their order."""
    device = port.device or ""
    if plan.way in (ETHTOOL, FDIR):
        # Flow director looks behind the tags for the EtherType; a lane's address is its own on every VLAN.
        for lane in port.lanes:
            number = len(plan.rules)
            plan.rules.append(lane_rule(device, number, lane.lane, lane.mac, None, lane.queue, "required"))
        plan.steered = bool(port.lanes)
        offload = "required"
    pf = int(port.function[-1])
    for rule in wanted:
        plan.rules.append(rule.bind(device, len(plan.rules), offload, pf))
    for number, one in enumerate(plan.rules):
        for other in plan.rules[:number]:
            if overlap(one, other):
                plan.refusals.append(f"rules {other.name} and {one.name} fit the same frames: the card chooses, not we")


def _limits(plan: Steer, port: Port, wanted: Sequence[WantedRule], ground: Ground, can: Capabilities) -> None:
    table: Any = {ETHTOOL: can.ethtool_rules, FLOWER: can.flower_rules, FDIR: can.dpdk_rules}[plan.way]
    words = {ETHTOOL: "ethtool -N", FLOWER: "a port in switchdev", FDIR: "flow director"}[plan.way]
    for rule in wanted:
        if rule.kind not in table.actions:
            plan.refusals.append(
                f"rule {rule.name}: {words} has no action {rule.kind}, only {', '.join(table.actions)}"
            )
        if rule.chain not in can.flower_rules.chains:
            plan.refusals.append(f"rule {rule.name}: chain {rule.chain}, the driver takes chain 0 only")
        action = rule.action
        if isinstance(action, str):
            continue
        if action.queue is not None and ground.queues is not None and action.queue >= ground.queues:
            plan.refusals.append(
                f"rule {rule.name}: queue {action.queue}, {port.name} has {ground.queues}: say queues: N"
            )
        vf = None if action.redirect is None else action.redirect.vf
        if vf is not None and vf >= ground.vfs:
            plan.refusals.append(f"rule {rule.name}: VF {vf}, there are {ground.vfs}: say vfs: N")
    if plan.way == FLOWER:
        if ground.lldp and any(rule.offload != "software" for rule in plan.rules):
            plan.refusals.append(
                "the firmware's LLDP agent is on, and the switch takes no rule beside it: "
                f"ethtool --set-priv-flags {port.device} fw-lldp-agent off"
            )
        return
    for bound in plan.rules:
        if bound.vlan is not None and not table.vlan:
            plan.refusals.append(f"rule {bound.name}: {words} of ice has no VLAN that could be proved")
        if not all(match is None or match.exact for match in (bound.destination, bound.source)):
            plan.refusals.append(f"rule {bound.name}: {words} of ice takes MAC addresses whole, without a mask")
    if plan.way == ETHTOOL:
        first = plan.rules[0]
        odd = [rule.name for rule in plan.rules if shape(rule.document()) != shape(first.document())]
        if odd:
            plan.refusals.append(
                f"rules {first.name} and {odd[0]} look at different fields: all ethtool rules of a port of ice "
                "look at the same ones"
            )
        if ground.table_size is not None and len(plan.rules) > ground.table_size:
            plan.refusals.append(f"{len(plan.rules)} rules, the port has room for {ground.table_size}")


def _note(plan: Steer, lanes: int) -> None:
    words = {
        ETHTOOL: "ethtool rules",
        FLOWER: "tc flower rules",
        FDIR: "DPDK",
        XDP: "nothing (XDP only filters)",
    }[plan.way]
    note = f"steers by {words}: {plan.reason}"
    if lanes > 1 and not plan.steered:
        if plan.way == FLOWER:
            note += "; its rules have no queue"
        note += f"; {lanes} lanes, 1 effective queue, others by ring"
    plan.notes.append(note)
