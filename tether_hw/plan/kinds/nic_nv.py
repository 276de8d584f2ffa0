# SPDX-License-Identifier: Apache-2.0
"""Set what a card's firmware starts with next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tether_hw.plan.effects import look_up
from tether_hw.plan.facts_mlx5 import NV_KEY, NV_VALUE
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import PCI, Fields

#: Settings that each physical function has for itself; all others are the card's.
_OWN = "PF_"


@dataclass(frozen=True)
class NicNv(StepData):
    """The settings `put` (KEY: value) are what the card of `function` starts with next; `former` is what that was.

    Nothing changes until the firmware is reset: the value that it runs with is another fact.
    """

    function: str
    put: dict[str, str]
    former: dict[str, str]

    kind = "nic_nv"
    disruption = "none"
    timeout_s = 120

    @classmethod
    def between(cls, config: dict[str, Any], function: str, put: dict[str, str]) -> NicNv:
        """From what the facts have to these values. Raises ValueError for a key that the facts do not have."""
        settings = config["functions"][function]["mlx5"]["nv"]
        missing = sorted(set(put) - set(settings))
        if missing:
            raise ValueError(f"{function} has no setting {missing[0]}")
        changed = {key: put[key] for key in sorted(put) if settings[key]["next"] != put[key]}
        return cls(function, changed, {key: settings[key]["next"] for key in changed})

    @classmethod
    def parse(cls, value: Any, where: str) -> NicNv:
        fields = Fields(value, where)
        data = cls(
            fields.text("function", PCI),
            fields.table("put", _parse_value, NV_KEY),
            fields.table("former", _parse_value, NV_KEY),
        )
        fields.done()
        if not data.put or set(data.put) != set(data.former):
            raise fields.fail("former", "expected the same settings as put has, and at least one")
        return data

    def to_dict(self) -> dict[str, Any]:
        return {"function": self.function, "put": dict(self.put), "former": dict(self.former)}

    @property
    def words(self) -> tuple[str, ...]:
        """What the program is told, whichever of its two names it has."""
        return ("-y", "set", *(f"{key}={self.put[key]}" for key in sorted(self.put)))

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        return (("mlxconfig", "-d", self.function, *self.words),)

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        return {
            ("functions", name, "mlx5", "nv", key, "next"): self.put[key]
            for key in sorted(self.put)
            for name in _having(config, self.function, key)
        }

    def undo(self, config: dict[str, Any]) -> StepData | str:
        return NicNv(self.function, dict(self.former), dict(self.put))

    def summary(self, config: dict[str, Any]) -> str:
        at = ("functions", self.function, "mlx5", "nv")
        changed = [f"{key} {look_up(config, (*at, key, 'next'))} -> {self.put[key]}" for key in sorted(self.put)]
        return f"{self.function}: next boot {', '.join(changed)}"


def _having(config: dict[str, Any], function: str, key: str) -> list[str]:
    """The functions whose facts show this setting: with one of the card's, all of the same card."""
    functions = config["functions"]
    card = functions[function]["card"] if function in functions else None
    if key.startswith(_OWN) or card is None:
        return [function]
    return [
        name
        for name in sorted(functions)
        if name == function
        or (functions[name]["card"] == card and key in (functions[name]["mlx5"] or {}).get("nv", {}))
    ]


def _parse_value(value: Any, where: str) -> str:
    return Fields({"value": value}, where).text("value", NV_VALUE)
