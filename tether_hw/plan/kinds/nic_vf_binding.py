# SPDX-License-Identifier: Apache-2.0
"""Give virtual functions to a driver, or take them from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tether_hw.plan.effects import look_up
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import NAME, PCI, Fields, integer_item


@dataclass(frozen=True)
class NicVfBinding(StepData):
    """The virtual functions `vfs` of a function have `driver` (`bound`), or none.

    Those that are bound had no driver before, those that are not had this one: what others have is left to them.
    """

    function: str
    vfs: tuple[int, ...]
    driver: str
    bound: bool

    kind = "nic_vf_binding"
    disruption = "function-reset"
    timeout_s = 120

    @classmethod
    def all_of(cls, config: dict[str, Any], function: str, driver: str, bound: bool) -> NicVfBinding | None:
        """All of a function that have no driver, or have this one; None where there is none of them."""
        vfs = config["functions"][function]["mlx5"]["vfs"]
        fitting = sorted(int(number) for number in vfs if vfs[number]["driver"] == (None if bound else driver))
        return cls(function, tuple(fitting), driver, bound) if fitting else None

    @classmethod
    def parse(cls, value: Any, where: str) -> NicVfBinding:
        fields = Fields(value, where)
        data = cls(
            fields.text("function", PCI),
            tuple(fields.objects("vfs", integer_item, 256)),
            fields.text("driver", NAME),
            fields.boolean("bound"),
        )
        fields.done()
        if not data.vfs or list(data.vfs) != sorted({number for number in data.vfs if 0 <= number < 256}):
            raise fields.fail("vfs", "expected numbers of VFs, each once, in order")
        return data

    def to_dict(self) -> dict[str, Any]:
        return {"function": self.function, "vfs": list(self.vfs), "driver": self.driver, "bound": self.bound}

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        place = f"/sys/bus/pci/drivers/{self.driver}/{'bind' if self.bound else 'unbind'}"
        return tuple(("echo", f"{self.function}/virtfn{number}", ">", place) for number in self.vfs)

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        path = ("functions", self.function, "mlx5", "vfs")
        now = look_up(config, path)
        if not isinstance(now, dict) or not {str(number) for number in self.vfs} <= set(now):
            raise ValueError(f"{self.function} has not all of these VFs")
        driver = self.driver if self.bound else None
        return {path: {**now, **{str(number): {**now[str(number)], "driver": driver} for number in self.vfs}}}

    def keeps(self, config: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
        return (("functions", self.function, "mlx5", "autoprobe"),) if self.bound else ()

    def undo(self, config: dict[str, Any]) -> StepData | str:
        at = ("functions", self.function, "mlx5", "vfs")
        expected = None if self.bound else self.driver
        other = [number for number in self.vfs if look_up(config, (*at, str(number), "driver")) != expected]
        if other:
            return f"{self.function}: VF {', '.join(map(str, other))} had another driver"
        return NicVfBinding(self.function, self.vfs, self.driver, not self.bound)

    def summary(self, config: dict[str, Any]) -> str:
        count = f"{len(self.vfs)} VF{'s' if len(self.vfs) > 1 else ''}"
        return f"{self.function}: driver {self.driver} {'on' if self.bound else 'off'} {count}"
