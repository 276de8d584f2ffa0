# SPDX-License-Identifier: Apache-2.0
"""Channel indices (RFC 0001 T-HDR-4, T-HDR-5): lane in the low 8 bits, above it a slot and a generation."""

from __future__ import annotations

from typing import Generic, TypeVar

LANE_BITS = 8
SLOT_BITS = 12
INDICES_EACH = 4  # a channel that gets new keys has more than one for a while, and keeps its first as its name
GENERATIONS = 1 << (32 - LANE_BITS - SLOT_BITS)

_T = TypeVar("_T")


class Directory(Generic[_T]):
    """What each index of one lane names. A slot that is used again gets another generation, and no index is 0."""

    def __init__(self, lane: int, most: int, start: int) -> None:
        """`start`: a random number, so that indices of before a restart are strangers."""
        assert most <= 1 << SLOT_BITS
        self._lane = lane
        self._generations = [start % (GENERATIONS - 1)] * min(most * INDICES_EACH, 1 << SLOT_BITS)
        self._entries: dict[int, _T] = {}

    def claim(self) -> int | None:
        """An index that names nothing yet, None when all are taken. It is taken by the next put()."""
        taken = {self._slot(index) for index in self._entries}
        for slot, generation in enumerate(self._generations):
            if slot not in taken:
                generation = generation % (GENERATIONS - 1) + 1
                self._generations[slot] = generation
                return ((generation << SLOT_BITS | slot) << LANE_BITS) | self._lane
        return None

    def _slot(self, index: int) -> int:
        return (index >> LANE_BITS) & ((1 << SLOT_BITS) - 1)

    def put(self, index: int, entry: _T) -> None:
        """`index` names `entry` from now on."""
        self._entries[index] = entry

    def get(self, index: int) -> _T | None:
        """What an index names; None is a stranger."""
        return self._entries.get(index)

    def remove(self, index: int) -> None:
        """The index names nothing any more."""
        self._entries.pop(index, None)

    def remove_entry(self, entry: _T) -> None:
        """No index names this any more."""
        self._entries = {index: found for index, found in self._entries.items() if found is not entry}

    def all(self) -> list[_T]:
        """Everything, in no order that matters."""
        return list(self._entries.values())
