# SPDX-License-Identifier: Apache-2.0
"""When two ends can reach each other, and how long it takes (RFC 0001 sections 12.7 and 12.8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tether_hw.transport.protocol.config import NEVER
from tether_hw.transport.protocol.tags import Table, Windows

PAIRS_MOST = 16  # T-WIN-2
STAMP_FUTURE = 1 << 47  # a stamp this far ahead of the newest Timestamp is one of the future

Pairs = Sequence[tuple[int, int]]


def window_at(windows: Pairs, at_ns: int) -> tuple[bool, int]:
    """(whether `at_ns` lies in a window, when that changes). Without windows there is contact for ever (T-WIN-1)."""
    if not windows:
        return True, NEVER
    ends = [start + length for start, length in windows if start <= at_ns < start + length]
    if ends:
        return True, max(ends)
    return False, min((start for start, _ in windows if start > at_ns), default=NEVER)


def value_at(table: Pairs, at_ns: int) -> tuple[int, int]:
    """(the round trip at `at_ns`, when it changes); 0 before the table's first entry."""
    values = [value for start, value in table if start <= at_ns]
    return values[-1] if values else 0, min((start for start, _ in table if start > at_ns), default=NEVER)


@dataclass
class Declared:
    """What one end has said: windows and table, on its own clock."""

    windows: Pairs = ()
    table: Pairs = ()


@dataclass
class Contact:
    """Of one channel, or of one Hail that is out: the plans of both ends, and since when they are apart."""

    own: Declared
    theirs: Declared = field(default_factory=Declared)
    ahead_ns: int = 0  # a reading of the other's clock, less ours at that moment
    away_ns: int | None = None  # out of contact since then
    change_ns: int = NEVER  # when contact, or the round trip, changes next

    def take(self, tag: Windows | Table, now_ns: int, newest_stamp: int, newest_ns: int, way_ns: int) -> None:
        """WINDOWS or TABLE of the other end. `newest_stamp`: its newest Timestamp, which came at `newest_ns`.

        `way_ns`: half the round trip.
        """
        later_ns = (newest_stamp - tag.stamp) & ((1 << 48) - 1)
        if later_ns >= STAMP_FUTURE:
            later_ns = 0
        self.ahead_ns = tag.clock_ns + later_ns + (now_ns - newest_ns) + way_ns - now_ns  # T-WIN-3
        pairs = tag.pairs[:PAIRS_MOST]
        if isinstance(tag, Windows):
            self.theirs.windows = pairs
        else:
            self.theirs.table = pairs
        self.change_ns = now_ns

    def rtt_ns(self, now_ns: int) -> int:
        """The tables' value: the larger of the two, 0 where neither says something (T-WIN-5)."""
        ours, our_change = value_at(self.own.table, now_ns)
        theirs, their_change = value_at(self.theirs.table, now_ns + self.ahead_ns)
        self.change_ns = min(our_change, self._here(their_change))
        return max(ours, theirs)

    def look(self, now_ns: int, way_ns: int) -> int:
        """Judge the moment (after rtt_ns); for how long both were apart when contact comes back now, else 0.

        A frame may leave in our window, if it arrives in one of theirs (T-WIN-1).
        """
        ours, our_change = window_at(self.own.windows, now_ns)
        theirs, their_change = window_at(self.theirs.windows, now_ns + self.ahead_ns + way_ns)
        self.change_ns = min(self.change_ns, our_change, self._here(their_change, way_ns))
        if not (ours and theirs):
            self.away_ns = now_ns if self.away_ns is None else self.away_ns
            return 0
        since_ns, self.away_ns = self.away_ns, None
        return 0 if since_ns is None else now_ns - since_ns

    def _here(self, there_ns: int, way_ns: int = 0) -> int:
        return NEVER if there_ns == NEVER else there_ns - self.ahead_ns - way_ns


def later(moment_ns: int, away_ns: int, now_ns: int) -> int:
    """A moment from which a clock counts, for a clock that stood still for so long (T-CLK-9)."""
    return max(moment_ns, min(moment_ns + away_ns, now_ns))
