# SPDX-License-Identifier: Apache-2.0
"""Delivery of unordered flows (RFC 0001 section 13.2): what is whole goes to the application at once."""

from __future__ import annotations

from tether_hw.transport.protocol.config import Piece
from tether_hw.transport.protocol.delivery import InOrder, Part, Place, TooLarge, whole
from tether_hw.transport.protocol.header import END, FIRST


class UnorderedBytes(InOrder):
    """Each frame as it comes, with its offset."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self._end: int | None = None  # the slot after the frame with END

    def put(self, part: Part) -> int:
        """Readable at once; the order is kept only to know when all is there."""
        if part.payload is None:
            self.ready.append((self.place.hole(part), 0))
        else:
            self.ready.append((Piece(self.place.offset(part.slot), part.payload), 1))
            if part.flags & END:
                self._end = part.end
        return super().put(part)

    def take(self, part: Part) -> int:
        """It was handed on when it came."""
        return 0

    @property
    def ended(self) -> bool:
        """All below END has arrived, or was skipped (T-FLW-22)."""
        return self._end is not None and self.delivered >= self._end


class UnorderedMessages(InOrder):
    """Each message when it is whole, whatever is missing before it (T-FLW-19, T-FLW-21)."""

    def __init__(self, bound: int) -> None:
        super().__init__()
        self.bound = bound

    def put(self, part: Part) -> int:
        """Look for messages in the run of slots without a gap to which this part belongs."""
        if part.payload is None:
            self.ready.append((Piece(part.slot, hole=part.end - part.slot), 0))
        self._parts[part.slot] = part
        freed = 0
        for run in self._runs():
            freed += self._judge(run)
        while self.delivered in self._parts and self._parts[self.delivered].payload is None:
            self.delivered = self._parts.pop(self.delivered).end
        return freed

    def _runs(self) -> list[list[Part]]:
        runs: list[list[Part]] = []
        for slot in sorted(self._parts):
            part = self._parts[slot]
            if runs and runs[-1][-1].end == slot:
                runs[-1].append(part)
            else:
                runs.append([part])
        return runs

    def _judge(self, run: list[Part]) -> int:
        """Hand on what is whole, drop what can never be (T-FLW-4); cells that are free."""
        freed = 0
        message: list[Part] = []
        known = run[0].slot == self.delivered  # a frame without FIRST may belong to one that is still missing
        for part in run:
            if part.payload is None:
                freed += self._void(message)
                message, known = [], True
                continue
            if part.flags & FIRST:
                freed += self._void(message)
                message = []
            elif not message:
                if known:
                    freed += self._void([part])
                known = known or bool(part.flags & END)
                continue
            message.append(part)
            known = True
            if sum(len(frame.payload or b"") for frame in message) > self.bound:
                raise TooLarge(f"a message of more than {self.bound} bytes")
            if part.flags & END:
                self.ready.append((whole(message), len(message)))
                self._void(message)
                message = []
        return freed

    def _void(self, parts: list[Part]) -> int:
        """These slots hold nothing any more."""
        for part in parts:
            self._parts[part.slot] = Part(part.slot, part.end, None)
        return len(parts)

    def take(self, part: Part) -> int:
        """Never asked: put() takes parts by messages."""
        return 0
