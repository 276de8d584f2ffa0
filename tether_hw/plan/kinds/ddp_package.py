# SPDX-License-Identifier: Apache-2.0
"""Put a package file where the driver looks for it, or take it from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tether_hw.plan.effects import look_up
from tether_hw.plan.facts_functions import FILE
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import DSN, HEX64, Fields

INITRAMFS = {"update-initramfs": ("update-initramfs", "-u"), "dracut": ("dracut", "-f")}


@dataclass(frozen=True)
class DdpPackage(StepData):
    """`sha256`: the file that becomes `path`, from the host's store of files or the run's snapshot; None: no file.

    `initramfs`: the program that makes the boot image again, in which a copy of the file lies; None: there is none.
    """

    card: str
    path: str
    sha256: str | None
    initramfs: str | None

    kind = "ddp_package"
    disruption = "none"
    timeout_s = 240

    @classmethod
    def parse(cls, value: Any, where: str) -> DdpPackage:
        fields = Fields(value, where)
        data = cls(
            fields.text("card", DSN),
            fields.text("path", FILE),
            fields.optional_text("sha256", HEX64),
            fields.optional_one_of("initramfs", tuple(INITRAMFS)),
        )
        fields.done()
        if not data.path.endswith(".pkg") or "/intel/ice/ddp/" not in data.path or ".." in data.path.split("/"):
            raise fields.fail("path", f"{data.path!r} is no place for a package")
        return data

    def to_dict(self) -> dict[str, Any]:
        return {"card": self.card, "path": self.path, "sha256": self.sha256, "initramfs": self.initramfs}

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        if self.sha256 is None:
            words: tuple[str, ...] = ("rm", "-f", self.path)
        else:
            words = ("install", "-D", "-m", "0644", paths.file(self.sha256), self.path)
        return (words,) if self.initramfs is None else (words, INITRAMFS[self.initramfs])

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        # A file without a serial in its name is that of every card.
        cards = {card for card, one in config["cards"].items() if self.path in one["files"]} | {self.card}
        return {("cards", card, "files", self.path): self.sha256 for card in sorted(cards)}

    def undo(self, config: dict[str, Any]) -> StepData | str:
        before = look_up(config, ("cards", self.card, "files", self.path))
        return DdpPackage(self.card, self.path, before, self.initramfs)

    def summary(self, config: dict[str, Any]) -> str:
        before = look_up(config, ("cards", self.card, "files", self.path))
        words = [str(value)[:12] if isinstance(value, str) else "absent" for value in (before, self.sha256)]
        return f"{self.path} {words[0]} -> {words[1]}"
