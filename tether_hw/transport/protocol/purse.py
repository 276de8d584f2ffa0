# SPDX-License-Identifier: Apache-2.0
"""The finite allowance for what nobody has granted (RFC 0001 section 9.1), and the buckets that guard Lamps."""

from __future__ import annotations

from tether_hw.transport.protocol.config import SECOND


class Bucket:
    """`burst` frames at most, refilled by `per_s` frames a second. Frames are counted, as T-PRS-2 allows."""

    def __init__(self, burst: int, per_s: int) -> None:
        self.burst = burst
        self.per_s = per_s
        self._filled_ns = burst * SECOND  # frames times a second, so that the refill needs no fractions
        self._since_ns: int | None = None

    def _refill(self, now_ns: int) -> None:
        if self._since_ns is not None and now_ns > self._since_ns:
            gained = (now_ns - self._since_ns) * self.per_s
            self._filled_ns = min(self.burst * SECOND, self._filled_ns + gained)
        self._since_ns = now_ns

    def take(self, now_ns: int, frames: int = 1) -> bool:
        """Pay for `frames`, or pay nothing and say False."""
        self._refill(now_ns)
        if self._filled_ns < frames * SECOND:
            return False
        self._filled_ns -= frames * SECOND
        return True

    def filled(self, now_ns: int) -> int:
        """What is left, in frames times a second."""
        self._refill(now_ns)
        return self._filled_ns

    def has(self, now_ns: int) -> bool:
        """At least one frame is left."""
        return self.filled(now_ns) >= SECOND

    def low(self, now_ns: int) -> bool:
        """More than half empty."""
        return self.filled(now_ns) * 2 < self.burst * SECOND

    def ready_ns(self, frames: int = 1) -> int:
        """When take() will succeed if nobody else takes; in the past when it would already."""
        missing = frames * SECOND - self._filled_ns
        if missing <= 0 or self._since_ns is None:
            return 0
        return self._since_ns + -(-missing // self.per_s)
