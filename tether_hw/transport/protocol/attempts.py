# SPDX-License-Identifier: Apache-2.0
"""The initiator's half of a Hail (RFC 0001 section 10): attempts, their retries and sizes, counters, cookies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from tether_hw.transport.protocol import cookie, hail, tags
from tether_hw.transport.protocol.channel import Channel
from tether_hw.transport.protocol.config import SECOND, Address, Happened, Peer
from tether_hw.transport.protocol.contact import Contact, Declared
from tether_hw.transport.protocol.header import AAD_SIZE, BLOCK_SIZE, HEADER_SIZE
from tether_hw.transport.protocol.node import Node
from tether_hw.transport.protocol.noise import Handshake

RETRY_CAP_NS = 2 * SECOND  # T-HAI-7
HAIL_FRAMES = 2  # what a Hail costs the purse: itself and the reply that it funds (T-PRS-3)
COUNTER_LAST = (1 << 64) - 1  # never used (T-CNT-1)
FEW_COUNTERS = 16
STEP_MOST = 1 << 32  # how far one stale answer moves our counter (T-STL-2)
SMALLER = (139, 22, 20, 18, 8)  # payload blocks of Hails that are tried when full ones are not answered (T-PMT-4)
TRIES_EACH = 3
SMALL = 8  # payload blocks of a Hail for new keys that asks whether the peer lives (T-PMT-6)
TRIES_AGAIN = 8  # of the channel's own size, by a peer that lives, before its path counts as narrower


def sizes(own: int) -> Iterator[int]:
    """Payload blocks of one Hail after the other: three full ones, then smaller ones in turn with full ones."""
    yield from [own] * TRIES_EACH
    for smaller in itertools.cycle([size for size in SMALLER if size < own] or [own]):
        yield smaller
        yield own


def ladder(own: int) -> Iterator[int]:
    """Something came through: each size has its tries, from the largest down, and the first answer stands."""
    for size in itertools.cycle([own, *(size for size in SMALLER if size < own)]):
        yield from [size] * TRIES_EACH


def again(own: int) -> Iterator[int]:
    """Payload blocks of Hails for new keys: the channel's own size, after the third in turn with small ones."""
    yield from [own] * TRIES_EACH
    yield from itertools.cycle([min(own, SMALL), own])


@dataclass
class Attempt:
    """A channel, or new keys for one, that is being hailed for. `index` stays the same over its retries."""

    index: int
    peer: Peer
    remote_lane: int
    address: Address
    silence_ns: int
    due_ns: int
    blocks: int  # of a full Hail
    rekey: Channel | None = None  # whose keys are asked for
    gives_up_ns: int = 1 << 64
    contact: Contact = field(default_factory=lambda: Contact(Declared()))
    tries: int = 0
    sent_ns: int = 0
    handshake: Handshake | None = None  # of the newest Hail: only its reply counts
    hail_blocks: int = 0
    hail_mac1: bytes = b""
    sizes: Iterator[int] = field(default_factory=lambda: iter(()))
    alive: bool = False  # an answer came to a Hail smaller than a full one

    def __post_init__(self) -> None:
        if self.rekey is None:
            self.sizes = sizes(self.blocks)
        else:
            self.sizes = again(self.blocks)

    def look(self, now_ns: int) -> None:
        """Out of contact a Hail waits; its retries go on from where they stood (T-CLK-9)."""
        self.contact.rtt_ns(now_ns)
        away_ns = self.contact.look(now_ns, 0)
        self.due_ns += away_ns
        self.gives_up_ns += away_ns

    def is_too_small(self) -> bool:
        """An answer to a smaller Hail is a sign of life only: go down from the full size (T-PMT-4)."""
        if self.alive or self.hail_blocks >= self.blocks:
            return False
        self.alive, self.tries = True, 0
        if self.rekey is None:
            self.sizes = ladder(self.blocks)
        else:
            own = itertools.repeat(self.blocks, TRIES_AGAIN)
            self.sizes = itertools.chain(own, itertools.repeat(min(self.blocks, SMALL)))
        return True

    @property
    def is_narrower(self) -> bool:
        """The answer was to a small Hail after those of full size got none (T-PMT-6)."""
        return self.rekey is not None and self.hail_blocks < self.blocks


