# SPDX-License-Identifier: Apache-2.0
"""The rules of a lane that has a VF or SF to itself: one brings it its frames, one takes away what it sends. Pure."""

from __future__ import annotations

from typing import Any

from tether_hw.nic.functions.lane import LaneAt
from tether_hw.plan.rule import REDIRECT, MacMatch, Rule
from tether_hw.plan.rules_table import flower_place

Table = dict[str, dict[str, Any]]


def symbol(pf: int, function: str) -> str:
    """What stands for a VF or SF of this physical function."""
    return f"@pf{pf}{function}.rep"


def to_function(lane: LaneAt, device: str, number: int, offload: str, pf: int) -> Rule:
    """What comes for a lane goes to the function that carries it."""
    return Rule(
        name=f"lane{lane.lane}",
        device=device,
        number=number,
        action=REDIRECT,
        destination=MacMatch(lane.mac),
        vlan=lane.vlan,
        target=symbol(pf, lane.on or ""),
        offload=offload,
    )


def from_function(lane: LaneAt, uplink: str, offload: str) -> Table:
    """What a lane sends leaves by the port: its own EtherType under its own address, and nothing else."""
    rule = Rule(
        name=f"lane{lane.lane}",
        device=uplink,
        number=0,
        action=REDIRECT,
        source=MacMatch(lane.mac),
        vlan=lane.vlan,
        target=uplink,
        offload=offload,
    )
    return {flower_place(rule): rule.document()}
