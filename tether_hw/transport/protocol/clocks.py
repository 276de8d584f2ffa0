# SPDX-License-Identifier: Apache-2.0
"""Round trips, silence and back-off (RFC 0001 sections 3 and 8.3): every timer of a channel derives from these."""

from __future__ import annotations

from collections import deque

from tether_hw.transport.protocol.config import MS, SECOND
from tether_hw.transport.protocol.contact import later
from tether_hw.transport.protocol.header import BLOCK_SIZE, HEADER_SIZE

SAMPLES = 256
SAMPLE_MAX = 1 << 47  # an older echo is no sample (T-HDR-17)
DECLARED_MAX = 1 << 46  # a declared round trip of this and above is not believed (T-MAN-6)
HOLD_MAX = 1 << 46
LINK_OVERHEAD = 38  # Ethernet: preamble, addresses, type, checksum, gap
DEAD_NS = 10 * SECOND


class Link:
    """What both ends declared about the way between them, and what was measured on it."""

    def __init__(self, rtt_ns: int, rate_bps: int, silence_ns: int, frame_blocks: int) -> None:
        """Begin with the own values; merge() adds the peer's."""
        self.constant_ns = rtt_ns
        self.table_ns = 0  # what tables say about now, 0 = nothing
        self.rate_bps = rate_bps
        self.silence_least_ns = silence_ns
        self.frame_blocks = frame_blocks
        self.smoothed_ns: int | None = None
        self.least_ns: int | None = None
        self._samples: deque[int] = deque(maxlen=SAMPLES)
        self._p99_ns = 0

    def merge(self, rtt_ns: int, rate_bps: int, silence_ns: int) -> None:
        """Take the peer's Manifest: the larger round trip, the smaller rate and silence that are not 0 (T-MAN-6)."""
        if rtt_ns < DECLARED_MAX:
            self.constant_ns = max(self.constant_ns, rtt_ns)
        self.rate_bps = min(filter(None, (self.rate_bps, rate_bps)), default=0)
        self.silence_least_ns = min(filter(None, (self.silence_least_ns, silence_ns)), default=0)

    @property
    def declared_ns(self) -> int:
        """The round trip as it is declared: by the table of the moment, else by the constant (T-WIN-5)."""
        return self.table_ns or self.constant_ns

    def sample(self, sample_ns: int) -> None:
        """One measured round trip; absurd ones are dropped."""
        if sample_ns >= SAMPLE_MAX:
            return
        self._samples.append(sample_ns)
        self._p99_ns = sorted(self._samples)[len(self._samples) * 99 // 100]
        self.least_ns = min(sample_ns, self.least_ns if self.least_ns is not None else sample_ns)
        if self.smoothed_ns is None:
            self.smoothed_ns = sample_ns
        else:
            self.smoothed_ns = (7 * self.smoothed_ns + sample_ns) // 8

    @property
    def rtt_ns(self) -> int:
        """Smoothed from the samples, the declared one while there is none."""
        return self.declared_ns if self.smoothed_ns is None else self.smoothed_ns

    @property
    def frame_time_ns(self) -> int:
        """How long the link takes for one full frame; 0 when no rate is known."""
        size = HEADER_SIZE + BLOCK_SIZE * self.frame_blocks + LINK_OVERHEAD
        return size * 8 * SECOND // self.rate_bps if self.rate_bps else 0

    @property
    def silence_ns(self) -> int:
        """How long nothing must have come before a clock may ask (T-CLK-4)."""
        return max(max(self.declared_ns, self._p99_ns) * 3 // 2, 4 * self.frame_time_ns, self.silence_least_ns or MS)

    @property
    def cap_ns(self) -> int:
        """The longest wait between two frames of a clock (T-CLK-5)."""
        return max(self.silence_ns, min(64 * self.silence_ns, SECOND))

    @property
    def dead_ns(self) -> int:
        """How long timer frames may stay unanswered (T-CLK-7)."""
        return max(DEAD_NS, 16 * self.silence_ns)

    @property
    def hold_most_ns(self) -> int:
        """The longest time that a Timestamp may be held and still be echoed (T-HDR-11)."""
        least = self.declared_ns if self.least_ns is None else self.least_ns
        return min(HOLD_MAX, max(MS, 1250 * least))


class Backoff:
    """One clock: a wait that doubles with each unanswered frame, up to a cap (T-CLK-5)."""

    def __init__(self, now_ns: int) -> None:
        self.since_ns = now_ns
        self.doublings = 0

    def due_ns(self, silence_ns: int, cap_ns: int) -> int:
        """When the next timer frame is due, if this clock runs at all."""
        return self.since_ns + min(silence_ns << min(self.doublings, 64), cap_ns)

    def fired(self, now_ns: int) -> None:
        """A timer frame left."""
        self.since_ns = now_ns
        self.doublings += 1

    def go_on(self, away_ns: int, now_ns: int) -> None:
        """Contact is back: the wait goes on from where it stood."""
        self.since_ns = later(self.since_ns, away_ns, now_ns)

    def heard(self, now_ns: int, news: bool) -> None:
        """Something about the flow came or left; only news takes the doublings back."""
        self.since_ns = now_ns
        if news:
            self.doublings = 0
