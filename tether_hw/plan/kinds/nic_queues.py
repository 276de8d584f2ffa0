# SPDX-License-Identifier: Apache-2.0
"""Set the number of queues of a NIC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tether_hw.plan.effects import look_up
from tether_hw.plan.facts import parse_queues
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import IFNAME, Fields


def queues_text(queues: dict[str, int] | None) -> str:
    """Queue counts for people."""
    if queues is None:
        return "none"
    return " ".join(f"{count} {name}" for name, count in sorted(queues.items()))


@dataclass(frozen=True)
class NicQueues(StepData):
    """`queues` as the driver counts them: {"combined"} or {"rx", "tx"}."""

    device: str
    queues: dict[str, int]

    kind = "nic_queues"
    disruption = "traffic"
    timeout_s = 30

    @classmethod
    def parse(cls, value: Any, where: str) -> NicQueues:
        fields = Fields(value, where)
        device = fields.text("device", IFNAME)
        queues = parse_queues(fields.take("queues"), fields.at("queues"))
        if queues is None:
            raise fields.fail("queues", "missing")
        fields.done()
        return cls(device, queues)

    def to_dict(self) -> dict[str, Any]:
        return {"device": self.device, "queues": dict(self.queues)}

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        words = [word for name in sorted(self.queues) for word in (name, str(self.queues[name]))]
        return (("ethtool", "-L", self.device, *words),)

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        return {("nics", self.device, "queues"): dict(self.queues)}

    def undo(self, config: dict[str, Any]) -> StepData | str:
        before = look_up(config, ("nics", self.device, "queues"))
        if not isinstance(before, dict):
            return f"{self.device} shows no queue count to go back to"
        return NicQueues(self.device, dict(before))

    def summary(self, config: dict[str, Any]) -> str:
        before = look_up(config, ("nics", self.device, "queues"))
        return f"{self.device}: queues {queues_text(before)} -> {queues_text(self.queues)}"
