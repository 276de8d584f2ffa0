# SPDX-License-Identifier: Apache-2.0
"""What a card can be reset with, as mlxfwreset and mstfwreset print it, and what a host may do to a card."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from tether_hw.nic.functions.found import Run

#: One program under two names, as with the settings.
PROGRAMS = ("mlxfwreset", "mstfwreset")
_SECTION = re.compile(r"Reset-([a-z]+)\b.*:\s*$")
_OFFER = re.compile(r"\s*([0-9]):.*-\s*Supported\s*(?:\(default\))?\s*$")
_LEVEL = re.compile(r"level\s*:\s*(RESTRICTED|PRIVILEGED)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Offer:
    """The levels of reset that there are now, and who may bring the drivers down for it."""

    levels: tuple[int, ...]
    syncs: tuple[int, ...]


def read(run: Run, function: str) -> Optional[Offer]:
    """What the card of a function offers; None where no program answers."""
    for program in PROGRAMS:
        text = run([program, "-d", function, "q"])
        if text is not None:
            return parse(text)
    return None


def parse(text: str) -> Offer:
    """The rungs that are marked as supported."""
    found: dict[str, list[int]] = {"levels": [], "sync": []}
    section = ""
    for line in text.splitlines():
        head, offer = _SECTION.match(line), _OFFER.match(line)
        if head:
            section = head[1]
        elif offer and section in found:
            found[section].append(int(offer[1]))
    return Offer(tuple(found["levels"]), tuple(found["sync"]))


def restricted(run: Run, function: str) -> Optional[bool]:
    """Whether the host may set nothing of the card; None where mlxprivhost does not say."""
    match = _LEVEL.search(run(["mlxprivhost", "-d", function, "q"]) or "")
    return None if match is None else match[1] == "RESTRICTED"
