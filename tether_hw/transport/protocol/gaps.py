# SPDX-License-Identifier: Apache-2.0
"""Which slots have arrived, which are missing, and which gap is named next (RFC 0001 section 7.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tether_hw.transport.protocol.config import NEVER
from tether_hw.transport.protocol.contact import later

NACK_MOST = 0xFFFF  # what NackCount can say
SAID_MOST = 3  # frames that name a gap in one turn


@dataclass
class Gap:
    """Missing slots [first, end). It may be named from `ready_ns` on, and was named at `named_ns`."""

    first: int
    end: int
    ready_ns: int
    named_ns: int | None = None
    said: int = 0  # frames that named it in this turn

    def due_ns(self, again_ns: int) -> int:
        """When it may be named: `again_ns` is one RTT and the reorder time (T-NCK-3)."""
        return self.ready_ns if self.named_ns is None else max(self.ready_ns, self.named_ns + again_ns)


class Arrivals:
    """The slots of one direction of a flow at its receiver.

    Everything below `top` has arrived or lies in a gap; about what is at `top` and above nothing is known.
    """

    def __init__(self) -> None:
        self.top = 0
        self.highest = 0  # the slot after the last one that arrived or was skipped
        self.gaps: list[Gap] = []

    @property
    def first_missing(self) -> int:
        """Everything below has arrived, or was skipped."""
        return self.gaps[0].first if self.gaps else self.top

    def missing(self, first: int, end: int) -> int:
        """How many of the slots [first, end) have not arrived."""
        count = max(0, end - max(first, self.top))
        for gap in self.gaps:
            count += max(0, min(end, gap.end) - max(first, gap.first))
        return count

    def fill(self, first: int, end: int, ready_ns: int) -> None:
        """[first, end) arrived or was skipped; what is missing before it may be named from `ready_ns` on."""
        if first > self.top:
            self.gaps.append(Gap(self.top, first, ready_ns))
        kept = []
        for gap in self.gaps:
            if gap.end <= first:
                gap.ready_ns = min(gap.ready_ns, ready_ns)
                kept.append(gap)
            elif gap.first >= end:
                kept.append(gap)
            else:
                if gap.first < first:
                    kept.append(replace(gap, end=first, ready_ns=min(gap.ready_ns, ready_ns)))
                if gap.end > end:
                    kept.append(replace(gap, first=end))
        self.gaps = kept
        self.top = max(self.top, end)
        self.highest = max(self.highest, end)

    def show(self, high_water: int, ready_ns: int) -> None:
        """The sender says that it has used everything below `high_water`."""
        if high_water > self.top:
            self.gaps.append(Gap(self.top, high_water, ready_ns))
            self.top = high_water

    def hasten(self, high_water: int, now_ns: int) -> None:
        """A frame that came after a silence shows the same: its gaps may be named at once (T-NCK-8)."""
        for gap in self.gaps:
            if gap.first < high_water:
                gap.ready_ns = min(gap.ready_ns, now_ns)

    def go_on(self, away_ns: int, now_ns: int, latest_ns: int) -> None:
        """Contact is back: what gaps wait for stood still, but none waits longer than that."""
        for gap in self.gaps:
            gap.ready_ns = min(gap.ready_ns + away_ns, max(gap.ready_ns, latest_ns))
            if gap.named_ns is not None:
                gap.named_ns = later(gap.named_ns, away_ns, now_ns)

    def due_ns(self, again_ns: int) -> int:
        """When the next gap may be named."""
        return min((gap.due_ns(again_ns) for gap in self.gaps), default=NEVER)

    def name(self, now_ns: int, again_ns: int, multiple: int, soon_ns: int = 0) -> tuple[int, int] | None:
        """Take the next gap whose turn it is: (NackSlot, NackCount). None when there is none (T-NCK-1, T-NCK-3).

        Where none has its turn, one that had it less than `soon_ns` ago may be named once more: one lost frame shall
        not cost a round trip. A gap that is wider than NackCount can say is cut, in multiples of `multiple` (T-NCK-10).
        """
        ready = [gap for gap in self.gaps if gap.due_ns(again_ns) <= now_ns]
        if not ready:
            return self._name_again(now_ns, soon_ns)
        gap = min(ready, key=lambda gap: (gap.named_ns if gap.named_ns is not None else -1, gap.first))
        most = NACK_MOST - NACK_MOST % multiple
        if gap.end - gap.first > most:
            rest = replace(gap, first=gap.first + most)
            self.gaps.insert(self.gaps.index(gap) + 1, rest)
            gap.end = rest.first
        gap.named_ns, gap.said = now_ns, 1
        return gap.first, gap.end - gap.first

    def _name_again(self, now_ns: int, soon_ns: int) -> tuple[int, int] | None:
        fresh = [
            gap
            for gap in self.gaps
            if gap.named_ns is not None and gap.said < SAID_MOST and now_ns - gap.named_ns < soon_ns
        ]
        if not fresh:
            return None
        gap = min(fresh, key=lambda gap: (gap.said, gap.named_ns))
        gap.said += 1
        return gap.first, min(NACK_MOST, gap.end - gap.first)
