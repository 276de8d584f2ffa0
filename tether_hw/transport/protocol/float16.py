# SPDX-License-Identifier: Apache-2.0
"""The 16-bit float of `want` and `pace` (RFC 0001 section 4): 6-bit exponent, 10-bit mantissa, value m * 2^e."""

from __future__ import annotations

MANTISSA_BITS = 10
MANTISSA_MAX = (1 << MANTISSA_BITS) - 1
EXPONENT_MAX = 63
VALUE_MAX = (1 << 64) - 1  # what a decoder returns at most: results are u64


def decode(wire: int) -> int:
    """Return m * 2^e of a wire value (0..65535), saturated at 2^64 - 1. Every wire value is valid."""
    exponent, mantissa = wire >> MANTISSA_BITS, wire & MANTISSA_MAX
    return min(mantissa << exponent, VALUE_MAX)


def encode(value: int) -> int:
    """Return the canonical wire value: the smallest exponent that fits, rounded down, so never more than `value`."""
    exponent = max(0, value.bit_length() - MANTISSA_BITS)
    if exponent > EXPONENT_MAX:
        return EXPONENT_MAX << MANTISSA_BITS | MANTISSA_MAX
    return exponent << MANTISSA_BITS | value >> exponent


def is_canonical(wire: int) -> bool:
    """Say whether a wire value has the smallest possible exponent: e = 0, or a mantissa of at least 512."""
    return wire >> MANTISSA_BITS == 0 or (wire & MANTISSA_MAX) >> (MANTISSA_BITS - 1) == 1
