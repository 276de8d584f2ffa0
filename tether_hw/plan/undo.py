# SPDX-License-Identifier: Apache-2.0
"""Taking a plan back: the undo data of the steps that ran, last first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable

from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.registry import parse_data
from tether_hw.plan.step import Step


@dataclass(frozen=True)
class UndoStep:
    """What takes one step back: data of its kind, or the reason why nothing does."""

    step: Step
    data: StepData | None
    reason: str | None


def undo_order(done: Iterable[Step]) -> list[UndoStep]:
    """The undo of the steps that were done (or begun), last first."""
    result = []
    for step in reversed(list(done)):
        data = None if step.undo is None else parse_data(step.kind, step.undo.data, f"{step.id}.undo")
        result.append(UndoStep(step, data, step.undo_reason))
    return result


def irreversible(steps: Iterable[Step]) -> list[Step]:
    """The steps that have no undo."""
    return [step for step in steps if step.undo is None]
