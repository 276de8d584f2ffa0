# SPDX-License-Identifier: Apache-2.0
"""Set the number of virtual functions of a physical one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tether_hw.plan.effects import look_up
from tether_hw.plan.facts_mlx5 import is_plain, plain_vfs
from tether_hw.plan.function_name import FUNCTION, is_simulated, sysfs_folder
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import Fields


@dataclass(frozen=True)
class NicVfs(StepData):
    """`count` virtual functions. Between two counts the kernel wants none: plans go there in two steps.

    probe: whether a driver may take them at once; None leaves that to the host. A driver that takes them only later
    finds the address that they were given in between. The host's own setting is afterwards what it was.
    """

    function: str
    count: int
    probe: bool | None = None

    kind = "nic_vfs"
    disruption = "function-reset"
    timeout_s = 120

    @classmethod
    def parse(cls, value: Any, where: str) -> NicVfs:
        fields = Fields(value, where)
        probe = None if fields.take("probe") is None else fields.boolean("probe")
        data = cls(fields.text("function", FUNCTION), fields.integer("count", 0, 256), probe)
        fields.done()
        if probe is not None and (not data.count or is_simulated(data.function)):
            raise fields.fail("probe", "there is nothing that a driver could take")
        return data

    def to_dict(self) -> dict[str, Any]:
        return {"function": self.function, "count": self.count, "probe": self.probe}

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        folder = f"/sys/{sysfs_folder(self.function)}"
        count = ("echo", str(self.count), ">", f"{folder}/sriov_numvfs")
        if self.probe is None:
            return (count,)
        return (("echo", str(int(self.probe)), ">", f"{folder}/sriov_drivers_autoprobe"), count)

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        at = ("functions", self.function)
        changes: dict[tuple[str, ...], Any] = {(*at, "vfs"): self.count}
        part = look_up(config, (*at, "mlx5"))
        if isinstance(part, dict):
            probed = part["autoprobe"] if self.probe is None else self.probe
            driver = look_up(config, (*at, "driver")) if probed else None
            changes[(*at, "mlx5", "vfs")] = plain_vfs(self.count, driver)
        return changes

    def keeps(self, config: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
        path = ("functions", self.function, "mlx5", "autoprobe")
        return (path,) if self.probe is not None and isinstance(look_up(config, path), bool) else ()

    def undo(self, config: dict[str, Any]) -> StepData | str:
        at = ("functions", self.function)
        count, part = int(look_up(config, (*at, "vfs"))), look_up(config, (*at, "mlx5"))
        if not isinstance(part, dict):
            return NicVfs(self.function, count)
        told = [number for number in sorted(part["vfs"], key=int) if not is_plain(part["vfs"][number])]
        if told:
            return f"{self.function}: address and rates of VF {', '.join(told)} do not come back with it"
        if not count or is_simulated(self.function):
            return NicVfs(self.function, count)
        drivers = {vf["driver"] for vf in part["vfs"].values()}
        own = look_up(config, (*at, "driver"))
        if drivers not in ({None}, {own}):
            return f"{self.function}: not all VFs have driver {own}, or all none"
        return NicVfs(self.function, count, drivers == {own})

    def summary(self, config: dict[str, Any]) -> str:
        return f"{self.function}: VFs {look_up(config, ('functions', self.function, 'vfs'))} -> {self.count}"
