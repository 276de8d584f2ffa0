# SPDX-License-Identifier: Apache-2.0
"""Reset a card from the Arm on it: its firmware starts with what its memory says, and the Arm boots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from tether_hw.plan.cold import Owned
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.host_reboot import HostReboot
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import PCI, Fields


@dataclass(frozen=True)
class NicReset(HostReboot):
    """A boot of this host that is begun by the reset of the card of `function`, which carries this host.

    `level` and `sync`: the rung of the ladder, and who brings the drivers down; asked for again before it is used.
    """

    function: str
    level: int
    sync: int

    kind = "nic_reset"
    disruption = "reboot"
    timeout_s = 900

    @classmethod
    def of(
        cls, config: Mapping[str, Any], owned: Owned, reason: str, budget: int, rung: tuple[str, int, int]
    ) -> NicReset:
        """The reset of the card of a host of this config. rung: function, level, sync."""
        boot = HostReboot.planned(config, owned, reason, budget)
        return cls(boot.reason, boot.budget, boot.wipes, *rung)

    @classmethod
    def parse(cls, value: Any, where: str) -> NicReset:
        fields = Fields(value, where)
        function = fields.text("function", PCI)
        level, sync = fields.integer("level", 0, 5), fields.integer("sync", 0, 1)
        names = ("reason", "budget", "wipes")
        boot = HostReboot.parse({name: fields.take(name) for name in names}, where)
        fields.done()
        return cls(boot.reason, boot.budget, boot.wipes, function, level, sync)

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "function": self.function, "level": self.level, "sync": self.sync}

    @property
    def words(self) -> tuple[str, ...]:
        """What the program is told, whichever of its two names it has."""
        return ("-d", self.function, "-y", "-l", str(self.level), "--sync", str(self.sync), "reset")

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        return (("mlxfwreset", "-d", self.function, "q"), ("mlxfwreset", *self.words))

    def undo(self, config: dict[str, Any]) -> StepData | str:
        """Another reset: what was in force before waits for it again by then, what it wipes is made again."""
        boot = super().undo(config)
        assert isinstance(boot, HostReboot)
        return NicReset(boot.reason, boot.budget, boot.wipes, self.function, self.level, self.sync)

    def summary(self, config: dict[str, Any]) -> str:
        times = "" if self.budget == 1 else f", {self.budget} times at most"
        return f"{self.function}: reset the card, which boots this host{times}: {self.reason}"
