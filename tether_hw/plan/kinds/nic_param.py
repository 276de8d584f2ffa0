# SPDX-License-Identifier: Apache-2.0
"""Set a parameter of a driver that it takes while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tether_hw.plan.effects import look_up
from tether_hw.plan.facts_mlx5 import RUNTIME_PARAMS, STEERING_MODE
from tether_hw.plan.function_name import FUNCTION, devlink_handle
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.device_keeps import device_paths
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import NAME, Fields


@dataclass(frozen=True)
class NicParam(StepData):
    """The parameter `name` of a function has `value`, as devlink spells it."""

    function: str
    name: str
    value: str

    kind = "nic_param"
    disruption = "traffic"
    timeout_s = 60

    @classmethod
    def parse(cls, value: Any, where: str) -> NicParam:
        fields = Fields(value, where)
        data = cls(
            fields.text("function", FUNCTION),
            fields.one_of("name", (STEERING_MODE, *RUNTIME_PARAMS)),
            fields.text("value", NAME),
        )
        fields.done()
        return data

    def to_dict(self) -> dict[str, Any]:
        return {"function": self.function, "name": self.name, "value": self.value}

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        words = ("devlink", "dev", "param", "set", devlink_handle(self.function), "name", self.name)
        return ((*words, "value", self.value, "cmode", "runtime"),)

    @property
    def path(self) -> tuple[str, ...]:
        """Where facts have it."""
        inner = ("steering_mode",) if self.name == STEERING_MODE else ("params", self.name)
        return ("functions", self.function, "mlx5", *inner)

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        return {self.path: self.value}

    def keeps(self, config: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
        return device_paths(config, self.function)

    def undo(self, config: dict[str, Any]) -> StepData | str:
        before = look_up(config, self.path)
        if not isinstance(before, str):
            return f"{self.function} shows no {self.name} to go back to"
        return NicParam(self.function, self.name, before)

    def summary(self, config: dict[str, Any]) -> str:
        return f"{self.function}: {self.name} {look_up(config, self.path)} -> {self.value}"
