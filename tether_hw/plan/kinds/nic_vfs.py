# SPDX-License-Identifier: Apache-2.0
"""Set the number of virtual functions of a physical one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tether_hw.plan.effects import look_up
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import PCI, Fields


@dataclass(frozen=True)
class NicVfs(StepData):
    """`count` virtual functions. Between two counts the kernel wants none: plans go there in two steps."""

    function: str
    count: int

    kind = "nic_vfs"
    disruption = "function-reset"
    timeout_s = 60

    @classmethod
    def parse(cls, value: Any, where: str) -> NicVfs:
        fields = Fields(value, where)
        data = cls(fields.text("function", PCI), fields.integer("count", 0, 256))
        fields.done()
        return data

    def to_dict(self) -> dict[str, Any]:
        return {"function": self.function, "count": self.count}

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        return (("echo", str(self.count), ">", f"/sys/bus/pci/devices/{self.function}/sriov_numvfs"),)

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        return {("functions", self.function, "vfs"): self.count}

    def undo(self, config: dict[str, Any]) -> StepData | str:
        return NicVfs(self.function, int(look_up(config, ("functions", self.function, "vfs"))))

    def summary(self, config: dict[str, Any]) -> str:
        return f"{self.function}: VFs {look_up(config, ('functions', self.function, 'vfs'))} -> {self.count}"