@dataclass
class Counters:
    """Hail counters that are durable already: [next, limit) (T-CNT-2)."""

    next: int = 0
    limit: int = 0
    asked: bool = False

    def add(self, first: int, limit: int) -> None:
        """A new stride."""
        self.next, self.limit, self.asked = max(first, self.next), limit, False

    def take(self) -> int | None:
        """The next one."""
        if self.next >= min(self.limit, COUNTER_LAST):
            return None
        self.next += 1
        return self.next - 1

    @property
    def left(self) -> int:
        """How many may still be used."""
        return max(0, min(self.limit, COUNTER_LAST) - self.next)

    def stale(self, seen: int) -> None:
        """A peer has seen this one; go above it, but not too far for one peer's word (T-STL-2)."""
        self.next = max(self.next, min(seen + 1, self.next + STEP_MOST))


@dataclass
class Hailer:
    """Writes the Hails of one endpoint."""

    node: Node
    counters: Counters = field(default_factory=Counters)
    cookies: dict[tuple[bytes, int], tuple[bytes, int]] = field(default_factory=dict)  # (key, lane) -> cookie, since

    def write(self, attempt: Attempt, now_ns: int) -> bytes | None:
        """The next Hail of an attempt: each is a new message (T-HAI-7). None without a counter, or without purse."""
        node = self.node
        if self.counters.left <= FEW_COUNTERS:
            self.ask_counter(0)
        if not self.counters.left or not node.purse.take(now_ns, HAIL_FRAMES):
            return None
        counter = self.counters.take()
        assert counter is not None
        key = attempt.peer.keys[attempt.tries % len(attempt.peer.keys)]  # T-IDN-4
        payload: list[tags.AnyTag] = [
            tags.Hail(counter, node.config.lane, attempt.remote_lane, node.config.ciphers), node.manifest(attempt.peer)
        ]  # fmt: skip
        if attempt.rekey is not None:
            key = attempt.rekey.peer_key
            payload.append(tags.Rekey(attempt.rekey.keys.now.peer_index))
        attempt.handshake = Handshake(node.config.static_secret, key)
        timestamp = int.from_bytes(node.config.entropy(6), "little")
        frame = hail.write_hail(
            attempt.handshake, node.config.entropy(32), attempt.index, timestamp, payload,
            blocks=next(attempt.sizes), cookie=self._cookie(key, attempt.remote_lane, now_ns),
        )  # fmt: skip
        attempt.hail_blocks = len(frame) // BLOCK_SIZE - 1
        attempt.hail_mac1 = frame[AAD_SIZE:HEADER_SIZE]
        wait_ns = min(attempt.silence_ns << min(attempt.tries, 40), max(RETRY_CAP_NS, attempt.silence_ns))
        attempt.tries += 1
        attempt.sent_ns = now_ns
        attempt.due_ns = now_ns + wait_ns
        node.stats.lamps_sent += 1
        node.stats.frames_sent += 1
        return frame

    def take_counter(self) -> int | None:
        """A counter for a warm Lamp; without one the owner is asked for more."""
        if not self.counters.left:
            self.ask_counter(0)
        return self.counters.take()

    def ask_counter(self, seen: int) -> None:
        """Ask the owner for a new stride, once."""
        if not self.counters.asked:
            self.counters.asked = True
            self.node.tell(Happened.NEED_COUNTER, 0, value=seen)

    def _cookie(self, key: bytes, lane: int, now_ns: int) -> bytes | None:
        found = self.cookies.get((key, lane))
        return found[0] if found is not None and now_ns - found[1] < cookie.LIFE_NS else None

    def read_cookie(self, attempt: Attempt, frame: bytes, now_ns: int) -> None:
        """A frame that answers the newest Hail with a cookie (T-CKE-6); Reject when its tag is wrong."""
        assert attempt.handshake is not None and attempt.handshake.remote_static is not None
        key = attempt.handshake.remote_static
        found = cookie.read_cookie(key, attempt.hail_mac1, frame)
        if self._cookie(key, attempt.remote_lane, now_ns) is None:
            attempt.due_ns = now_ns
        self.cookies = {name: each for name, each in self.cookies.items() if now_ns - each[1] < cookie.LIFE_NS}
        self.cookies[key, attempt.remote_lane] = found, now_ns
