# SPDX-License-Identifier: Apache-2.0
"""The receive buffer as a count of cells (RFC 0001 sections 6.2, 6.3): each takes one frame, whatever its size."""

from __future__ import annotations


class Cells:
    """Cells for what the applications of one endpoint receive. What is reserved serves nothing else (T-GRT-7).

    Beside them every channel has Flow 0's and one for an ember (T-STA-4). An ember's cell comes to these with its data,
    and another goes for it: `standing` of them may be here at a time.
    """

    def __init__(self, total: int, standing: int = 0) -> None:
        self.total = total
        self.free = total
        self.standing = standing

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

    def owe(self) -> None:
        """One goes for an ember whose channel is gone, as soon as one is there."""
        self.free -= 1

    def release(self, count: int = 1) -> None:
        """Give cells back."""
        self.free += count
        assert self.free <= self.total + self.standing
