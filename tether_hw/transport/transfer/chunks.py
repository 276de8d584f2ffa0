# SPDX-License-Identifier: Apache-2.0
"""Which chunks of a file are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

CHUNK_BYTES = 1 << 20


class ChunkMap:
    """One flag per chunk of a file of `size` bytes. Not locked: the owner serialises."""

    def __init__(self, size: int, chunk_bytes: int = CHUNK_BYTES) -> None:
        if size < 0 or chunk_bytes < 1:
            raise ValueError("sizes are positive")
        self.size = size
        self.chunk_bytes = chunk_bytes
        self.count = -(-size // chunk_bytes)
        self.done = 0
        self.done_bytes = 0
        self._flags = bytearray(self.count)
        self._frontier = 0

    def extent(self, chunk: int) -> tuple[int, int]:
        """(offset, bytes) of a chunk."""
        offset = chunk * self.chunk_bytes
        return offset, min(self.chunk_bytes, self.size - offset)

    def has(self, chunk: int) -> bool:
        """Whether a chunk is there."""
        return bool(self._flags[chunk])

    def add(self, chunk: int) -> bool:
        """Note a chunk; False when it was there already."""
        if self._flags[chunk]:
            return False
        self._flags[chunk] = 1
        self.done += 1
        self.done_bytes += self.extent(chunk)[1]
        return True

    def add_ranges(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Note ranges of (first chunk, count). Raises ValueError for one that is not in the file."""
        for first, count in ranges:
            if first < 0 or count < 0 or first + count > self.count:
                raise ValueError(f"chunks {first}+{count} are not in a file of {self.count}")
            for chunk in range(first, first + count):
                self.add(chunk)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return self.done == self.count

    def frontier_bytes(self) -> int:
        """Bytes from the start of the file without a gap."""
        missing = self._flags.find(0, self._frontier)
        self._frontier = self.count if missing < 0 else missing
        return min(self.size, self._frontier * self.chunk_bytes)

    def missing(self) -> Iterator[int]:
        """Missing chunks in order, as of each step."""
        position = self._flags.find(0)
        while position >= 0:
            yield position
            position = self._flags.find(0, position + 1)

    def ranges(self, limit: int) -> list[tuple[int, int]]:
        """Present chunks as (first, count) in order, at most `limit` of them."""
        found: list[tuple[int, int]] = []
        position = self._flags.find(1)
        while position >= 0 and len(found) < limit:
            end = self._flags.find(0, position)
            end = self.count if end < 0 else end
            found.append((position, end - position))
            position = self._flags.find(1, end)
        return found


def runs(chunks: Iterable[int]) -> list[tuple[int, int]]:
    """Chunk numbers as (first, count) ranges, in order."""
    found: list[tuple[int, int]] = []
    for chunk in sorted(set(chunks)):
        if found and found[-1][0] + found[-1][1] == chunk:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((chunk, 1))
    return found
