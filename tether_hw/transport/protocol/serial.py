# SPDX-License-Identifier: Apache-2.0
"""Serial arithmetic (RFC 0001 section 5): how 32 and 48 bits on the wire become the 64-bit counters of both ends.

Slots, grants and demand are plain integers that only grow; the wire carries their low bits.
"""

from __future__ import annotations

U32 = (1 << 32) - 1
U48 = (1 << 48) - 1
SPAN = 1 << 31  # no slot is outstanding this far above the first one that has not arrived


def _signed(value: int, bits: int) -> int:
    """Read the low `bits` bits as a two's complement number."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def expand_slot(wire: int, first_missing: int) -> int | None:
    """The receiver's reading of `slot`: the one nearest to its first missing slot; None when that is below zero."""
    slot = first_missing + _signed(wire - first_missing, 32)
    return slot if slot >= 0 else None


def expand_nack_slot(wire: int, sent: int, first_unacknowledged: int) -> int | None:
    """The sender's reading of `NackSlot`: the newest slot at or below `sent` with these low bits.

    None when no such slot exists or when it lies 2^31 or more below the first unacknowledged slot: then the
    frame's NackSlot and NackCount say nothing.
    """
    slot = sent - ((sent - wire) & U32)
    if slot < 0 or first_unacknowledged - slot >= SPAN:
        return None
    return slot


def raise_limit(limit: int, wire: int) -> int:
    """The sender's limit after a frame with this GrantAmount: serial max() modulo 2^48; never lower than before."""
    return limit + max(0, _signed(wire - limit, 48))


def elapsed(now: int, then: int) -> int:
    """Nanoseconds between two 48-bit Timestamps of one clock, `then` being the earlier one."""
    return (now - then) & U48
