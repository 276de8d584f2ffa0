# SPDX-License-Identifier: Apache-2.0
"""Set the ring depths of a NIC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tether_hw.plan.effects import look_up
from tether_hw.plan.facts import parse_ring
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import IFNAME, Fields


@dataclass(frozen=True)
class NicRing(StepData):
    """`ring` in descriptors per queue: {"rx", "tx"}."""

    device: str
    ring: dict[str, int]

    kind = "nic_ring"
    disruption = "traffic"  # drivers take the rings down and up again
    timeout_s = 30

    @classmethod
    def parse(cls, value: Any, where: str) -> NicRing:
        fields = Fields(value, where)
        device = fields.text("device", IFNAME)
        ring = parse_ring(fields.take("ring"), fields.at("ring"))
        if ring is None:
            raise fields.fail("ring", "missing")
        fields.done()
        return cls(device, ring)

    def to_dict(self) -> dict[str, Any]:
        return {"device": self.device, "ring": dict(self.ring)}

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        return (("ethtool", "-G", self.device, "rx", str(self.ring["rx"]), "tx", str(self.ring["tx"])),)

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        return {("nics", self.device, "ring"): dict(self.ring)}

    def undo(self, config: dict[str, Any]) -> StepData | str:
        before = look_up(config, ("nics", self.device, "ring"))
        if not isinstance(before, dict):
            return f"{self.device} shows no ring depth to go back to"
        return NicRing(self.device, dict(before))

    def summary(self, config: dict[str, Any]) -> str:
        before = look_up(config, ("nics", self.device, "ring"))
        text = "none" if not isinstance(before, dict) else f"rx {before['rx']} tx {before['tx']}"
        return f"{self.device}: ring {text} -> rx {self.ring['rx']} tx {self.ring['tx']}"
