# SPDX-License-Identifier: Apache-2.0
"""Make a subfunction of a physical function, or take it away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tether_hw.plan.effects import look_up
from tether_hw.plan.function_name import FUNCTION, devlink_handle, pf_number
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import MAC, Fields


@dataclass(frozen=True)
class NicSf(StepData):
    """The subfunction with the user's number `sfnum` is `present`, active, and has `address`.

    Its address comes before it is active: its driver reads it once, when it starts.
    """

    function: str
    sfnum: int
    present: bool
    address: str | None = None

    kind = "nic_sf"
    disruption = "function-reset"
    timeout_s = 120

    @classmethod
    def parse(cls, value: Any, where: str) -> NicSf:
        fields = Fields(value, where)
        data = cls(
            fields.text("function", FUNCTION),
            fields.integer("sfnum", 0, 2**32 - 1),
            fields.boolean("present"),
            fields.optional_text("address", MAC),
        )
        fields.done()
        if data.address is not None and not data.present:
            raise fields.fail("address", "goes with it")
        return data

    def to_dict(self) -> dict[str, Any]:
        return {
            "function": self.function,
            "sfnum": self.sfnum,
            "present": self.present,
            "address": self.address,
        }

    @property
    def adding(self) -> tuple[str, ...]:
        """The command that makes it."""
        words = ("devlink", "port", "add", devlink_handle(self.function), "flavour", "pcisf")
        return (*words, "pfnum", str(pf_number(self.function)), "sfnum", str(self.sfnum))

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        port = f"{devlink_handle(self.function)}/@sf{self.sfnum}"
        state = ("devlink", "port", "function", "set", port)
        if not self.present:
            return ((*state, "state", "inactive"), ("devlink", "port", "del", port))
        address = () if self.address is None else ((*state, "hw_addr", self.address),)
        return (self.adding, *address, (*state, "state", "active"))

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        at = ("functions", self.function, "mlx5", "sfs")
        found = look_up(config, at)
        now = dict(found) if isinstance(found, dict) else {}
        if not self.present:
            now.pop(str(self.sfnum), None)
        else:
            former = now.get(str(self.sfnum), {"tx_max": 0, "tx_share": 0})
            now[str(self.sfnum)] = {**former, "address": self.address, "active": True}
        return {at: now}

    def undo(self, config: dict[str, Any]) -> StepData | str:
        now = look_up(config, ("functions", self.function, "mlx5", "sfs", str(self.sfnum)))
        if not isinstance(now, dict):
            return NicSf(self.function, self.sfnum, False)
        if not now["active"] or now["tx_max"] or now["tx_share"]:
            return f"{self.function}: state and rates of SF {self.sfnum} do not come back with it"
        return NicSf(self.function, self.sfnum, True, now["address"])

    def summary(self, config: dict[str, Any]) -> str:
        now = look_up(config, ("functions", self.function, "mlx5", "sfs", str(self.sfnum)))
        words = "present" if self.present else "absent"
        if self.address is not None:
            words += f" with {self.address}"
        return f"{self.function}: SF {self.sfnum} {'present' if isinstance(now, dict) else 'absent'} -> {words}"
