# SPDX-License-Identifier: Apache-2.0
"""The replay window (RFC 0001 section 11.4), as a set instead of a bitmap: the same answers, easier to read."""

from __future__ import annotations


class ReplayWindow:
    """Which sequences of one direction of one channel may still be accepted."""

    def __init__(self, size: int) -> None:
        """Start with sequence 0 seen: it belongs to the Hail's reply. `size` is a power of two, 64..65536."""
        if size & (size - 1) or not 64 <= size <= 65536:
            raise ValueError(f"replay window of {size} frames: not a power of two from 64 to 65536")
        self.size = size
        self.highest = 0
        self._seen = {0}

    def is_fresh(self, sequence: int) -> bool:
        """Look, and change nothing: this comes before the AEAD."""
        if sequence > self.highest:
            return True
        return self.highest - sequence < self.size and sequence not in self._seen

    def mark(self, sequence: int) -> None:
        """Record a sequence whose frame has verified."""
        self._seen.add(sequence)
        if sequence > self.highest:
            self.highest = sequence
            if len(self._seen) > 2 * self.size:  # what is too old is refused without it; forget it now and then
                self._seen = {seen for seen in self._seen if self.highest - seen < self.size}

    def accept(self, sequence: int) -> bool:
        """is_fresh(), and mark() if so: what happens to a frame that verifies."""
        fresh = self.is_fresh(sequence)
        if fresh:
            self.mark(sequence)
        return fresh
