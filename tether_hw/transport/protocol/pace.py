# SPDX-License-Identifier: Apache-2.0
"""How fast a sender may send on a flow (RFC 0001 section 15.1): what the receiver stated last."""

from __future__ import annotations

from tether_hw.transport.protocol import float16
from tether_hw.transport.protocol.config import SECOND
from tether_hw.transport.protocol.header import BLOCK_SIZE, Header

EXTRA_SLOTS = 2  # a frame costs what its blocks do, and this for header and link (T-LAT-3)


class Pace:
    """The pace of one direction of a flow at its sender. Time that was lost is not made up for (T-LAT-4 allows 16)."""

    def __init__(self) -> None:
        self.slots_per_s = 0  # 0: none was stated yet
        self.ready_ns = 0  # the next data frame may leave
        self._newest = -1

    def hear(self, header: Header, order: int) -> None:
        """The frame with the newest sequence holds; 0 is no statement."""
        if order > self._newest and header.pace:
            self._newest = order
            self.slots_per_s = float16.decode(header.pace)

    def take(self, used: int, size: int, slot_bytes: int, now_ns: int) -> None:
        """A data frame of `size` bytes in `used` slots leaves."""
        if self.slots_per_s:
            filled = -(-size // max(slot_bytes, BLOCK_SIZE))
            cost = min(used, filled + EXTRA_SLOTS)
            self.ready_ns = max(self.ready_ns, now_ns) + cost * SECOND // self.slots_per_s

    def frame_time_ns(self, full_slots: int) -> int:
        """Of a full frame, 0 without a pace."""
        return full_slots * SECOND // self.slots_per_s if self.slots_per_s else 0
