# SPDX-License-Identifier: Apache-2.0
"""What the engine's two files have in common: written whole, removed, or put back from the run's snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tether_hw.plan.canonical import file_text, text_digest
from tether_hw.plan.effects import look_up
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import HEX64, Fields

ACTIONS = ("write", "remove", "restore")


@dataclass(frozen=True)
class EngineFile(StepData):
    """`write`: `content` becomes the file, in the spelling of `canonical.file_text`. `remove`: no file.

    `restore`: the bytes that the run's snapshot keeps, whose digest is `sha256` (a file that was not in our spelling
    can only be put back so).
    """

    action: str
    content: dict[str, Any] | None
    sha256: str | None

    name: ClassVar[str]
    disruption = "none"
    timeout_s = 15

    @classmethod
    def write(cls, content: dict[str, Any]) -> EngineFile:
        return cls("write", content, text_digest(file_text(content)))

    @classmethod
    def remove(cls) -> EngineFile:
        return cls("remove", None, None)

    @classmethod
    def parse(cls, value: Any, where: str) -> EngineFile:
        fields = Fields(value, where)
        action = fields.one_of("action", ACTIONS)
        content = fields.plain("content") if action == "write" else fields.take("content")
        sha256 = fields.optional_text("sha256", HEX64)
        fields.done()
        if action != "write" and content is not None:
            raise fields.fail("content", f"{action} takes no content")
        if (sha256 is None) != (action == "remove"):
            raise fields.fail("sha256", f"does not go with {action}")
        if action == "write":
            if sha256 != text_digest(file_text(content)):
                raise fields.fail("sha256", "is not the digest of the content")
            cls.check(content, fields.at("content"))
        return cls(action, content, sha256)

    @classmethod
    def check(cls, content: dict[str, Any], where: str) -> None:
        """What must hold of the content whoever reads it; raises ShapeError."""
        fields = Fields(content, where)
        fields.schema(f"tether.{cls.name}/1")

    def to_dict(self) -> dict[str, Any]:
        return {"action": self.action, "content": self.content, "sha256": self.sha256}

    @classmethod
    def field(cls) -> str:
        """The field of facts' `engine` that this file is."""
        return "config" if cls.name == "engine" else cls.name

    @classmethod
    def path(cls, paths: HostPaths) -> str:
        """Where the file lies."""
        return paths.engine_config if cls.name == "engine" else paths.roster

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        path = self.path(paths)
        if self.action == "remove":
            return (("rm", "-f", path),)
        source = f"{self.name}.json" if self.action == "write" else f"snapshot/{self.name}.json"
        return (("install", "-m", "0644", source, path),)

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        field = self.field()
        return {("engine", field): self.content, ("engine", field + "_sha256"): self.sha256}

    def undo(self, config: dict[str, Any]) -> StepData | str:
        before = look_up(config, ("engine", self.field()))
        sha256 = look_up(config, ("engine", self.field() + "_sha256"))
        if sha256 is None:
            return self.remove()
        if isinstance(before, dict) and text_digest(file_text(before)) == sha256:
            return type(self)("write", before, sha256)
        return type(self)("restore", None, sha256)

    def summary(self, config: dict[str, Any]) -> str:
        sha256 = look_up(config, ("engine", self.field() + "_sha256"))
        before = "absent" if sha256 is None else str(sha256)[:12]
        after = "absent" if self.sha256 is None else self.sha256[:12]
        return f"{self.name} file {before} -> {after}"
