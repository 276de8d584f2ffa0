# SPDX-License-Identifier: Apache-2.0
"""The receive buffer as a count of cells (RFC 0001 sections 6.2, 6.3): each takes one frame, whatever its size."""

from __future__ import annotations


class Cells:
    """Cells of one endpoint. What is reserved serves nothing else (T-GRT-7)."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total

    def reserve(self, count: int = 1) -> bool:
        """Take `count` free cells, or none."""
        if count > self.free:
            return False
        self.free -= count
        return True

    def borrow(self, most: int) -> bool:
        """Take one that is not there, for an ember that a SKIP covers, while fewer than `most` are owed (T-SKP-8)."""
        if self.free <= -most:
            return False
        self.free -= 1
        return True

    def release(self, count: int = 1) -> None:
        """Give cells back."""
        self.free += count
        assert self.free <= self.total
