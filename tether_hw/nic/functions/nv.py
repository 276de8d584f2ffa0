# SPDX-License-Identifier: Apache-2.0
"""The settings in a card's memory, as mlxconfig and mstconfig print them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from tether_hw.nic.functions.found import Run
from tether_hw.plan.facts_mlx5 import NV_KEY, NV_VALUE

#: One program under two names: NVIDIA's own tools, and the free ones of distributions.
PROGRAMS = ("mlxconfig", "mstconfig")
_LINE = re.compile(r"\s*(?:\*|RO|OFF)?\s*([A-Z][A-Z0-9_]*)\s+(\S+)\s+(\S+)\s+(\S+)\s*$")
_NUMBER = re.compile(r".*\((-?[0-9]+|0x[0-9a-f]+)\)$")


@dataclass(frozen=True)
class Setting:
    """What a setting is unless somebody sets it, what the firmware runs with, and what it starts with next."""

    default: str
    current: str
    next: str


def read(run: Run, function: str, keys: Sequence[str]) -> dict[str, Setting]:
    """These settings of a function, without those that its card does not have; nothing where no program answers."""
    if not keys:
        return {}
    for program in PROGRAMS:
        asked = [program, "-d", function, "-e", "q"]
        # One setting that the card does not know spoils the whole answer: then all are asked for.
        for argv in ([*asked, *keys], asked):
            text = run(argv)
            if text is not None:
                found = parse(text)
                return {key: found[key] for key in keys if key in found}
    return {}


def parse(text: str) -> dict[str, Setting]:
    """Every setting with three values that is printed; those of several (arrays) are left out."""
    found = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match and NV_KEY.match(match[1]):
            values = [plain(match[column]) for column in (2, 3, 4)]
            if all(value is not None for value in values):
                found[match[1]] = Setting(*(str(value) for value in values))
    return found


def plain(word: str) -> Optional[str]:
    """A value as it can be set: the number in "True(1)" and "ETH(2)", else the word itself."""
    match = _NUMBER.match(word)
    value = match[1] if match else word
    return value if NV_VALUE.match(value) else None
