# SPDX-License-Identifier: Apache-2.0
"""Set the steering rules of a function that ethtool knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tether_hw.plan.effects import look_up
from tether_hw.plan.function_name import FUNCTION
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.rule import REDIRECT, Rule
from tether_hw.plan.rule_commands import Words, ntuple_remove, ntuple_set, ntuple_switch
from tether_hw.plan.rules_table import LOCATION, Table, delta, merged, parse_wanted, reverse
from tether_hw.plan.shape import IFNAME, Fields, text_item


@dataclass(frozen=True)
class NicRulesNtuple(StepData):
    """`put`: location -> rule, set in place of what is there. `gone`: locations that are cleared. `on`: the switch.

    What goes goes first, so that a rule may move; all other locations stay as they are.
    """

    function: str
    device: str
    on: bool
    put: Table
    gone: tuple[str, ...]

    kind = "nic_rules_ntuple"
    disruption = "traffic"
    timeout_s = 30

    @classmethod
    def between(
        cls,
        function: str,
        device: str,
        now: Mapping[str, Any],
        ours: Iterable[str],
        wanted: Mapping[str, Any],
        on: bool = True,
    ) -> NicRulesNtuple:
        """From the table `now`, in which these locations are ours, to one in which ours are exactly `wanted`."""
        put, gone = delta(now, ours, wanted)
        return cls(function, device, on, put, gone)

    @classmethod
    def parse(cls, value: Any, where: str) -> NicRulesNtuple:
        fields = Fields(value, where)
        data = cls(
            fields.text("function", FUNCTION),
            fields.text("device", IFNAME),
            fields.boolean("on"),
            fields.table("put", parse_wanted, LOCATION),
            tuple(fields.objects("gone", text_item, 65536)),
        )
        fields.done()
        for location in data.gone:
            if not LOCATION.match(location):
                raise fields.fail("gone", f"{location!r} is no location")
        if set(data.gone) & set(data.put) or len(set(data.gone)) != len(data.gone):
            raise fields.fail("gone", "a location twice")
        for location, rule in data.put.items():
            if rule["action"] == REDIRECT or rule["offload"] != "required":
                raise fields.fail("put", f"location {location}: a filter of ethtool's steers to a queue or drops")
        return data

    def to_dict(self) -> dict[str, Any]:
        return {
            "function": self.function,
            "device": self.device,
            "on": self.on,
            "put": {key: dict(self.put[key]) for key in self.put},
            "gone": list(self.gone),
        }

    def argv(self, paths: HostPaths) -> tuple[Words, ...]:
        switch = ntuple_switch(self.device, self.on)
        gone = [ntuple_remove(self.device, int(location)) for location in self.gone]
        put = [self.command(location) for location in sorted(self.put, key=int)]
        return (switch, *gone, *put) if self.on else (*gone, switch)

    def command(self, location: str) -> Words:
        """What sets the rule of a location."""
        return ntuple_set(Rule.of(self.put[location], self.device, 0), int(location))

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        path = ("functions", self.function, "ntuple")
        rules = merged(_table(config, path)["rules"], self.put, self.gone)
        return {path: {"on": self.on, "rules": rules}}

    def undo(self, config: dict[str, Any]) -> StepData | str:
        table = _table(config, ("functions", self.function, "ntuple"))
        back = reverse(table["rules"], self.put, self.gone)
        return back if isinstance(back, str) else NicRulesNtuple(self.function, self.device, table["on"], *back)

    def summary(self, config: dict[str, Any]) -> str:
        return f"{self.device}: ethtool rules {in_short(self.put, self.gone)}"


def in_short(put: Mapping[str, Any], gone: Iterable[str]) -> str:
    """A delta in a few characters."""
    words = [f"+{len(put)}"] if put else []
    words += [f"-{count}"] if (count := len(list(gone))) else []
    return " ".join(words) or "as they are"


def _table(config: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    table = look_up(config, path)
    return table if isinstance(table, dict) else {"on": False, "rules": {}}
