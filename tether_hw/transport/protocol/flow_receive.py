# SPDX-License-Identifier: Apache-2.0
"""The receiver of one direction of a flow (RFC 0001 sections 6, 7 and 8.1): arrivals, demand, grants, its clock."""

from __future__ import annotations

from tether_hw.transport.protocol import float16
from tether_hw.transport.protocol.cells import Cells
from tether_hw.transport.protocol.clocks import Backoff
from tether_hw.transport.protocol.config import NEVER, SECOND, Piece
from tether_hw.transport.protocol.contact import later
from tether_hw.transport.protocol.delivery import InOrder, Part
from tether_hw.transport.protocol.gaps import NACK_MOST, Arrivals
from tether_hw.transport.protocol.header import END, GRANT, NACK, Header
from tether_hw.transport.protocol.queues import Shape
from tether_hw.transport.protocol.reject import Reject
from tether_hw.transport.protocol.serial import SPAN, U32, U48, expand_slot

PLAIN_FRAMES = 16  # data frames without news before a receipt is spent (T-RCT-9)
CUMULATIVE_EVERY = 8  # frames with open gaps, one of which says what has arrived (T-NCK-2)


def largest(wire: int) -> int:
    """The largest number that an encoder writes as this float: `want` is rounded down (T-MSG-3)."""
    exponent = wire >> float16.MANTISSA_BITS
    return min(float16.decode(wire) + (1 << exponent) - 1, float16.VALUE_MAX)


