# SPDX-License-Identifier: Apache-2.0
"""Wait, at the Arm on a card, for the virtual functions that the host around it makes or takes away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tether_hw.plan.effects import look_up
from tether_hw.plan.facts_mlx5 import is_plain, plain_vfs
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import PCI, Fields


@dataclass(frozen=True)
class NicHostVfs(StepData):
    """`count` virtual functions of the host show as ports of `function`. Nothing is set: the host's plan does that."""

    function: str
    count: int

    kind = "nic_host_vfs"
    disruption = "none"
    timeout_s = 300

    @classmethod
    def parse(cls, value: Any, where: str) -> NicHostVfs:
        fields = Fields(value, where)
        data = cls(fields.text("function", PCI), fields.integer("count", 0, 256))
        fields.done()
        return data

    def to_dict(self) -> dict[str, Any]:
        return {"function": self.function, "count": self.count}

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        return (("devlink", "-j", "port", "show"),)

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        at = ("functions", self.function)
        return {(*at, "vfs"): self.count, (*at, "mlx5", "vfs"): plain_vfs(self.count, None)}

    def undo(self, config: dict[str, Any]) -> StepData | str:
        at = ("functions", self.function)
        vfs = look_up(config, (*at, "mlx5", "vfs"))
        told = [number for number in sorted(vfs, key=int) if not is_plain(vfs[number])]
        if told:
            return f"{self.function}: address and rates of VF {', '.join(told)} of the host do not come back with it"
        return NicHostVfs(self.function, int(look_up(config, (*at, "vfs"))))

    def summary(self, config: dict[str, Any]) -> str:
        now = look_up(config, ("functions", self.function, "vfs"))
        return f"{self.function}: wait for the host's VFs {now} -> {self.count}"
