# SPDX-License-Identifier: Apache-2.0
"""The engine's configuration file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.engine_file import EngineFile
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import ShapeError


@dataclass(frozen=True)
class EngineConfig(EngineFile):
    """`content` is a `tether.engine/1` document. The engine reads it when it starts.

    `hot`: the running engine takes the change over at once (contact plans, addresses of UDP lanes); no channel is lost.
    """

    hot: bool = False

    kind = "engine_config"
    name = "engine"
    timeout_s = 30

    @classmethod
    def write(cls, content: dict[str, Any]) -> EngineConfig:
        data = super().write(content)
        return cls(data.action, data.content, data.sha256)

    @classmethod
    def parse(cls, value: Any, where: str) -> EngineConfig:
        hot = value.get("hot", False) if isinstance(value, dict) else False
        if not isinstance(hot, bool):
            raise ShapeError(f"{where}.hot", "expected true or false")
        rest = {name: item for name, item in value.items() if name != "hot"} if isinstance(value, dict) else value
        data = super().parse(rest, where)
        return cls(data.action, data.content, data.sha256, hot)

    def while_running(self) -> EngineConfig:
        """The same, taken over by the running engine."""
        return EngineConfig(self.action, self.content, self.sha256, True)

    def to_dict(self) -> dict[str, Any]:
        document = super().to_dict()
        return {**document, "hot": True} if self.hot else document

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        written = super().argv(paths)
        return (*written, ("tether-engine", "reload")) if self.hot else written

    def undo(self, config: dict[str, Any]) -> StepData | str:
        back = super().undo(config)
        return back.while_running() if self.hot and isinstance(back, EngineConfig) else back

    def summary(self, config: dict[str, Any]) -> str:
        words = super().summary(config)
        return f"{words}, taken over while it runs" if self.hot else words
