# SPDX-License-Identifier: Apache-2.0
"""Set the MTU of a NIC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tether_hw.plan.effects import look_up
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import IFNAME, Fields


@dataclass(frozen=True)
class NicMtu(StepData):
    """`mtu` in bytes, as `ip link` counts it: without the Ethernet header."""

    device: str
    mtu: int

    kind = "nic_mtu"
    disruption = "traffic"
    timeout_s = 15

    @classmethod
    def parse(cls, value: Any, where: str) -> NicMtu:
        fields = Fields(value, where)
        data = cls(fields.text("device", IFNAME), fields.integer("mtu", 68, 2**31 - 1))
        fields.done()
        return data

    def to_dict(self) -> dict[str, Any]:
        return {"device": self.device, "mtu": self.mtu}

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        return (("ip", "link", "set", "dev", self.device, "mtu", str(self.mtu)),)

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        return {("nics", self.device, "mtu"): self.mtu}

    def undo(self, config: dict[str, Any]) -> StepData | str:
        return NicMtu(self.device, int(look_up(config, ("nics", self.device, "mtu"))))

    def summary(self, config: dict[str, Any]) -> str:
        return f"{self.device}: MTU {look_up(config, ('nics', self.device, 'mtu'))} -> {self.mtu}"
