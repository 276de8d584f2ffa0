# SPDX-License-Identifier: Apache-2.0
"""Hail and reply as their two ends live them (RFC 0001 section 10): attempts, counters, answers, crossing."""

from __future__ import annotations

import copy
import errno
from dataclasses import dataclass, field

from tether_hw.transport.protocol import hail, tags
from tether_hw.transport.protocol.channel import CHANNEL_CELLS, Channel, State
from tether_hw.transport.protocol.clocks import Link
from tether_hw.transport.protocol.config import NEVER, SECOND, Address, Happened, Peer
from tether_hw.transport.protocol.cookie import MAC2_SIZE
from tether_hw.transport.protocol.directory import Directory
from tether_hw.transport.protocol.header import BLOCK_SIZE, Header
from tether_hw.transport.protocol.node import Node
from tether_hw.transport.protocol.noise import Handshake
from tether_hw.transport.protocol.reject import Reject
from tether_hw.transport.protocol.serial import U48

RETRY_CAP_NS = 2 * SECOND  # T-HAI-7
HAIL_FRAMES = 2  # what a Hail costs the purse: itself and the reply that it funds (T-PRS-3)
COUNTER_LAST = (1 << 64) - 1  # never used (T-CNT-1)
ABSURD = 1 << 63  # a stale answer from here on ends the attempt (T-STL-4)
FEW_COUNTERS = 16


@dataclass
class Attempt:
    """A channel that is being hailed for. `index` stays the same over its retries."""

    index: int
    peer: Peer
    remote_lane: int
    address: Address
    silence_ns: int
    due_ns: int
    tries: int = 0
    sent_ns: int = 0
    handshake: Handshake | None = None  # of the newest Hail: only its reply counts
    hail_blocks: int = 0


Entry = Attempt | Channel


@dataclass
class Counters:
    """Hail counters that are durable already: [next, limit) (T-CNT-2)."""

    next: int = 0
    limit: int = 0
    seen_by_peers: int = 0  # a peer called ours stale; only what is above may be used
    asked: bool = False

    def add(self, first: int, limit: int) -> None:
        """A new stride."""
        self.next, self.limit, self.asked = max(first, self.seen_by_peers + 1, self.next), limit, False

    def take(self) -> int | None:
        """The next one."""
        if self.next >= min(self.limit, COUNTER_LAST):
            return None
        self.next += 1
        return self.next - 1