class FlowReceiver:
    """One direction of one flow at its receiver."""

    def __init__(
        self, now_ns: int, shape: Shape, aligned: bool, cells: Cells, delivery: InOrder, pool: int = 0,
        whole_frames: bool = False,
    ) -> None:  # fmt: skip
        """`shape`: with our floor. `aligned`: T-SLT-6 holds. `pool`: Flow 0's standing grant, 0 for other flows."""
        self.shape = shape
        self.floor = shape.floor
        self.aligned = aligned
        self.whole_frames = whole_frames  # T-FLW-20
        self.cells = cells
        self.delivery = delivery
        self.pool = pool
        self.arrivals = Arrivals()
        self.granted = pool
        self.demand = 0
        self.reserve_end = 0  # message flows: cells are wanted up to here before any of it is granted (T-MSG-3)
        self.reserved_to = 0  # ... and are held up to here
        self.reserved = 0  # cells for slots that have not arrived
        self.held = 0  # cells with data that nobody has read
        self.ember_end = 0  # above `granted` while an ember fills its cell
        self.skipped_slots = 0  # that will not come
        self.span = 0  # message flows: S, the slots of a message of its bound
        self.final: int | None = None  # of the peer's CLOSE
        self.newest = 0  # order of the newest accepted frame
        self.end_said = False  # by CLOSE with reason 0
        self.discards = False  # closed here: arrivals are counted and dropped (T-FLW-12)
        self.clock = Backoff(now_ns)
        self.fed_ns = now_ns  # when new data came last, or was granted while nothing was outstanding (T-SCH-4)
        self.waits_since = 0  # the round of grants in which it got something last
        self.stated_bps = self.stated_slots = 0  # the pace in force
        # what no frame has told the peer yet
        self.told_granted = pool
        self.untold = 0
        self.untold_ns = 0
        self.answer = False  # a BLOCKED frame waits for its answer
        self.skipped = False
        self._named_in_a_row = 0

    # judging

    def judge(self, header: Header, ember: bool) -> tuple[int, int, str]:
        """(slot, end, "new" | "old" | "ember" | "") of a frame of this flow; Reject "flow" or "grant".

        `ember`: the channel's cell for one is free.
        """
        slot = expand_slot(header.slot, self.arrivals.first_missing)
        if slot is None:
            raise Reject("flow", "a slot below 0")
        if not header.length:
            return slot, slot, ""
        end = slot + self.shape.used(header.length)
        if self.whole_frames and header.length != self.shape.full and not header.flags & END:
            raise Reject("flow", f"{header.length} bytes in a flow of whole frames")
        if self.aligned and slot % self.floor:
            raise Reject("flow", f"slot {slot} is no multiple of {self.floor}")
        if self.final is not None and end > self.final:
            raise Reject("flow", f"slots to {end}, the flow ends at {self.final}")
        missing = self.arrivals.missing(slot, end)
        if missing == 0:
            return slot, end, "old"
        if missing < end - slot:
            raise Reject("flow", f"slots {slot}-{end} go across a border of what has arrived")
        if end <= self.granted:
            return slot, end, "new"
        if self.pool or not ember or slot != self.granted or self.final is not None:
            raise Reject("grant", f"slots to {end}, granted are {self.granted}")
        return slot, end, "ember"

    # arrivals

    def hear(self, header: Header, order: int, end: int, now_ns: int, soft_ns: int) -> None:
        """What every accepted frame says about demand; a high water shows gaps from `soft_ns` on."""
        demand = min(end + float16.decode(header.want), float16.VALUE_MAX)
        if self.aligned:
            demand -= demand % self.floor  # what rounding left over comes with a later frame
        if self.final is not None:
            demand = min(demand, self.final)
        self.demand = max(self.demand, demand)
        if order >= self.newest:
            self.newest = order
            self.reserve_end = min(end + largest(header.want), float16.VALUE_MAX)
        if not header.length:
            self.arrivals.show(min(end, self.granted), soft_ns)
        self.clock.heard(now_ns, news=False)

    def blocked(self, end: int, now_ns: int) -> None:
        """BLOCKED: its gaps may be named at once, and an answer is due."""
        self.arrivals.hasten(end, now_ns)
        self.answer = True

    def arrive(self, slot: int, end: int, header: Header, payload: bytes, now_ns: int, ready_ns: int) -> None:
        """Data in new slots; it has its cell already (see fill_cell)."""
        self.arrivals.fill(slot, end, ready_ns)
        self.clock.heard(now_ns, news=True)
        self.fed_ns = now_ns
        if self.discards:
            self.give_back(1)
        else:
            self.give_back(self.delivery.put(Part(slot, end, payload, header.flags)))
        self.settle()

    def fill_cell(self, ember: bool) -> None:
        """The frame's cell: one that was reserved for the flow, or the channel's for the ember."""
        if self.pool:
            return
        if not ember:
            assert self.reserved > 0
            self.reserved -= 1
        self.held += 1

    def told_frame(self, now_ns: int) -> None:
        """One more data frame that no frame of ours has told of."""
        if not self.untold:
            self.untold_ns = now_ns
        self.untold += 1

    def void(self, first: int, end: int, soft_ns: int) -> None:
        """Slots that count as arrived and deliver nothing."""
        self.arrivals.fill(first, end, soft_ns)
        if not self.discards:
            self.give_back(self.delivery.put(Part(first, end, None)))

    def void_missing(self, first: int, end: int, soft_ns: int = NEVER) -> None:
        """What is missing of [first, end) will not come."""
        holes = [(max(first, gap.first), min(end, gap.end)) for gap in self.arrivals.gaps]
        holes.append((max(first, self.arrivals.top), end))
        for start, stop in holes:
            if start < stop:
                self.void(start, stop, soft_ns)
        self.settle()

    # cells

    def give_back(self, cells: int) -> None:
        """Cells whose data was read or dropped."""
        if not self.pool:
            self.held -= cells
            self.cells.release(cells)

    def cells_for(self, end: int) -> int:
        """Cells that the missing slots below `end` may need."""
        return -(-self.arrivals.missing(0, end) // self.floor)

    @property
    def arrived(self) -> int:
        """Slots that have arrived, or will not come."""
        return self.arrivals.top - self.arrivals.missing(0, self.arrivals.top)

    @property
    def stated_frame_ns(self) -> int:
        """Of a full frame at the pace that we stated, 0 without one."""
        return self.shape.full_slots * SECOND // self.stated_slots if self.stated_slots and self.outstanding else 0

    @property
    def outstanding(self) -> int:
        """Granted cells that have not arrived (T-GRT-7)."""
        return self.cells_for(self.granted)

    def settle(self) -> None:
        """Give back reserved cells that nothing can fill any more."""
        if self.pool:
            self.granted = self.delivery.delivered + self.pool
            return
        self.reserved_to = max(self.granted, min(self.reserved_to, max(self.reserve_end, self.demand)))
        spare = self.reserved - self.cells_for(max(self.granted, self.reserved_to))
        if spare > 0:
            self.reserved -= spare
            self.cells.release(spare)

    def read(self, capacity: int | None) -> Piece:
        """What the application takes; its cells are free."""
        piece, cells = self.delivery.read(capacity)
        self.give_back(cells)
        return piece

    def discard(self) -> None:
        """Closed here: drop what nobody reads, and all that still comes."""
        self.discards = True
        self.delivery.clear()
        self.give_back(self.held)
        self.settle()

    def release(self) -> None:
        """The flow is gone: what it still has reserved goes back; what waits to be read stays."""
        self.cells.release(self.reserved)
        self.reserved = 0

    # grants

    @property
    def unmet(self) -> bool:
        """The peer has declared more than it was granted."""
        return self.demand > self.granted

    @property
    def grant_most(self) -> int:
        """No grant goes beyond this (T-SER-5, T-RET-3)."""
        most = self.arrivals.first_missing + SPAN - 1
        return most if self.final is None else min(most, self.final)

    def raise_grant(self, granted: int, now_ns: int) -> None:
        """The grant rises; the cells are reserved. A grant starts the receiver's clock (T-CLK-1)."""
        assert granted >= self.granted
        if not self.outstanding:
            self.fed_ns = now_ns
        self.granted = granted
        self.clock.heard(now_ns, news=False)

    def go_on(self, away_ns: int, now_ns: int, latest_ns: int) -> None:
        """Contact is back (T-CLK-9)."""
        self.clock.go_on(away_ns, now_ns)
        self.fed_ns = later(self.fed_ns, away_ns, now_ns)
        self.untold_ns = later(self.untold_ns, away_ns, now_ns)
        self.arrivals.go_on(away_ns, now_ns, latest_ns)

    # what is told

    def state(self, header: Header, now_ns: int, again_ns: int, soon_ns: int) -> None:
        """Write GrantAmount, NackSlot and NackCount: whatever frame it is, it tells the news of this direction."""
        named = None
        if self.arrivals.gaps and self._named_in_a_row < CUMULATIVE_EVERY - 1:
            named = self.arrivals.name(now_ns, again_ns, self.floor if self.aligned else 1, soon_ns)
        self._tell(header, named)

    def refresh(self, header: Header, now_ns: int, again_ns: int) -> None:
        """The frame of the receiver's clock: grant, and a NACK of a gap or of all that is granted and wanted."""
        named = self.arrivals.name(now_ns, again_ns, self.floor if self.aligned else 1)
        if named is None and not self.arrivals.gaps:
            most = NACK_MOST - NACK_MOST % self.floor
            first = self.arrivals.first_missing
            named = first, min(most, min(self.granted, self.demand) - first)
        self._tell(header, named)

    def _tell(self, header: Header, named: tuple[int, int] | None) -> None:
        header.GrantAmount = self.granted & U48
        if self.granted > self.told_granted:
            header.flags |= GRANT
        if named is not None:
            header.NackSlot, header.NackCount = named[0] & U32, named[1]
            header.flags |= NACK
            self._named_in_a_row += 1
        else:
            header.NackSlot, header.NackCount = self.arrivals.first_missing & U32, 0
            self._named_in_a_row = 0
        self.told_granted = self.granted
        self.untold = 0
        self.answer = self.skipped = False

    def news_due_ns(self, again_ns: int, rtt_ns: int, spent_ns: int | None) -> int:
        """When a receipt may be spent on this flow (T-RCT-5, T-RCT-9, T-RCT-10)."""
        quarter = self.pool // 4  # T-STA-7
        if self.answer or self.skipped or self.granted - self.told_granted > quarter:
            return 0
        due = self.arrivals.due_ns(again_ns)
        if not self.untold:
            return due
        if self.untold >= PLAIN_FRAMES:
            return 0
        due = min(due, self.untold_ns + rtt_ns // 8)
        if self.arrivals.first_missing >= self.demand:
            due = min(due, 0 if spent_ns is None else spent_ns + rtt_ns // 8)
        return due

    # the clock

    def clock_due_ns(self, silence_ns: int, cap_ns: int, again_ns: int) -> int:
        """When a NACK is due though nothing came (T-CLK-1); NEVER while nothing granted and wanted is missing."""
        if not self.arrivals.missing(0, min(self.granted, self.demand)):
            return NEVER
        due = self.clock.due_ns(silence_ns, cap_ns)
        return max(due, self.arrivals.due_ns(again_ns)) if self.arrivals.gaps else due
