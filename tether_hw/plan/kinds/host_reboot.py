# SPDX-License-Identifier: Apache-2.0
"""Boot the host, in the middle of a plan: what waits for the next boot becomes true, what no boot keeps is gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from tether_hw.plan.cold import Owned, volatile, wiped
from tether_hw.plan.effects import MISSING, Change, look_up
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import Fields, integer_item, text_item

MOST_BOOTS = 3
_MOST_CHANGES = 256


@dataclass(frozen=True)
class HostReboot(StepData):
    """`reason`: what waits for it. `budget`: how many boots it may take until that is there; never one more.

    `wipes`: (path, value) that the boot brings back beside what every boot wipes. The plan goes on after it by itself.
    """

    reason: str
    budget: int
    wipes: tuple[tuple[tuple[str, ...], Any], ...]

    kind = "host_reboot"
    disruption = "reboot"
    timeout_s = 900

    @classmethod
    def planned(cls, config: Mapping[str, Any], owned: Owned, reason: str, budget: int = 1) -> HostReboot:
        """The boot of a host of this config, of which the owned record says what we set."""
        own = {path: value for path, value in wiped(config, owned).items() if "nv" not in path}
        return cls(reason, budget, tuple(sorted(own.items())))

    @classmethod
    def parse(cls, value: Any, where: str) -> HostReboot:
        fields = Fields(value, where)
        data = cls(
            fields.text("reason", limit=256),
            integer_item(fields.take("budget"), fields.at("budget")),
            tuple(fields.objects("wipes", _parse_wipe, _MOST_CHANGES)),
        )
        fields.done()
        if not 1 <= data.budget <= MOST_BOOTS:
            raise fields.fail("budget", f"expected 1 to {MOST_BOOTS}")
        return data

    def to_dict(self) -> dict[str, Any]:
        wipes = [{"path": list(path), "value": value} for path, value in self.wipes]
        return {"reason": self.reason, "budget": self.budget, "wipes": wipes}

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        return (("reboot",),)

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        return {**wiped(config), **dict(self.wipes)}

    def effect(self, config: dict[str, Any]) -> tuple[Change, ...]:
        """What the steps before it took away already is not there to be wiped."""
        found = ((path, look_up(config, path), value) for path, value in self.changes(config).items())
        return tuple(Change(path, now, after) for path, now, after in found if now is not MISSING and now != after)

    def holds(self, config: dict[str, Any]) -> bool:
        """Never: a boot is no value of config."""
        return False

    def undo(self, config: dict[str, Any]) -> StepData | str:
        """Another boot: what was in force before waits for it again by then, what it wipes is made again."""
        former = tuple((change.path, change.before) for change in self.effect(config))
        return HostReboot(self.reason, self.budget, former)

    def summary(self, config: dict[str, Any]) -> str:
        times = "" if self.budget == 1 else f", {self.budget} times at most"
        return f"boot the host{times}: {self.reason}"


def _parse_wipe(value: Any, where: str) -> tuple[tuple[str, ...], Any]:
    fields = Fields(value, where)
    wipe = (tuple(fields.objects("path", text_item, 16)), fields.take("value"))
    fields.done()
    if not volatile(wipe[0]):
        raise fields.fail("path", "is nothing that a boot changes")
    return wipe