@dataclass
class Hailing:
    """Both roles. `entries` names attempts and channels by their index."""

    node: Node
    entries: Directory[Entry]
    peers: dict[bytes, Peer] = field(default_factory=dict)  # by key
    counters: Counters = field(default_factory=Counters)
    seen: dict[tuple[bytes, int], int] = field(default_factory=dict)  # T-CNT-1
    replies: list[tuple[bytes, Address]] = field(default_factory=list)
    born: int = 0

    def attempts(self) -> list[Attempt]:
        """What is hailed for now."""
        return [entry for entry in self.entries.all() if isinstance(entry, Attempt)]

    def channels(self) -> list[Channel]:
        """What has keys."""
        return [entry for entry in self.entries.all() if isinstance(entry, Channel)]

    # initiator

    def begin(self, now_ns: int, peer: Peer, remote_lane: int, address: Address) -> int:
        """Hail for a channel; an attempt for that lane pair that is out already serves (T-HAI-8)."""
        for attempt in self.attempts():
            if (attempt.peer.id, attempt.remote_lane) == (peer.id, remote_lane):
                return attempt.index
        index = self._claim()
        own = self.node.manifest(peer)
        link = Link(own.rtt_ns, own.rate_bps, own.silence_ns, own.frame_blocks)
        self.entries.put(index, Attempt(index, peer, remote_lane, address, link.silence_ns, now_ns))
        return index

    def _claim(self) -> int:
        index = self.entries.claim()
        if index is None or not self.node.cells.reserve(CHANNEL_CELLS):
            raise OSError(errno.ENOSPC, "no free channel")
        return index

    def give_up(self, attempt: Attempt, status: int, value: int = 0) -> None:
        """The attempt ends without a channel of its own."""
        self.entries.remove(attempt.index)
        self.node.cells.release(CHANNEL_CELLS)
        self.node.tell(Happened.CHANNEL_DOWN, attempt.index, status=status, value=value, peer=attempt.peer.id)

    def next_hail(self, attempt: Attempt, now_ns: int) -> tuple[bytes, Address] | None:
        """The Hail of an attempt when it is due: each is a new message (T-HAI-7)."""
        if now_ns < attempt.due_ns:
            return None
        node = self.node
        if self.counters.limit - self.counters.next <= FEW_COUNTERS:
            self.ask_counter(0)
        if self.counters.next >= self.counters.limit or not node.purse.take(now_ns, HAIL_FRAMES):
            return None
        counter = self.counters.take()
        if counter is None:
            return None
        key = attempt.peer.keys[attempt.tries % len(attempt.peer.keys)]  # T-IDN-4
        offer = tags.Hail(counter, node.config.lane, attempt.remote_lane, node.config.ciphers)
        attempt.handshake = Handshake(node.config.static_secret, key)
        timestamp = int.from_bytes(node.config.entropy(6), "little")
        frame = hail.write_hail(
            attempt.handshake, node.config.entropy(32), attempt.index, timestamp, [offer, node.manifest(attempt.peer)]
        )
        attempt.hail_blocks = len(frame) // BLOCK_SIZE - 1
        wait_ns = min(attempt.silence_ns << min(attempt.tries, 40), max(RETRY_CAP_NS, attempt.silence_ns))
        attempt.tries += 1
        attempt.sent_ns = now_ns
        attempt.due_ns = now_ns + wait_ns
        node.stats.lamps_sent += 1
        node.stats.frames_sent += 1
        return frame, attempt.address

    def ask_counter(self, seen: int) -> None:
        """Ask the owner for a new stride, once."""
        if not self.counters.asked:
            self.counters.asked = True
            self.node.tell(Happened.NEED_COUNTER, 0, value=seen)

    def deadline_ns(self) -> int:
        """When the next Hail is due, or a half-open channel falls."""
        if self.replies:
            return 0
        due = NEVER
        for attempt in self.attempts():
            if self.counters.next < self.counters.limit:
                due = min(due, max(attempt.due_ns, self.node.purse.ready_ns(HAIL_FRAMES)))
            elif not self.counters.asked:
                due = min(due, attempt.due_ns)
        half_open = (channel.expires_ns for channel in self.channels() if channel.state is State.HALF_OPEN)
        return min(due, min(half_open, default=NEVER))

    def read_reply(self, attempt: Attempt, header: Header, frame: bytes, now_ns: int) -> None:
        """A frame with LAMP for an attempt's index; Reject when it is no valid reply to its newest Hail."""
        node = self.node
        if attempt.handshake is None:
            raise Reject("state", "no Hail is out")
        hail.check_reply(node.public, header, frame, attempt.hail_blocks)
        if not node.replies.take(now_ns):
            raise Reject("flood", "replies beyond their bucket")
        handshake = copy.copy(attempt.handshake)  # T-NOI-4: a forgery leaves the handshake as it was
        content = hail.open_message(header, frame, handshake.read_message2)
        index, answer, manifest = hail.parse_answer(frame, content, node.config.ciphers)
        if answer.status == hail.STALE:
            self._stale(attempt, answer.counter)
            return
        if answer.status != hail.OK or answer.lane != attempt.remote_lane or answer.target_lane != node.config.lane:
            raise Reject("tags", f"a reply with status {answer.status} for lane {answer.lane}")
        assert handshake.remote_static is not None
        channel = Channel(
            node, now_ns, attempt.index, index, attempt.peer, attempt.remote_lane, attempt.address, True,
            handshake.split(), answer.ciphers, manifest, handshake.remote_static, self._born(), attempt.hail_blocks,
        )  # fmt: skip
        channel.link.sample(now_ns - attempt.sent_ns)  # T-HDR-18
        self.entries.put(attempt.index, channel)
        node.stats.lamps_received += 1
        self._up(channel, 0)

    def _stale(self, attempt: Attempt, seen: int) -> None:
        if seen >= ABSURD:
            self.give_up(attempt, -errno.ESTALE)
            return
        counters = self.counters
        counters.seen_by_peers = max(counters.seen_by_peers, seen)
        counters.next = max(counters.next, seen + 1)
        if counters.next >= counters.limit:
            self.ask_counter(seen)

    # responder

    def read_hail(self, frame: bytes, source: Address, now_ns: int) -> None:
        """A frame on channel 0: queue the reply, or Reject in the order of T-ORD-2."""
        node = self.node
        header, frame = hail.check_hail(node.public, frame)
        smallest, largest = tags.ADDRESS_SIZES.get(source.kind, (0, tags.ADDRESS_MAX))
        if not 1 <= source.kind <= 4 or not smallest <= len(source.data) <= largest:
            raise Reject("address", "a source that cannot be answered")
        hail.check_padding(header, frame, MAC2_SIZE)
        if not node.lamps.take(now_ns):
            raise Reject("flood", "Lamps beyond the bucket of the lane")
        handshake = Handshake(node.config.static_secret, None)
        content = hail.open_message(header, frame, handshake.read_message1)
        key = handshake.remote_static
        assert key is not None
        peer = self.peers.get(key)
        if peer is None:
            raise Reject("stranger", "a key that the roster does not have")
        index, offer, manifest, rekey = hail.parse_offer(header, frame, content)
        if offer.target_lane != node.config.lane:
            raise Reject("address", f"a Hail for lane {offer.target_lane}")
        hail.check_funds(header, frame)
        self._judge_counter(handshake, peer, index, offer, source)
        cipher = self._choose(offer.ciphers)
        if rekey:
            self._judge_rekey(handshake, peer, index, offer, source, rekey)
        self._answer(
            handshake, peer, index, offer, manifest, source, cipher, now_ns, len(frame) // BLOCK_SIZE - 1
        )  # fmt: skip

    def _judge_rekey(
        self, handshake: Handshake, peer: Peer, index: int, offer: tags.Hail, source: Address, named: int
    ) -> None:
        for channel in self.channels():
            pair = channel.index, channel.peer_key, channel.remote_lane
            if pair == (named, handshake.remote_static, offer.lane) and channel.state is State.UP:
                raise Reject("state", "a channel that keeps the keys it has")
        answer = tags.Hail(offer.counter, self.node.config.lane, offer.lane, 0, hail.GONE)
        self._reply(handshake, peer, index, 0, answer, source)
        raise Reject("stranger", f"no channel of this peer has index {named:#x}")

    def _judge_counter(self, handshake: Handshake, peer: Peer, index: int, offer: tags.Hail, source: Address) -> None:
        key = handshake.remote_static
        assert key is not None
        last = self.seen.get((key, offer.lane), -1)
        if offer.counter == COUNTER_LAST:
            raise Reject("counter", "the counter that is never used")
        if offer.counter <= last:
            answer = tags.Hail(last, self.node.config.lane, offer.lane, 0, hail.STALE)
            self._reply(handshake, peer, index, 0, answer, source)
            raise Reject("counter", f"counter {offer.counter}, the last one seen is {last}")
        if self.node.public < key:  # T-CRS-2
            for attempt in self.attempts():
                if (attempt.peer.id, attempt.remote_lane) == (peer.id, offer.lane) and attempt.tries:
                    raise Reject("state", "a crossing Hail that gives way to ours")
        self.seen[key, offer.lane] = offer.counter  # T-CNT-5

    def _choose(self, offered: int) -> int:
        both = offered & self.node.config.ciphers
        if not both:
            raise Reject("state", "no common cipher")
        preferred = both & self.node.config.prefer_cipher
        return preferred or both & -both

    def _answer(
        self, handshake: Handshake, peer: Peer, index: int, offer: tags.Hail, manifest: tags.Manifest,
        source: Address, cipher: int, now_ns: int, blocks: int,
    ) -> None:  # fmt: skip
        for old in self.channels():
            same = (old.peer.id, old.remote_lane) == (peer.id, offer.lane)
            if same and old.state is State.HALF_OPEN:  # T-CNF-3
                old.fall()
                self.entries.remove(old.index)
        try:
            own_index = self._claim()
        except OSError:
            raise Reject("cells", "no free channel") from None
        node = self.node
        answer = tags.Hail(offer.counter, node.config.lane, offer.lane, cipher)
        self._reply(handshake, peer, index, own_index, answer, source, min(blocks, node.config.frame_blocks))
        assert handshake.remote_static is not None
        channel = Channel(
            node, now_ns, own_index, index, peer, offer.lane, source, False,
            handshake.split(), cipher, manifest, handshake.remote_static, self._born(), blocks,
        )  # fmt: skip
        self.entries.put(own_index, channel)
        node.stats.lamps_received += 1

    def _reply(
        self, handshake: Handshake, peer: Peer, index: int, own_index: int, answer: tags.Hail, source: Address,
        blocks: int = hail.REPLY_BLOCKS,
    ) -> None:  # fmt: skip
        config = self.node.config
        frame = hail.write_reply(
            handshake, config.entropy(32), index, own_index, int.from_bytes(config.entropy(6), "little") & U48,
            [answer, self.node.manifest(peer)], blocks,
        )  # fmt: skip
        self.replies.append((frame, source))

    # both

    def _born(self) -> int:
        self.born += 1
        return self.born

    def _up(self, channel: Channel, hailed_by_peer: int) -> None:
        channel.state = State.UP
        self.node.tell(Happened.CHANNEL_UP, channel.index, value=hailed_by_peer, peer=channel.peer.id)
        for manifest in self._manifests(channel):
            channel.say(manifest)

    def _manifests(self, channel: Channel) -> list[tags.Manifest]:
        """The Manifest with the lanes, in as many pieces as it takes (T-MAN-3)."""
        blocks = channel.shape.blocks
        pieces = [self.node.manifest(channel.peer, blocks=blocks)]
        for lane in self.node.config.lane_addresses:
            pieces[-1].lanes.append(lane)
            if len(tags.encode([pieces[-1]])) > channel.shape.full:
                pieces[-1].lanes.pop()
                if not pieces[-1].lanes:
                    break  # frames so small that no lane fits
                pieces.append(self.node.manifest(channel.peer, [lane], blocks))
        return pieces

    def confirmed(self, channel: Channel) -> None:
        """The first frame under a channel's keys has verified: what it replaces falls (T-CNF-4, T-CRS-2)."""
        if channel.state is State.HALF_OPEN:
            self._up(channel, 1)
        pair = channel.peer.id, channel.remote_lane
        for old in self.channels():
            if (old.peer.id, old.remote_lane) == pair and old.born < channel.born:
                old.fall(-errno.ECONNRESET)
                self.entries.remove(old.index)
        if not channel.initiator:
            for attempt in self.attempts():
                if (attempt.peer.id, attempt.remote_lane) == pair:
                    self.give_up(attempt, -errno.EISCONN, channel.index)
