# SPDX-License-Identifier: Apache-2.0
"""Set the steering rules of a function that tc knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tether_hw.plan.effects import look_up
from tether_hw.plan.function_name import FUNCTION
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.nic_rules_ntuple import in_short
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.rule import PREF_TAGGED, Rule
from tether_hw.plan.rule_commands import Words, tc_hook, tc_offload, tc_remove, tc_replace
from tether_hw.plan.rules_table import (
    PLACE,
    Table,
    delta,
    flower_chain,
    flower_number,
    flower_place,
    merged,
    parse_wanted,
    reverse,
)
from tether_hw.plan.shape import IFNAME, Fields, text_item


@dataclass(frozen=True)
class NicRulesFlower(StepData):
    """`put`: pref/handle -> rule, `gone`: those that go; all of them carry our marks. Targets may be symbolic.

    `hook`: the qdisc that rules hang on. `offload`: whether the device lets rules go to hardware at all.
    """

    function: str
    device: str
    hook: bool
    offload: bool
    put: Table
    gone: tuple[str, ...]

    kind = "nic_rules_flower"
    disruption = "traffic"
    timeout_s = 30

    @classmethod
    def between(
        cls,
        function: str,
        device: str,
        now: Mapping[str, Any],
        wanted: Iterable[Rule],
        hook: bool = True,
        offload: bool = True,
    ) -> NicRulesFlower:
        """From the table `now` to one in which ours (they carry our marks) are exactly `wanted`."""
        ours = [place for place in now if flower_number(place) is not None]
        put, gone = delta(now, ours, {flower_place(rule): rule.document() for rule in wanted})
        return cls(function, device, hook, offload, put, gone)

    @classmethod
    def parse(cls, value: Any, where: str) -> NicRulesFlower:
        fields = Fields(value, where)
        data = cls(
            fields.text("function", FUNCTION),
            fields.text("device", IFNAME),
            fields.boolean("hook"),
            fields.boolean("offload"),
            fields.table("put", parse_wanted, PLACE),
            tuple(fields.objects("gone", text_item, 65536)),
        )
        fields.done()
        if set(data.gone) & set(data.put) or len(set(data.gone)) != len(data.gone):
            raise fields.fail("gone", "a rule twice")
        for place in data.gone:
            if flower_number(place) is None:
                raise fields.fail("gone", f"{place!r} does not carry our marks")
        for place in data.put:
            number = flower_number(place)
            if number is None or flower_place(Rule.of(data.put[place], data.device, number)) != place:
                raise fields.fail("put", f"{place!r} does not carry the marks of its rule")
        if data.put and not data.hook:
            raise fields.fail("hook", "rules need it")
        return data

    def to_dict(self) -> dict[str, Any]:
        return {
            "function": self.function,
            "device": self.device,
            "hook": self.hook,
            "offload": self.offload,
            "put": {key: dict(self.put[key]) for key in self.put},
            "gone": list(self.gone),
        }

    def argv(self, paths: HostPaths) -> tuple[Words, ...]:
        offload, hook = tc_offload(self.device, self.offload), tc_hook(self.device, self.hook)
        gone = [tc_remove(self.leaving(place)) for place in forward(self.gone)]
        put = [tc_replace(rule) for rule in self.rules()]
        if self.hook:
            return (offload, hook, *gone, *put) if self.offload else (hook, *gone, *put, offload)
        return (*gone, hook, offload)

    def rules(self) -> list[Rule]:
        """The rules that are set, on their device, the last chain's first; targets as the plan has them."""
        rules = [Rule.of(self.put[place], self.device, flower_number(place) or 0) for place in sorted(self.put)]
        return sorted(rules, key=lambda rule: -rule.chain)

    def leaving(self, place: str) -> Rule:
        """A rule that goes, as far as its marks say it."""
        tagged = place.partition("/")[0] == str(PREF_TAGGED)
        vlan = 0 if tagged else None
        return Rule("rule", self.device, flower_number(place) or 0, "drop", vlan=vlan, chain=flower_chain(place))

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        path = ("functions", self.function, "flower")
        rules = merged(_table(config, path)["rules"], self.put, self.gone)
        return {path: {"hook": self.hook, "offload": self.offload, "rules": rules}}

    def undo(self, config: dict[str, Any]) -> StepData | str:
        table = _table(config, ("functions", self.function, "flower"))
        back = reverse(table["rules"], self.put, self.gone)
        if isinstance(back, str):
            return back
        return NicRulesFlower(self.function, self.device, table["hook"], table["offload"], *back)

    def summary(self, config: dict[str, Any]) -> str:
        return f"{self.device}: tc rules {in_short(self.put, self.gone)}"


def forward(places: Iterable[str]) -> list[str]:
    """Keys of tc's rules in the order in which frames may come to them: what is reached last goes last."""
    return sorted(places, key=lambda place: (flower_chain(place), place))


def _table(config: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    table = look_up(config, path)
    return table if isinstance(table, dict) else {"hook": False, "offload": False, "rules": {}}
