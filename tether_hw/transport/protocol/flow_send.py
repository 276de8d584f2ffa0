# SPDX-License-Identifier: Apache-2.0
"""The sender of one direction of a flow (RFC 0001 sections 6, 7.3 and 8.2): new data, repairs, demand, its clock."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from tether_hw.transport.protocol import float16
from tether_hw.transport.protocol.clocks import Backoff
from tether_hw.transport.protocol.config import NEVER
from tether_hw.transport.protocol.header import FIRST, Header
from tether_hw.transport.protocol.ledger import Ledger
from tether_hw.transport.protocol.pace import Pace
from tether_hw.transport.protocol.queues import ByteQueue, Cut, MessageQueue, Queue
from tether_hw.transport.protocol.serial import SPAN, expand_nack_slot


@dataclass
class Sent:
    """A data frame as it was first cut; it is kept until a receipt covers it (T-REP-2, T-REP-5)."""

    slot: int
    end: int  # the slot after its last one, void slots counted
    start: int  # where its message began; of bytes and tags its own slot
    cut: Cut
    sent_ns: int
    wanted: bool = False  # a NACK names it and it has not left since


class FlowSender:
    """One direction of one flow at its sender."""

    def __init__(self, now_ns: int, queue: Queue, limit: int = 0, deadline_ns: int = 0) -> None:
        """`deadline_ns`: of an expiring flow, 0 for all others."""
        self.queue = queue
        self.ledger = Ledger(limit)
        self.sent: list[Sent] = []  # by slot
        self.declared = 0  # the highest declared end that a frame has told, before rounding
        self.clock = Backoff(now_ns)
        self.pace = Pace()
        self.deadline_ns = deadline_ns
        self._start = 0  # of the message that is being sent
        self.stopped = False  # nothing new leaves any more
        self.announced = True  # the flow's DEFINE has left, ours or the peer's
        self._repairs = 0  # how many of `sent` are wanted

    # what could leave

    @property
    def first_unacknowledged(self) -> int:
        """The first slot without a receipt."""
        return self.sent[0].slot if self.sent else self.ledger.next

    @property
    def unsent_end(self) -> int:
        """The declared end as it is now."""
        return self.ledger.next if self.stopped else self.queue.end(self.ledger.next, self.ledger.limit)

    @property
    def idle(self) -> bool:
        """Nothing waits and everything has a receipt."""
        return not self.sent and (self.stopped or self.queue.peek() is None)

    def has_repair(self) -> bool:
        """A NACK waits to be answered."""
        return self._repairs > 0

    def has_data(self, ember: bool) -> bool:
        """The next new frame may leave; `ember`: the channel's ember is free."""
        cut = None if self.stopped or not self.announced else self.queue.peek()
        if cut is None:
            return False
        used = self.queue.shape.used(len(cut.payload))
        if self.ledger.next + used - self.first_unacknowledged >= SPAN:  # T-SER-4
            return False
        return self.ledger.credit >= used or (ember and self.ledger.limit == self.ledger.next)

    def must_tell(self) -> bool:
        """Demand that no frame has told (T-GRT-6); the caller has seen that no data frame can leave."""
        return self.announced and self.unsent_end > max(self.declared, self.ledger.next)

    def announce(self) -> None:
        """The flow's DEFINE leaves: now data may (T-DEF-5)."""
        self.announced = True

    # frames

    def repair(self, now_ns: int) -> Sent:
        """The first frame that a NACK names, to be sent again as it was cut."""
        frame = next(frame for frame in self.sent if frame.wanted)
        self._unwant(frame)
        frame.sent_ns = now_ns
        self.pace.take(frame.end - frame.slot, len(frame.cut.payload), self.queue.shape.slot, now_ns)
        self.clock.heard(now_ns, news=False)
        return frame

    def new(self, now_ns: int) -> tuple[Sent, bool]:
        """Cut and debit the next frame: (frame, whether it is an ember)."""
        cut = self.queue.peek()
        assert cut is not None
        used = self.queue.shape.used(len(cut.payload))
        slot = self.ledger.debit(used)
        ember = slot is None
        if slot is None:
            slot = self.ledger.ember(used)
        self.queue.take(cut)
        self.pace.take(used, len(cut.payload), self.queue.shape.slot, now_ns)
        if cut.flags & FIRST or not isinstance(self.queue, MessageQueue):
            self._start = slot
        frame = Sent(slot, slot + used, self._start, cut, now_ns)
        self.sent.append(frame)
        self.clock.heard(now_ns, news=False)
        return frame, ember

    def state_want(self, header: Header, end: int) -> None:
        """Write `want`, counted from `end`, and remember what was told (T-HDR-8)."""
        wanted = self.unsent_end
        header.want = float16.encode(max(0, wanted - end))
        self.declared = max(self.declared, wanted)

    # what the peer says about this direction

    def hear(self, header: Header, order: int, now_ns: int, moment_ns: int) -> bool:
        """GrantAmount, NackSlot and NackCount of a verified frame; True when everything has a receipt now.

        `moment_ns`: what was sent after it could not arrive before this frame was written (T-REP-4).
        """
        was_idle = self.idle
        self.pace.hear(header, order)
        news = self.ledger.grant(header.GrantAmount, self.first_unacknowledged)
        slot = expand_nack_slot(header.NackSlot, self.ledger.next, self.first_unacknowledged)
        if slot is not None and header.NackCount:
            self._want(slot, slot + header.NackCount, moment_ns)
        elif slot is not None and slot > self.first_unacknowledged:
            news = self._acknowledge(slot) or news
        self.clock.heard(now_ns, news)
        return self.idle and not was_idle

    def _acknowledge(self, below: int) -> bool:
        done = 0
        while done < len(self.sent) and self.sent[done].end <= below:
            done += 1
        covered, self.sent = self.sent[:done], self.sent[done:]
        for frame in covered:
            self._unwant(frame)
            for call in frame.cut.receipted:
                call()
        return bool(covered)

    def _want(self, first: int, end: int, moment_ns: int) -> None:
        start = bisect_right(self.sent, first, key=lambda frame: frame.end)
        stop = bisect_left(self.sent, end, key=lambda frame: frame.slot)
        for frame in self.sent[start:stop]:
            if not frame.wanted and frame.sent_ns <= moment_ns:
                frame.wanted = True
                self._repairs += 1

    def _unwant(self, frame: Sent) -> None:
        if frame.wanted:
            frame.wanted = False
            self._repairs -= 1

    # the clock

    def clock_due_ns(self, silence_ns: int, cap_ns: int) -> int:
        """When BLOCKED is due (T-CLK-2); NEVER while nothing waits for the peer."""
        if not self.announced or (self.idle and not self.sent):
            return NEVER
        return self.clock.due_ns(silence_ns, cap_ns)

    # giving up

    def expires_ns(self) -> int:
        """When the oldest data of an expiring flow is too old."""
        if not self.deadline_ns or self.stopped:
            return NEVER
        if self.sent:
            since_ns = self.sent[0].cut.since_ns
        else:
            since_ns = self.queue.oldest_ns if self.queue.peek() is not None else NEVER
        return min(NEVER, since_ns + self.deadline_ns)

    def expire(self, now_ns: int) -> tuple[int, int] | None:
        """Drop what is too old, sent or not, in whole messages or frames: the SKIP that says so (T-EXP-1)."""
        before_ns = now_ns - self.deadline_ns
        old = [frame for frame in self.sent if frame.cut.since_ns <= before_ns]
        first = old[0].start if old else self.ledger.next
        half_sent = isinstance(self.queue, MessageQueue) and bool(self.queue.messages and self.queue.messages[0].sent)
        if not old and half_sent:
            first = self._start  # what was sent of it has its receipts
        end = old[-1].end if old else first
        for frame in old:
            self._unwant(frame)
        self.sent = self.sent[len(old) :]
        slots = self.queue.expire(before_ns)
        if slots:
            end = self.ledger.next + slots
            self.ledger.skip(end)
            self.declared = max(self.declared, end)
        if isinstance(self.queue, ByteQueue) and self.queue.ended and not self.queue.size and not self.sent:
            self.queue.end_sent = False  # END went with what expired: CLOSE says it (T-EXP-2)
        return (first, end - first) if end > first else None

    def cancel(self) -> tuple[int, int] | None:
        """Drop what is not sent completely; return the SKIP that gives its slots back, if one is due (T-RET-1)."""
        half_sent, _ = self.queue.drop()
        end = max(self.ledger.limit, self.declared)
        if end <= self.ledger.next and half_sent:
            end = self.ledger.next + self.queue.shape.floor
        if end <= self.ledger.next:
            return None
        first, count = self.ledger.skip(end)
        self.declared = end
        return first, count

    def unknown(self) -> tuple[int, int, int] | None:
        """(first, count, never): messages that were sent in part at least and have no receipt, and how many after them
        were never sent (T-FLW-23); None when there are neither."""
        if not isinstance(self.queue, MessageQueue):
            return None
        never = [message.ordinal for message in self.queue.messages if not message.sent]
        begun = [message.ordinal for message in self.queue.messages if message.sent]
        begun += [frame.cut.ordinal for frame in self.sent]
        if not begun:
            return (never[0], 0, len(never)) if never else None
        return min(begun), max(begun) + 1 - min(begun), len(never)

    def stop(self, forget_sent: bool) -> None:
        """Send nothing new; `forget_sent`: the peer does not want what is on its way either."""
        self.queue.drop()
        self.stopped = True
        if forget_sent:
            self.sent.clear()
            self._repairs = 0
