# SPDX-License-Identifier: Apache-2.0
"""A flow: two directions under one id, and how it ends (RFC 0001 section 13)."""

from __future__ import annotations

from tether_hw.transport.protocol.config import BYTES, FlowOptions
from tether_hw.transport.protocol.flow_receive import FlowReceiver
from tether_hw.transport.protocol.flow_send import FlowSender
from tether_hw.transport.protocol.queues import ByteQueue

ENDED, CLOSED, REFUSED = 0, 1, 2  # reasons of CLOSE


class Flow:
    """One flow of one channel; Flow 0 is one too."""

    def __init__(self, number: int, options: FlowOptions, sender: FlowSender, receiver: FlowReceiver) -> None:
        self.number = number
        self.options = options
        self.kind = options.kind
        self.sender = sender
        self.receiver = receiver
        self.closed_here: int | None = None  # reason of our last CLOSE
        self.close_receipted = False  # the peer has our CLOSE with reason 1
        self.closed_there: int | None = None  # reason of the peer's last CLOSE
        self.over_ns: int | None = None  # when our CLOSE was said and the peer's was read
        self.reported = False  # the application knows that the peer closed

    @property
    def gone(self) -> bool:
        """Nothing about this flow can come any more that matters (T-FLW-13)."""
        return self.closed_there == REFUSED or (self.closed_there == CLOSED and self.close_receipted)

    @property
    def writable(self) -> bool:
        """The application may write."""
        ended = getattr(self.sender.queue, "ended", False)
        return not ended and self.closed_here != CLOSED and self.closed_there not in (CLOSED, REFUSED)

    @property
    def at_end(self) -> bool:
        """A byte flow of which everything was read and whose end was said (T-FLW-17)."""
        if self.kind != BYTES or self.receiver.delivery.readable:
            return False
        if self.receiver.delivery.ended:
            return True
        final = self.receiver.final
        return self.receiver.end_said and final is not None and self.receiver.delivery.delivered >= final

    @property
    def broken(self) -> bool:
        """Nothing can be read from it any more, and it has no proper end."""
        if self.receiver.delivery.readable:
            return False
        if self.closed_here == CLOSED or self.closed_there == REFUSED:
            return True
        final = self.receiver.final
        return self.closed_there == CLOSED and final is not None and self.receiver.arrivals.first_missing >= final

    @property
    def must_answer_close(self) -> bool:
        """The peer has closed, all below its `final` is here, and we have not closed yet (T-FLW-11)."""
        if self.closed_there != CLOSED or self.closed_here == CLOSED:
            return False
        final = self.receiver.final
        return final is not None and self.receiver.arrivals.first_missing >= final

    @property
    def must_end(self) -> bool:
        """A byte flow that was ended with nothing left to carry END (T-FLW-8)."""
        queue = self.sender.queue
        if self.kind != BYTES or self.number == 0 or self.closed_here is not None or self.sender.stopped:
            return False
        return isinstance(queue, ByteQueue) and queue.ended and not queue.size and not queue.end_sent
