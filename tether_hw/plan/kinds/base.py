# SPDX-License-Identifier: Apache-2.0
"""What every kind of step answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from tether_hw.plan.effects import MISSING, Change, Condition, look_up
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.step import Step, StepUndo


class StepData(ABC):
    """The typed data of a step. Subclasses are frozen dataclasses with a strict `parse`."""

    kind: ClassVar[str]
    disruption: ClassVar[str]
    timeout_s: ClassVar[int]

    @classmethod
    @abstractmethod
    def parse(cls, value: Any, where: str) -> StepData:
        """Read the data strictly; raises ShapeError."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The data as it crosses."""

    @abstractmethod
    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        """The commands that this step amounts to. NIC steps are run exactly so; the others are shown so to people."""

    @abstractmethod
    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        """What the step sets in config: path -> value afterwards."""

    @abstractmethod
    def undo(self, config: dict[str, Any]) -> StepData | str:
        """The data that takes the step back to `config`, or the reason why there is none."""

    @abstractmethod
    def summary(self, config: dict[str, Any]) -> str:
        """What changes, in one line for people."""

    def disrupts(self, config: dict[str, Any]) -> str:
        """The disruption class on a host of this config."""
        return self.disruption

    def presumes(self, path: tuple[str, ...]) -> bool:
        """Whether what a path has before the step shows on the host when it begins."""
        return True

    def keeps(self, config: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
        """Paths of config that the step may touch on its way and leaves as they were."""
        return ()

    def effect(self, config: dict[str, Any]) -> tuple[Change, ...]:
        """The changes of config, with what is there before. Raises ValueError where config has no such place."""
        effect = []
        for path, after in self.changes(config).items():
            before = look_up(config, path)
            if before is MISSING:
                raise ValueError(f"no {'.'.join(path)} in the facts")
            if before != after:
                effect.append(Change(path, before, after))
        return tuple(effect)

    def holds(self, config: dict[str, Any]) -> bool:
        """True when the host is already as this step would make it."""
        return not self.effect(config)


def make_step(
    data: StepData, config: dict[str, Any], paths: HostPaths, number: int, host: str, nic: str | None
) -> Step:
    """The step that `data` is on a host of this config: conditions, effect and undo filled in."""
    effect = data.effect(config)
    kept = tuple(Condition(path, look_up(config, path)) for path in data.keeps(config)) if effect else ()
    undo = data.undo(config)
    reason = undo if isinstance(undo, str) else None
    return Step(
        id=f"{number:02d}-{data.kind}" + (f"-{nic}" if nic else ""),
        host=host,
        nic=nic,
        kind=data.kind,
        data=data.to_dict(),
        disruption=data.disrupts(config),
        summary=data.summary(config),
        pre=(*(Condition(change.path, change.before) for change in effect if data.presumes(change.path)), *kept),
        post=(*(Condition(change.path, change.after) for change in effect), *kept),
        effect=effect,
        timeout_s=data.timeout_s,
        undo=None if isinstance(undo, str) else StepUndo(undo.to_dict(), undo.argv(paths)),
        undo_reason=reason,
        argv=data.argv(paths),
    )
