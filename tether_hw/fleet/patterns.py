# SPDX-License-Identifier: Apache-2.0
"""Host patterns: names, globs and groups, separated by commas; `!` leaves out; `@FILE` reads one pattern a line."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from pathlib import Path

from tether_hw.errors import TetherError
from tether_hw.fleet.inventory import Inventory
from tether_hw.fleet.inventory_checks import did_you_mean


def select(inventory: Inventory, patterns: Iterable[str]) -> list[str]:
    """The hosts that the patterns name, sorted; all without patterns. Raises TetherError for one that names nobody."""
    words = [word for pattern in patterns for word in _words(pattern)]
    chosen: set[str] = set() if any(not word.startswith("!") for word in words) else set(inventory.hosts)
    for word in words:
        if not word.startswith("!"):
            chosen |= _named(inventory, word)
    for word in words:
        if word.startswith("!"):
            chosen -= _named(inventory, word[1:])
    if not chosen:
        raise TetherError("no host is left of the pattern" if words else "the inventory has no hosts")
    return sorted(chosen)


def _words(pattern: str) -> list[str]:
    if pattern.startswith("@"):
        try:
            lines = Path(pattern[1:]).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise TetherError(f"{pattern[1:]}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return [word.strip() for word in pattern.split(",") if word.strip()]


def _named(inventory: Inventory, word: str) -> set[str]:
    if word in inventory.groups:
        return set(inventory.groups[word])
    found = set(fnmatch.filter(inventory.hosts, word))
    if not found:
        known = set(inventory.hosts) | set(inventory.groups)
        raise TetherError(f"no host or group fits {word!r}", hint=did_you_mean(word, known))
    return found
