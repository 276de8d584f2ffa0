# SPDX-License-Identifier: Apache-2.0
"""From slots to what the application reads (RFC 0001 section 13): whole messages, bytes in order, tags."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tether_hw.transport.protocol.header import END, FIRST


class TooLarge(Exception):
    """A message grew beyond its flow's bound: the peer breaks the protocol (T-FLW-5)."""


@dataclass(frozen=True)
class Piece:
    """One thing in slot order: a frame that arrived, or slots that were skipped (payload None)."""

    end: int
    payload: bytes | None
    flags: int = 0


class InOrder:
    """Puts pieces in the order of their slots. `take` of a kind gives back how many cells it has done with."""

    def __init__(self) -> None:
        self.delivered = 0  # the slot up to which pieces were taken
        self._pieces: dict[int, Piece] = {}

    def put(self, slot: int, piece: Piece) -> None:
        """A piece arrived; its slots are new."""
        if piece.end > slot:
            self._pieces[slot] = piece

    def run(self) -> int:
        """Hand on all that is in order now; return how many cells are free again."""
        freed = 0
        while self.delivered in self._pieces:
            piece = self._pieces.pop(self.delivered)
            self.delivered = piece.end
            freed += self.take(piece)
        return freed

    def take(self, piece: Piece) -> int:
        """The next piece in order."""
        raise AssertionError("each kind of flow takes its pieces in its own way")

    def clear(self) -> None:
        """Forget what nobody will read; the caller frees the cells."""
        self._pieces.clear()


class Messages(InOrder):
    """Whole messages. Their cells are free when the application has read them (T-GRT-13)."""

    def __init__(self, bound: int) -> None:
        super().__init__()
        self.bound = bound
        self.ready: deque[tuple[bytes, int]] = deque()  # message, cells
        self._open: list[bytes] | None = None
        self._size = 0

    def take(self, piece: Piece) -> int:
        """Frames of no whole message are dropped (T-FLW-4), so is a message that a SKIP hit (T-SKP-2)."""
        if piece.payload is None:
            return self._drop()
        freed = 0
        if piece.flags & FIRST:
            freed = self._drop()
            self._open = []
        if self._open is None:
            return freed + 1
        self._open.append(piece.payload)
        self._size += len(piece.payload)
        if self._size > self.bound:
            raise TooLarge(f"a message of more than {self.bound} bytes")
        if piece.flags & END:
            self.ready.append((b"".join(self._open), len(self._open)))
            self._open, self._size = None, 0
        return freed

    def _drop(self) -> int:
        freed = len(self._open or ())
        self._open, self._size = None, 0
        return freed

    @property
    def readable(self) -> bool:
        """A whole message waits."""
        return bool(self.ready)

    def read(self, capacity: int | None) -> tuple[bytes, int]:
        """The next message and the cells that it gives back."""
        return self.ready.popleft()

    def clear(self) -> None:
        """Forget everything."""
        super().clear()
        self.ready.clear()
        self._drop()


class Bytes(InOrder):
    """A stream. The cell of a frame is free when its last byte was read."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: deque[bytes] = deque()
        self.ended = False  # END has been reached

    def take(self, piece: Piece) -> int:
        """Payloads in the order of their slots; skipped slots add nothing (T-FLW-6)."""
        if piece.payload is None:
            return 0
        self.parts.append(piece.payload)
        self.ended = self.ended or bool(piece.flags & END)
        return 0

    @property
    def readable(self) -> bool:
        """Bytes wait."""
        return bool(self.parts)

    def read(self, capacity: int | None) -> tuple[bytes, int]:
        """At most `capacity` bytes and the cells that they give back."""
        out, left, cells = [], capacity if capacity is not None else 1 << 62, 0
        while self.parts and left:
            part = self.parts[0]
            if len(part) > left:
                self.parts[0] = part[left:]
                part = part[:left]
            else:
                self.parts.popleft()
                cells += 1
            out.append(part)
            left -= len(part)
        return b"".join(out), cells

    def clear(self) -> None:
        """Forget everything."""
        super().clear()
        self.parts.clear()


class TagFrames(InOrder):
    """Flow 0: each frame's tags are acted on as soon as they are in order (T-TAG-6)."""

    def __init__(self, act: Callable[[bytes], None]) -> None:
        super().__init__()
        self.act = act

    def take(self, piece: Piece) -> int:
        """The pool's cells are the channel's for its life: none is given back one by one."""
        if piece.payload is not None:
            self.act(piece.payload)
        return 0


Delivery = Messages | Bytes | TagFrames
