# SPDX-License-Identifier: Apache-2.0
"""The code blocks of the README, so that every command and program in it is run."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def blocks(language: str) -> list[str]:
    """Fenced blocks of one language, in order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """The lines behind `$ ` of every console block: the tutorial."""
    return [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]
