# SPDX-License-Identifier: Apache-2.0
"""Ternary cells: (key, inverse) bits 1,0 match 0; 0,1 match 1; 1,1 match both; 0,0 never match (ice_tmatch.h)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ternary:
    """What a TCAM key of `size` bytes matches: value & care == expected; `never` when one of its cells matches nothing.

    Byte 0 is the least significant byte of the integers.
    """

    care: int
    value: int
    never: bool

    @classmethod
    def decode(cls, key: bytes, inverse: bytes) -> Ternary:
        """From the two halves of an entry."""
        zeros, ones = int.from_bytes(key, "little"), int.from_bytes(inverse, "little")
        every = (1 << 8 * len(key)) - 1
        return cls(care=zeros ^ ones, value=ones & ~zeros, never=(zeros | ones) != every)

    def encode(self, size: int) -> tuple[bytes, bytes]:
        """The halves (key, inverse). An entry that never matches has one cell, bit 0 of byte 0, that does not."""
        every = (1 << 8 * size) - 1
        ones = (self.value & self.care) | (every & ~self.care)
        zeros = (~self.value & self.care) | (every & ~self.care)
        if self.never:
            zeros, ones = zeros & ~1, ones & ~1
        return zeros.to_bytes(size, "little"), ones.to_bytes(size, "little")

    def matches(self, pattern: int) -> bool:
        """Whether a pattern hits."""
        return not self.never and pattern & self.care == self.value

    def covers(self, other: Ternary) -> bool:
        """Whether everything that `other` matches is matched here too."""
        if other.never:
            return True
        return not self.never and self.care & ~other.care == 0 and other.value & self.care == self.value
