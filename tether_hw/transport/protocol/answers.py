# SPDX-License-Identifier: Apache-2.0
"""The responder's half of a Hail (RFC 0001 sections 9.3, 10.4 to 10.6): checks in their order, counters, replies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tether_hw.transport.protocol import cookie, hail, tags
from tether_hw.transport.protocol.config import MS, Address, Peer
from tether_hw.transport.protocol.cookie import MAC2_SIZE
from tether_hw.transport.protocol.flood import NeedsCookie, can_answer
from tether_hw.transport.protocol.header import BLOCK_SIZE
from tether_hw.transport.protocol.node import Node
from tether_hw.transport.protocol.noise import Handshake
from tether_hw.transport.protocol.reject import Reject
from tether_hw.transport.protocol.serial import U48

COUNTER_LAST = (1 << 64) - 1  # never used (T-CNT-1)
STALE_EVERY_NS = 100 * MS  # T-STL-1
QUEUE_MOST = 64  # answers without a channel that may wait (T-LMP-10)


@dataclass
class Offer:
    """A Hail that has verified, from a peer of the roster."""

    peer: Peer
    key: bytes
    source: Address
    handshake: Handshake
    index: int  # the initiator's
    hail: tags.Hail
    manifest: tags.Manifest
    rekey: int  # what REKEY names, 0 without one
    blocks: int  # payload blocks of the Hail
    funded: int  # payload blocks that its GrantAmount allows the reply


@dataclass
class Answers:
    """What one endpoint answers to Hails; it makes no channel."""

    node: Node
    seen: dict[tuple[bytes, int], int] = field(default_factory=dict)  # (key, lane) -> highest counter (T-CNT-1)
    queue: list[tuple[bytes, Address]] = field(default_factory=list)
    _stale: dict[tuple[bytes, int], int] = field(default_factory=dict)

    def open(self, frame: bytes, source: Address, peers: Mapping[bytes, Peer], now_ns: int) -> Offer:
        """Judge a Hail in the order of T-ORD-2, as far as `counter`."""
        node = self.node
        header, frame = hail.check_hail(node.public, frame)
        if not can_answer(source):
            raise Reject("address", "a source that cannot be answered")
        hail.check_padding(header, frame, MAC2_SIZE)
        try:
            node.guard.judge(frame, source, now_ns)
        except NeedsCookie:
            if self.put(cookie.write_cookie(node.public, frame, node.guard.cookie(source, now_ns)), source):
                node.stats.cookies_sent += 1
            raise
        handshake = Handshake(node.config.static_secret, None)
        content = hail.open_message(header, frame, handshake.read_message1)
        key = handshake.remote_static
        assert key is not None
        peer = peers.get(key)
        if peer is None:
            raise Reject("stranger", "a key that the roster does not have")
        index, offered, manifest, rekey = hail.parse_offer(header, frame, content)
        if offered.target_lane != node.config.lane:
            raise Reject("address", f"a Hail for lane {offered.target_lane}")
        hail.check_funds(header, frame)
        blocks = len(frame) // BLOCK_SIZE - 1
        funded = min(blocks, header.GrantAmount - 1)
        offer = Offer(peer, key, source, handshake, index, offered, manifest, rekey, blocks, funded)
        self._judge_counter(offer, now_ns)
        return offer

    def _judge_counter(self, offer: Offer, now_ns: int) -> None:
        name = offer.key, offer.hail.lane
        last = self.seen.get(name, -1)
        if offer.hail.counter == COUNTER_LAST:
            raise Reject("counter", "the counter that is never used")
        if offer.hail.counter <= last:
            if now_ns - self._stale.get(name, -STALE_EVERY_NS) >= STALE_EVERY_NS and len(self.queue) < QUEUE_MOST:
                self._stale[name] = now_ns
                self.reply(offer, 0, 0, hail.STALE, last)
            raise Reject("counter", f"counter {offer.hail.counter}, the last one seen is {last}")

    def choose(self, offered: int) -> int:
        """One of the ciphers that both ends have."""
        both = offered & self.node.config.ciphers
        if not both:
            raise Reject("state", "no common cipher")
        preferred = both & self.node.config.prefer_cipher
        return preferred or both & -both

    def reply(
        self, offer: Offer, own_index: int, cipher: int, status: int, counter: int | None = None
    ) -> tuple[bytes, bytes]:
        """Queue the reply, no larger than the Hail and what it funds; the keys of Split()."""
        config = self.node.config
        counter = offer.hail.counter if counter is None else counter
        answer = tags.Hail(counter, config.lane, offer.hail.lane, cipher, status)
        blocks = hail.REPLY_BLOCKS if status else min(offer.blocks, offer.funded, config.frame_blocks)
        frame = hail.write_reply(
            offer.handshake, config.entropy(32), offer.index, own_index,
            int.from_bytes(config.entropy(6), "little") & U48, [answer, self.node.manifest(offer.peer)], blocks,
        )  # fmt: skip
        self.put(frame, offer.source)
        return offer.handshake.split()

    def put(self, frame: bytes, to: Address) -> bool:
        """Queue an answer without a channel; False when there is no room (T-LMP-10)."""
        if len(self.queue) >= QUEUE_MOST:
            return False
        self.queue.append((frame, to))
        return True

    def forget(self, keys: Mapping[bytes, Peer]) -> None:
        """Keep counters of keys that the roster has."""
        self.seen = {name: counter for name, counter in self.seen.items() if name[0] in keys}
        self._stale = {name: since for name, since in self._stale.items() if name[0] in keys}
