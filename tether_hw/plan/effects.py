# SPDX-License-Identifier: Apache-2.0
"""Conditions on facts, changes of facts, and the fold that turns facts and changes into the facts afterwards."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Iterable

from tether_hw.plan.shape import Fields, text_item

MISSING = object()


def look_up(config: dict[str, Any], path: Iterable[str]) -> Any:
    """The value at a path of config; MISSING where there is none."""
    value: Any = config
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return MISSING
        value = value[part]
    return value


@dataclass(frozen=True)
class Condition:
    """Holds when the value at `path` of config equals `equals`."""

    path: tuple[str, ...]
    equals: Any

    def holds(self, config: dict[str, Any]) -> bool:
        found = look_up(config, self.path)
        return found is not MISSING and type(found) is type(self.equals) and bool(found == self.equals)

    def to_dict(self) -> dict[str, Any]:
        return {"path": list(self.path), "equals": self.equals}

    @classmethod
    def parse(cls, value: Any, where: str) -> Condition:
        fields = Fields(value, where)
        condition = cls(tuple(fields.objects("path", text_item, 16)), fields.take("equals"))
        fields.done()
        return condition


@dataclass(frozen=True)
class Change:
    """One value of config that a step changes."""

    path: tuple[str, ...]
    before: Any
    after: Any

    def to_dict(self) -> dict[str, Any]:
        return {"path": list(self.path), "before": self.before, "after": self.after}

    @classmethod
    def parse(cls, value: Any, where: str) -> Change:
        fields = Fields(value, where)
        change = cls(tuple(fields.objects("path", text_item, 16)), fields.take("before"), fields.take("after"))
        fields.done()
        return change


def fold(config: dict[str, Any], changes: Iterable[Change]) -> dict[str, Any]:
    """The config after the changes; the given config stays as it is.

    Raises ValueError where a change names a place that the config does not have.
    """
    result = copy.deepcopy(config)
    for change in changes:
        place: Any = result
        for part in change.path[:-1]:
            place = place.get(part) if isinstance(place, dict) else None
        if not isinstance(place, dict) or change.path[-1] not in place:
            raise ValueError(f"no {'.'.join(change.path)} in the facts")
        place[change.path[-1]] = copy.deepcopy(change.after)
    return result


def holds(config: dict[str, Any], conditions: Iterable[Condition]) -> bool:
    """True when every condition holds."""
    return all(condition.holds(config) for condition in conditions)
