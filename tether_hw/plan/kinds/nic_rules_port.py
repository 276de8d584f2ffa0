# SPDX-License-Identifier: Apache-2.0
"""Set the rules of tc on what stands for a VF or SF in switchdev: where its own frames go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tether_hw.plan.effects import look_up
from tether_hw.plan.function_name import FUNCTION
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.rule import DROP, PREF_TAGGED, SYMBOLIC, Rule
from tether_hw.plan.rule_commands import Words, tc_hook, tc_replace
from tether_hw.plan.rules_table import PLACE, Table, flower_chain, flower_number, flower_place, parse_wanted
from tether_hw.plan.shape import Fields


@dataclass(frozen=True)
class NicRulesPort(StepData):
    """`rules`: all that `port` has, each with our marks; None takes the hook that they hang on.

    A port with rules is up: the card carries a VF's frames only then. It stays up when they go.
    """

    function: str
    port: str
    rules: Table | None

    kind = "nic_rules_port"
    disruption = "traffic"
    timeout_s = 30

    @classmethod
    def parse(cls, value: Any, where: str) -> NicRulesPort:
        fields = Fields(value, where)
        function, port = fields.text("function", FUNCTION), fields.text("port", SYMBOLIC)
        rules = None if fields.take("rules") is None else fields.table("rules", parse_wanted, PLACE)
        data = cls(function, port, rules)
        fields.done()
        for place in data.rules or {}:
            number = flower_number(place)
            if number is None or flower_place(data.rule(place)) != place:
                raise fields.fail("rules", f"{place!r} does not carry the marks of its rule")
        return data

    def to_dict(self) -> dict[str, Any]:
        rules = None if self.rules is None else {place: dict(self.rules[place]) for place in self.rules}
        return {"function": self.function, "port": self.port, "rules": rules}

    def rule(self, place: str, device: str | None = None) -> Rule:
        """The rule at a place, on its port or on the device that this is."""
        rule = Rule.of((self.rules or {})[place], "device", flower_number(place) or 0)
        return replace(rule, device=device or self.port)

    def leaving(self, place: str, device: str) -> Rule:
        """A rule that goes, as far as its marks say it."""
        vlan = 0 if place.partition("/")[0] == str(PREF_TAGGED) else None
        return Rule("rule", device, flower_number(place) or 0, DROP, vlan=vlan, chain=flower_chain(place))

    def argv(self, paths: HostPaths) -> tuple[Words, ...]:
        if self.rules is None:
            return (tc_hook(self.port, False),)
        put = [tc_replace(self.rule(place)) for place in sorted(self.rules)]
        return (("ip", "link", "set", "dev", self.port, "up"), tc_hook(self.port, True), *put)

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        path = ("functions", self.function, "mlx5", "reps")
        now = _table(config, path)
        after = {port: now[port] for port in now if port != self.port}
        return {path: after if self.rules is None else {**after, self.port: {"rules": dict(self.rules)}}}

    def undo(self, config: dict[str, Any]) -> StepData | str:
        now = _table(config, ("functions", self.function, "mlx5", "reps")).get(self.port)
        if now is None:
            return NicRulesPort(self.function, self.port, None)
        if any(flower_number(place) is None or "other" in now["rules"][place] for place in now["rules"]):
            return f"{self.port}: rules of others do not come back"
        return NicRulesPort(self.function, self.port, dict(now["rules"]))

    def summary(self, config: dict[str, Any]) -> str:
        if self.rules is None:
            return f"{self.function} {self.port}: no tc rules"
        return f"{self.function} {self.port}: {len(self.rules)} tc rules"


def _table(config: dict[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    table = look_up(config, path)
    return table if isinstance(table, dict) else {}
