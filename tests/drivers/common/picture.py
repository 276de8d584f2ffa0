# SPDX-License-Identifier: Apache-2.0
"""All that a plan may change on a machine, straight from the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.drivers.common.machine import Host
from tests.drivers.common.netdev import Filter, NetDev


@dataclass
class Picture:
    """name -> what it is."""

    values: dict[str, Any] = field(default_factory=dict)

    def differences(self, other: Picture) -> list[str]:
        """In words, for the message of a failing test."""
        names = sorted(set(self.values) | set(other.values))
        pairs = ((name, self.values.get(name), other.values.get(name)) for name in names)
        return [f"{name}: {mine} -> {theirs}" for name, mine, theirs in pairs if mine != theirs]


def of_device(device: NetDev, at: str) -> dict[str, Any]:
    """What is set on a network device."""
    return {
        f"{at} device": (device.name, device.mtu, device.queues, dict(device.ring)),
        f"{at} hook": (device.hook, dict(device.features)),
        f"{at} filters": sorted((_shown(one) for one in device.filters), key=str),
    }


def settled(machine: Host) -> Host:
    machine.settle()
    return machine


def _name(target: NetDev | None) -> str | None:
    """Representors are named anew each time: they are what they stand for."""
    if target is None or not target.there:
        return None if target is None else "*"
    own = {"vf": target.vf, "sf": target.sf}
    numbers = "".join(f"{kind}{number}" for kind, number in own.items() if number is not None)
    return f"{target.function} {numbers}" if numbers else target.name


def _shown(one: Filter) -> tuple[Any, ...]:
    what = (one.pref, one.handle, one.protocol, tuple(sorted(one.keys.items())), one.chain, one.action)
    where = (_name(one.target), one.goto, tuple(_name(copy) for copy in one.mirrors), one.police)
    return (*what, one.queue, where, one.in_hw, one.skip_sw, one.skip_hw)
