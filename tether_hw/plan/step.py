# SPDX-License-Identifier: Apache-2.0
"""A step: one typed change of one host, with what it disturbs and how it is taken back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tether_hw.plan.effects import Change, Condition
from tether_hw.plan.shape import NAME, Fields, text_item

_MOST_CHANGES = 256  # a driver that leaves a card of eight functions changes some seventy values
#: What a step disturbs, from least to worst.
DISRUPTIONS = ("none", "traffic", "function-reset", "driver-reload", "reboot", "power-cycle")


def worse(left: str, right: str) -> str:
    """The worse of two disruption classes."""
    return max(left, right, key=DISRUPTIONS.index)


@dataclass(frozen=True)
class StepUndo:
    """How a step is taken back: data of the same kind."""

    data: dict[str, Any]
    argv: tuple[tuple[str, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        return {"data": self.data, "argv": [list(argv) for argv in self.argv]}

    @classmethod
    def parse(cls, value: Any, where: str) -> StepUndo:
        fields = Fields(value, where)
        undo = cls(fields.plain("data"), _parse_argv(fields))
        fields.done()
        return undo


@dataclass(frozen=True)
class Step:
    """One change. `argv` is for people: the agent builds its own from `kind` and `data`."""

    id: str
    host: str
    nic: str | None
    kind: str
    data: dict[str, Any]
    disruption: str
    summary: str
    pre: tuple[Condition, ...]
    post: tuple[Condition, ...]
    effect: tuple[Change, ...]
    timeout_s: int
    undo: StepUndo | None
    undo_reason: str | None
    argv: tuple[tuple[str, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "host": self.host,
            "nic": self.nic,
            "kind": self.kind,
            "data": self.data,
            "disruption": self.disruption,
            "summary": self.summary,
            "pre": [condition.to_dict() for condition in self.pre],
            "post": [condition.to_dict() for condition in self.post],
            "effect": [change.to_dict() for change in self.effect],
            "timeout_s": self.timeout_s,
            "undo": None if self.undo is None else self.undo.to_dict(),
            "undo_reason": self.undo_reason,
            "argv": [list(argv) for argv in self.argv],
        }

    @classmethod
    def parse(cls, value: Any, where: str = "step") -> Step:
        """Read a step strictly, its data by its kind; raises ShapeError."""
        from tether_hw.plan.kinds.registry import parse_data

        fields = Fields(value, where)
        kind = fields.text("kind", NAME)
        data = parse_data(kind, fields.take("data"), fields.at("data")).to_dict()
        undo_value = fields.take("undo")
        undo = None if undo_value is None else StepUndo.parse(undo_value, fields.at("undo"))
        if undo is not None:
            parse_data(kind, undo.data, fields.at("undo.data"))
        step = cls(
            id=fields.text("id", NAME),
            host=fields.text("host", NAME),
            nic=fields.optional_text("nic", NAME),
            kind=kind,
            data=data,
            disruption=fields.one_of("disruption", DISRUPTIONS),
            summary=fields.text("summary"),
            pre=tuple(fields.objects("pre", Condition.parse, _MOST_CHANGES)),
            post=tuple(fields.objects("post", Condition.parse, _MOST_CHANGES)),
            effect=tuple(fields.objects("effect", Change.parse, _MOST_CHANGES)),
            timeout_s=fields.integer("timeout_s", 1, 86400),
            undo=undo,
            undo_reason=fields.optional_text("undo_reason"),
            argv=_parse_argv(fields),
        )
        fields.done()
        if (step.undo is None) == (step.undo_reason is None):
            raise fields.fail("undo", "a step has either an undo or the reason why there is none")
        return step


def _parse_argv(fields: Fields) -> tuple[tuple[str, ...], ...]:
    def words(value: Any, where: str) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise fields.fail("argv", "expected lists of words")
        return tuple(text_item(word, where) for word in value)

    return tuple(fields.objects("argv", words, 64))
