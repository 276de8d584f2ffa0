# SPDX-License-Identifier: Apache-2.0
"""From slots to what the application reads (RFC 0001 section 13): whole messages, bytes in order, tags."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tether_hw.transport.protocol.config import Piece
from tether_hw.transport.protocol.header import END, FIRST


class TooLarge(Exception):
    """A message grew beyond its flow's bound: the peer breaks the protocol (T-FLW-5)."""


@dataclass(frozen=True)
class Part:
    """One thing in slot order: a frame that arrived, or slots that were skipped (payload None)."""

    slot: int
    end: int
    payload: bytes | None
    flags: int = 0


class InOrder:
    """Puts parts in the order of their slots. Each kind of flow takes them in its own way."""

    def __init__(self) -> None:
        self.delivered = 0  # the slot up to which parts were taken
        self.ready: deque[tuple[Piece, int]] = deque()  # what the application reads, and the cells it gives back
        self._parts: dict[int, Part] = {}

    def put(self, part: Part) -> int:
        """A part arrived, its slots are new; how many cells are free again."""
        self._parts[part.slot] = part
        freed = 0
        while self.delivered in self._parts:
            part = self._parts.pop(self.delivered)
            self.delivered = part.end
            freed += self.take(part)
        return freed

    def take(self, part: Part) -> int:
        """The next part in order; how many cells it leaves free."""
        raise AssertionError("each kind of flow takes its parts in its own way")

    @property
    def readable(self) -> bool:
        """Something waits."""
        return bool(self.ready)

    @property
    def unread_cells(self) -> int:
        """Cells of what could be read and is not."""
        return sum(cells for _, cells in self.ready)

    @property
    def ended(self) -> bool:
        """A frame has said that nothing follows."""
        return False

    def read(self, capacity: int | None) -> tuple[Piece, int]:
        """The next piece and the cells that it gives back."""
        return self.ready.popleft()

    def clear(self) -> None:
        """Forget what nobody will read; the caller frees the cells."""
        self._parts.clear()
        self.ready.clear()


class Messages(InOrder):
    """Whole messages. Their cells are free when the application has read them (T-GRT-13)."""

    def __init__(self, bound: int) -> None:
        super().__init__()
        self.bound = bound
        self._open: list[Part] | None = None

    def take(self, part: Part) -> int:
        """Frames of no whole message are dropped (T-FLW-4), so is a message that a SKIP hit (T-SKP-2)."""
        if part.payload is None:
            self.ready.append((Piece(part.slot, hole=part.end - part.slot), 0))
            return self._drop()
        freed = 0
        if part.flags & FIRST:
            freed = self._drop()
            self._open = []
        if self._open is None:
            return freed + 1
        self._open.append(part)
        if sum(len(frame.payload or b"") for frame in self._open) > self.bound:
            raise TooLarge(f"a message of more than {self.bound} bytes")
        if part.flags & END:
            self.ready.append((whole(self._open), len(self._open)))
            self._open = None
        return freed

    def _drop(self) -> int:
        freed = len(self._open or ())
        self._open = None
        return freed

    def clear(self) -> None:
        """Forget everything."""
        super().clear()
        self._drop()


def whole(parts: list[Part]) -> Piece:
    """The message that these frames carry."""
    return Piece(parts[0].slot, b"".join(part.payload or b"" for part in parts))


class Bytes(InOrder):
    """A stream. The cell of a frame is free when its last byte was read."""

    def __init__(self, place: Place | None = None) -> None:
        """`place`: of a positioned flow, where a slot says the offset."""
        super().__init__()
        self.place = place
        self._size = 0
        self._ended = False

    def take(self, part: Part) -> int:
        """Payloads in the order of their slots; skipped slots add nothing (T-FLW-6), unless they have a place."""
        if part.payload is None:
            if self.place is not None:
                self.ready.append((self.place.hole(part), 0))
            return 0
        offset = self._size if self.place is None else self.place.offset(part.slot)
        self.ready.append((Piece(offset, part.payload), 1))
        self._size += len(part.payload)
        self._ended = self._ended or bool(part.flags & END)
        return 0

    @property
    def ended(self) -> bool:
        """END has been reached."""
        return self._ended

    def read(self, capacity: int | None) -> tuple[Piece, int]:
        """The next piece, at most `capacity` bytes of it; of a plain stream all that is there."""
        room = 1 << 62 if capacity is None else capacity
        offset, out, freed = self.ready[0][0].offset, b"", 0
        while self.ready and len(out) < room:
            piece, cells = self.ready.popleft()
            if piece.hole:
                return piece, cells
            if len(out) + len(piece.data) > room:
                cut = room - len(out)
                self.ready.appendleft((Piece(piece.offset + cut, piece.data[cut:]), cells))
                return Piece(offset, out + piece.data[:cut]), freed
            out += piece.data
            freed += cells
            if self.place is not None:
                break
        return Piece(offset, out), freed


@dataclass(frozen=True)
class Place:
    """Where the bytes of a positioned flow belong (T-FLW-20)."""

    full: int  # payload bytes of a full frame
    full_slots: int

    def offset(self, slot: int) -> int:
        """Of the first byte of the frame at `slot`."""
        return self.full * slot // self.full_slots

    def hole(self, part: Part) -> Piece:
        """Skipped slots as bytes that will not come."""
        return Piece(self.offset(part.slot), hole=self.offset(part.end) - self.offset(part.slot))


class TagFrames(InOrder):
    """Flow 0: each frame's tags are acted on as soon as they are in order (T-TAG-6)."""

    def __init__(self, act: Callable[[bytes], None]) -> None:
        super().__init__()
        self.act = act

    def take(self, part: Part) -> int:
        """The pool's cells are the channel's for its life: none is given back one by one."""
        if part.payload is not None:
            self.act(part.payload)
        return 0
