# SPDX-License-Identifier: Apache-2.0
"""Set the mode of the switch inside a NIC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tether_hw.plan.effects import look_up
from tether_hw.plan.facts_functions import ESWITCH_MODES
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import PCI, Fields


@dataclass(frozen=True)
class NicEswitch(StepData):
    """`mode`: legacy or switchdev, of the switch that belongs to a physical function."""

    function: str
    mode: str

    kind = "nic_eswitch"
    disruption = "function-reset"
    timeout_s = 60

    @classmethod
    def parse(cls, value: Any, where: str) -> NicEswitch:
        fields = Fields(value, where)
        data = cls(fields.text("function", PCI), fields.one_of("mode", ESWITCH_MODES))
        fields.done()
        return data

    def to_dict(self) -> dict[str, Any]:
        return {"function": self.function, "mode": self.mode}

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        return (("devlink", "dev", "eswitch", "set", f"pci/{self.function}", "mode", self.mode),)

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        return {("functions", self.function, "eswitch"): self.mode}

    def undo(self, config: dict[str, Any]) -> StepData | str:
        before = look_up(config, ("functions", self.function, "eswitch"))
        if before not in ESWITCH_MODES:
            return f"{self.function} shows no mode to go back to"
        return NicEswitch(self.function, str(before))

    def summary(self, config: dict[str, Any]) -> str:
        return f"{self.function}: eswitch {look_up(config, ('functions', self.function, 'eswitch'))} -> {self.mode}"
