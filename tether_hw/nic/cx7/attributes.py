# SPDX-License-Identifier: Apache-2.0
"""How functions are told their addresses and rates, and in which steps. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tether_hw.nic.cx7.capability import Capabilities
from tether_hw.plan.facts_mlx5 import PLAIN
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.nic_function import NicFunction


def tell(
    can: Capabilities, at: tuple[str, str | None], target: str, mode: str, put: Mapping[str, Any]
) -> list[StepData]:
    """The steps that tell a VF or SF these values in this mode. at: the function and its device.

    What is taken away and what is given are steps of their own: one comes before everything else, the other behind it.
    """
    function, device = at
    ways = can.vfs.switchdev if mode == "switchdev" or target.startswith("sf") else can.vfs.legacy
    by: dict[tuple[bool, bool], dict[str, Any]] = {}
    for name, value in put.items():
        way = ways.address if name == "address" else ways.rates
        netdev = way == "netdev" and not target.startswith("sf")
        by.setdefault((value == PLAIN[name], netdev), {})[name] = value
    return [
        NicFunction(function, target, device if netdev else None, values)
        for (_plain, netdev), values in sorted(by.items(), key=lambda item: item[0])
    ]


def changed(now: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What of a VF or SF is not as it shall be."""
    return {name: wanted[name] for name in PLAIN if now[name] != wanted[name]}


def taken(now: Mapping[str, Any], names: tuple[str, ...] = tuple(PLAIN)) -> dict[str, Any]:
    """What takes away what a VF or SF was told of these."""
    return {name: PLAIN[name] for name in names if now[name] != PLAIN[name]}


def given(put: Mapping[str, Any]) -> dict[str, Any]:
    """The part that gives something."""
    return {name: value for name, value in put.items() if value != PLAIN[name]}
