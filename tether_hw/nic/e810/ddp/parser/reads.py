# SPDX-License-Identifier: Apache-2.0
"""How the parser looks at a frame: every look is a question with a small answer, so that a run can be remembered.

Bits are numbered from the most significant bit of byte 0; what lies beyond the frame, or beyond what the parser is
given of it, reads as zero.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, Protocol

#: Bytes of a frame that the parser is given (ICE_PARSER_MAX_PKT_LEN).
PARSED_BYTES = 504


class Kind(IntEnum):
    """Kinds of questions."""

    BITS = 0
    KNOWN = 1
    MATCH = 2
    LONGER = 3
    NONE = 4


class Question(NamedTuple):
    """BITS and KNOWN: `width` bits from bit `first`; MATCH: `width` bytes from byte `first`; LONGER: than `first`."""

    kind: Kind
    first: int = 0
    width: int = 0
    values: frozenset[int] = frozenset()
    care: int = 0
    value: int = 0


class Reads(Protocol):
    """Answers questions about one frame."""

    def bits(self, first: int, width: int) -> int: ...
    def known(self, first: int, width: int, values: frozenset[int]) -> int: ...
    def match(self, first: int, size: int, care: int, value: int) -> bool: ...
    def longer(self, offset: int) -> bool: ...


class Frame:
    """A frame of 0 to 65,535 bytes, asked directly."""

    def __init__(self, data: bytes) -> None:
        self.length = len(data)
        self._data = data[:PARSED_BYTES]

    def bits(self, first: int, width: int) -> int:
        """The number that `width` bits from bit `first` make, most significant bit first."""
        if width == 0:
            return 0
        start, end = first // 8, (first + width + 7) // 8
        piece = self._data[start:end].ljust(end - start, b"\0")
        return int.from_bytes(piece, "big") >> (-(first + width) % 8) & (1 << width) - 1

    def known(self, first: int, width: int, values: frozenset[int]) -> int:
        """As bits, or -1 when it is none of `values`."""
        value = self.bits(first, width)
        return value if value in values else -1

    def match(self, first: int, size: int, care: int, value: int) -> bool:
        """Whether `size` bytes from `first`, as one little-endian number, are `value` where `care` has ones."""
        piece = self._data[first : first + size]
        return int.from_bytes(piece, "little") & care == value

    def longer(self, offset: int) -> bool:
        """Whether the frame has more than `offset` bytes."""
        return self.length > offset


class Recorder:
    """Asks a frame and notes every question with its answer."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self.asked: list[tuple[Question, int]] = []

    def _note(self, question: Question, answer: int) -> int:
        self.asked.append((question, answer))
        return answer

    def bits(self, first: int, width: int) -> int:
        return self._note(Question(Kind.BITS, first, width), self._frame.bits(first, width))

    def known(self, first: int, width: int, values: frozenset[int]) -> int:
        return self._note(Question(Kind.KNOWN, first, width, values), self._frame.known(first, width, values))

    def match(self, first: int, size: int, care: int, value: int) -> bool:
        question = Question(Kind.MATCH, first, size, care=care, value=value)
        return bool(self._note(question, self._frame.match(first, size, care, value)))

    def longer(self, offset: int) -> bool:
        return bool(self._note(Question(Kind.LONGER, offset), self._frame.longer(offset)))
