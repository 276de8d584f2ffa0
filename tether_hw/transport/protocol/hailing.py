# SPDX-License-Identifier: Apache-2.0
"""Hail and reply as both ends live them (RFC 0001 section 10): answers, crossing, new keys, what replaces what."""

from __future__ import annotations

import copy
import errno
from dataclasses import dataclass, field

from tether_hw.transport.protocol import cookie, hail, tags
from tether_hw.transport.protocol.answers import Answers, Offer
from tether_hw.transport.protocol.attempts import HAIL_FRAMES, Attempt, Hailer
from tether_hw.transport.protocol.channel import BYE_PATH, Channel, State
from tether_hw.transport.protocol.clocks import Link
from tether_hw.transport.protocol.config import NEVER, SECOND, Address, Happened, Peer
from tether_hw.transport.protocol.contact import Contact, value_at, window_at
from tether_hw.transport.protocol.directory import Directory
from tether_hw.transport.protocol.header import LAMP, Header
from tether_hw.transport.protocol.node import Node
from tether_hw.transport.protocol.reject import Reject

ABSURD = 1 << 63  # a stale answer from here on ends the attempt (T-STL-4)

Entry = Attempt | Channel


@dataclass
class Hailing:
    """Both roles. `entries` names attempts and channels by their indices."""

    node: Node
    entries: Directory[Entry]
    hailer: Hailer
    answers: Answers
    peers: dict[bytes, Peer] = field(default_factory=dict)  # by key
    born: int = 0
    looked_ns: int = 0  # when transmit() was called last

    def attempts(self) -> list[Attempt]:
        """What is hailed for now."""
        return [entry for entry in self.entries.all() if isinstance(entry, Attempt)]

    def channels(self) -> list[Channel]:
        """What has keys, each once."""
        found = {id(entry): entry for entry in self.entries.all() if isinstance(entry, Channel)}
        return list(found.values())

    def channel_attempts(self) -> list[Attempt]:
        """Hails for channels, not for new keys."""
        return [attempt for attempt in self.attempts() if attempt.rekey is None]

    # initiator

    def begin(self, now_ns: int, peer: Peer, remote_lane: int, address: Address) -> int:
        """Hail for a channel; an attempt for that lane pair that is out already serves (T-HAI-8)."""
        for attempt in self.channel_attempts():
            if (attempt.peer.id, attempt.remote_lane) == (peer.id, remote_lane):
                return attempt.index
        index = self._claim(now_ns, None)
        own = self.node.manifest(peer)
        link = Link(own.rtt_ns, own.rate_bps, own.silence_ns, own.frame_blocks)
        link.table_ns = value_at(self.node.declared.table, now_ns)[0]
        self.entries.put(
            index,
            Attempt(
                index, peer, remote_lane, address, link.silence_ns, now_ns, own.frame_blocks,
                contact=Contact(self.node.declared),
            ),
        )  # fmt: skip
        return index

    def _claim(self, now_ns: int, peer: Peer | None) -> int:
        """An index for a channel. Half-open ones may have to make room (T-CNF-7)."""
        held = len(self.channels()) + len(self.channel_attempts())
        if held >= self.node.config.max_channels:
            waiting = [channel for channel in self.channels() if channel.state is State.HALF_OPEN]
            at_once = [channel for channel in waiting if peer is None or channel.peer.id == peer.id]
            old = [channel for channel in waiting if now_ns >= channel.keys.now.made_ns + 2 * channel.link.silence_ns]
            if not at_once + old:
                raise OSError(errno.ENOSPC, "no free channel")
            oldest = min(at_once + old, key=lambda channel: channel.born)
            oldest.fall()
            self.remove(oldest)
        index = self.entries.claim()
        if index is None:
            raise OSError(errno.ENOSPC, "no free channel")
        return index

    def remove(self, channel: Channel) -> None:
        """A channel has fallen: none of its indices names anything, nobody asks for keys for it."""
        self.entries.remove_entry(channel)
        for attempt in self.attempts():
            if attempt.rekey is channel:
                self.entries.remove(attempt.index)

    def give_up(self, attempt: Attempt, status: int, value: int = 0) -> None:
        """The attempt ends without a channel of its own; a channel that asked for new keys keeps those it has."""
        self.entries.remove(attempt.index)
        if attempt.rekey is None:
            self.node.tell(Happened.CHANNEL_DOWN, attempt.index, status=status, value=value, peer=attempt.peer.id)

    def next_hail(self, attempt: Attempt, now_ns: int) -> tuple[bytes, Address] | None:
        """The Hail of an attempt when it is due."""
        attempt.look(now_ns)
        if attempt.contact.away_ns is not None or (attempt.rekey and attempt.rekey.contact.away_ns is not None):
            return None
        if now_ns >= attempt.gives_up_ns:
            self.give_up(attempt, -errno.ETIMEDOUT)
            return None
        frame = self.hailer.write(attempt, now_ns) if now_ns >= attempt.due_ns else None
        return None if frame is None else (frame, attempt.address)

    def deadline_ns(self) -> int:
        """When the next Hail is due, or a half-open channel falls, or keys are old."""
        ours, change_ns = window_at(self.node.declared.windows, self.looked_ns)
        if self.answers.queue:
            return 0 if ours else change_ns
        due, counters = NEVER, self.hailer.counters
        for attempt in self.attempts():
            due = min(due, attempt.contact.change_ns)
            if attempt.contact.away_ns is not None or (attempt.rekey and attempt.rekey.contact.away_ns is not None):
                continue
            due = min(due, attempt.gives_up_ns)
            if counters.left:
                due = min(due, max(attempt.due_ns, self.node.purse.ready_ns(HAIL_FRAMES)))
            elif not counters.asked:
                due = min(due, attempt.due_ns)
        for channel in self.channels():
            if channel.contact.away_ns is not None:
                due = min(due, channel.contact.change_ns)
            elif channel.state is State.HALF_OPEN:
                due = min(due, channel.expires_ns)
            elif channel.state is State.UP:
                due = min(due, self._rekey_due_ns(channel), channel.keys.drained_ns or NEVER)
        return due

    def read_lamp(self, attempt: Attempt, frame: bytes, now_ns: int) -> None:
        """A frame with LAMP for an attempt's index: the reply to its newest Hail, or a cookie."""
        header, frame = hail.whole_blocks(frame)
        if attempt.handshake is None:
            raise Reject("state", "no Hail is out")
        if len(frame) == cookie.FRAME_SIZE and header.flags == LAMP and header.length == cookie.TAG_LENGTH:
            self.hailer.read_cookie(attempt, frame, now_ns)
        else:
            self._read_reply(attempt, header, frame, now_ns)

    def _read_reply(self, attempt: Attempt, header: Header, frame: bytes, now_ns: int) -> None:
        node = self.node
        assert attempt.handshake is not None
        handshake = copy.copy(attempt.handshake)  # T-NOI-4: a forgery leaves the handshake as it was
        try:
            hail.check_reply(node.public, header, frame, attempt.hail_blocks)
            if not node.replies.take(now_ns):
                raise Reject("flood", "replies beyond their bucket")
            content = hail.open_message(header, frame, handshake.read_message2)
        except Reject as reject:
            if attempt.tries > 1 and reject.reason in ("auth", "length") and header.length >= hail.REPLY_LENGTH:
                raise Reject("state", "a reply to an earlier Hail, for all that can be known") from None
            raise
        index, answer, manifest = hail.parse_answer(frame, content, node.config.ciphers)
        node.stats.lamps_received += 1
        if answer.status == hail.STALE:
            self._stale(attempt, answer.counter)
            return
        if answer.status == hail.GONE and attempt.rekey is not None:
            attempt.rekey.fall(-errno.ECONNRESET)  # T-RKY-9
            self.remove(attempt.rekey)
            return
        if answer.status != hail.OK or answer.lane != attempt.remote_lane or answer.target_lane != node.config.lane:
            raise Reject("tags", f"a reply with status {answer.status} for lane {answer.lane}")
        if attempt.is_too_small():
            attempt.due_ns = now_ns
            if attempt.rekey is not None:
                attempt.gives_up_ns = now_ns + 2 * attempt.rekey.link.dead_ns
            return
        if attempt.rekey is not None and attempt.is_narrower:
            self.entries.remove(attempt.index)
            attempt.rekey.bye(BYE_PATH, -errno.EMSGSIZE)
            return
        if attempt.rekey is not None:
            self._new_keys(attempt, attempt.rekey, index, handshake.split(), answer.ciphers, manifest, now_ns)
            return
        assert handshake.remote_static is not None
        channel = Channel(
            node, now_ns, attempt.index, index, attempt.peer, attempt.remote_lane, attempt.address, True,
            handshake.split(), answer.ciphers, manifest, handshake.remote_static, self._born(), attempt.hail_blocks,
        )  # fmt: skip
        channel.confirmed = self.confirmed
        channel.link.sample(now_ns - attempt.sent_ns)  # T-HDR-18
        self.entries.put(attempt.index, channel)
        self._up(channel, 0, now_ns)

    def _stale(self, attempt: Attempt, seen: int) -> None:
        if seen >= ABSURD:
            self.give_up(attempt, -errno.ESTALE)
            return
        self.hailer.counters.stale(seen)
        if not self.hailer.counters.left:
            self.hailer.ask_counter(self.hailer.counters.next - 1)

    # new keys

    def _rekey_due_ns(self, channel: Channel) -> int:
        """When a channel should ask for new keys (T-RKY-7), or whether its peer still knows it (T-RKY-9)."""
        if not self.node.config.rekey_s or any(attempt.rekey is channel for attempt in self.attempts()):
            return NEVER
        due = NEVER
        if channel.keys.used and channel.keys.old is None:
            due = channel.keys.due_ns(self.node.config.rekey_s * SECOND, channel.link.rtt_ns, channel.initiator)
        if channel.unanswered_ns is not None:
            due = min(due, channel.unanswered_ns + channel.link.dead_ns // 4)
        return max(due, channel.rekey_not_before_ns)

    def tend(self, channel: Channel, now_ns: int) -> None:
        """Forget what is over, and ask for new keys when that is due."""
        channel.look(now_ns)
        if channel.contact.away_ns is not None:
            return
        if channel.state is State.HALF_OPEN and now_ns >= channel.expires_ns:
            channel.fall()
        if channel.state is not State.UP:
            return
        channel.keys.expire(now_ns)
        for index in channel.keys.retired:
            if index != channel.index:
                self.entries.remove(index)
        channel.keys.retired.clear()
        if self._rekey_due_ns(channel) <= now_ns:
            dead_ns = channel.link.dead_ns
            channel.rekey_not_before_ns = now_ns + 2 * dead_ns
            fresh = self.entries.claim()
            if fresh is not None:
                silence_ns = channel.link.silence_ns
                attempt = Attempt(
                    fresh, channel.peer, channel.remote_lane, channel.address, silence_ns, now_ns,
                    channel.shape.blocks, channel, now_ns + dead_ns, Contact(self.node.declared),
                )  # fmt: skip
                self.entries.put(fresh, attempt)

    def _new_keys(
        self, attempt: Attempt, channel: Channel, index: int, keys: tuple[bytes, bytes], cipher: int,
        manifest: tags.Manifest, now_ns: int,
    ) -> None:  # fmt: skip
        """The reply has verified: go over at once, and send a frame (T-RKY-3)."""
        if (manifest.floor, manifest.frame_blocks) != (channel.manifest.floor, channel.manifest.frame_blocks):
            raise Reject("tags", "MANIFEST with another floor or frame_blocks than the channel has")
        channel.keys.go_over(channel.key_set(attempt.index, index, keys, True, cipher, now_ns))
        channel.link.sample(now_ns - attempt.sent_ns)
        self.entries.put(attempt.index, channel)
        self.node.stats.rekeys += 1
        for piece in self._manifests(channel):
            channel.say(piece)

    # responder

    def read_hail(self, frame: bytes, source: Address, now_ns: int) -> None:
        """A frame on channel 0: queue the reply, or Reject in the order of T-ORD-2."""
        offer = self.answers.open(frame, source, self.peers, now_ns)
        channel = self._named(offer)
        if self.node.public < offer.key:  # ours stands (T-CRS-2, T-RKY-4)
            for attempt in self.attempts():
                pair = attempt.peer.id, attempt.remote_lane, attempt.rekey is not None
                if pair == (offer.peer.id, offer.hail.lane, offer.rekey != 0) and attempt.tries:
                    raise Reject("state", "a crossing Hail that gives way to ours")
        self.answers.seen[offer.key, offer.hail.lane] = offer.hail.counter  # T-CNT-5
        cipher = self.answers.choose(offer.hail.ciphers)
        if not offer.rekey:
            self._answer(offer, cipher, now_ns)
        elif channel is None:
            self.answers.reply(offer, 0, 0, hail.GONE)
            raise Reject("stranger", f"no channel of this peer has index {offer.rekey:#x}")
        else:
            self._answer_rekey(offer, channel, cipher, now_ns)

    def _named(self, offer: Offer) -> Channel | None:
        """The channel that a REKEY names, if it is one of this peer's for this lane pair (T-RKY-1)."""
        entry = self.entries.get(offer.rekey) if offer.rekey else None
        if not isinstance(entry, Channel) or entry.state is not State.UP or entry.keys.of(offer.rekey) is None:
            return None
        if entry.peer_key != offer.key or entry.remote_lane != offer.hail.lane:
            return None
        if (offer.manifest.floor, offer.manifest.frame_blocks) != (entry.manifest.floor, entry.manifest.frame_blocks):
            raise Reject("tags", "MANIFEST with another floor or frame_blocks than the channel has")
        return entry

    def _answer(self, offer: Offer, cipher: int, now_ns: int) -> None:
        for old in self.channels():
            same = (old.peer.id, old.remote_lane) == (offer.peer.id, offer.hail.lane)
            if same and old.state is State.HALF_OPEN:  # T-CNF-3
                old.fall()
                self.remove(old)
        try:
            self._leave_room(offer)
            own_index = self._claim(now_ns, offer.peer)
        except OSError:
            raise Reject("cells", "no free channel") from None
        keys = self.answers.reply(offer, own_index, cipher, hail.OK)
        channel = Channel(
            self.node, now_ns, own_index, offer.index, offer.peer, offer.hail.lane, offer.source, False,
            keys, cipher, offer.manifest, offer.key, self._born(), offer.blocks,
        )  # fmt: skip
        channel.confirmed = self.confirmed
        self.entries.put(own_index, channel)
        self.node.stats.lamps_received += 1

    def _leave_room(self, offer: Offer) -> None:
        """Channels that are free are for peers that have none yet (T-CNF-6)."""
        with_one = {channel.peer.id for channel in self.channels()}
        pairs = {(channel.peer.id, channel.remote_lane) for channel in self.channels()}
        if offer.peer.id not in with_one or (offer.peer.id, offer.hail.lane) in pairs:
            return
        free = self.node.config.max_channels - len(self.channels()) - len(self.channel_attempts())
        if free <= len({peer.id for peer in self.peers.values()} - with_one):
            raise OSError(errno.ENOSPC, "the channels that are free are kept for others")

    def _answer_rekey(self, offer: Offer, channel: Channel, cipher: int, now_ns: int) -> None:
        index = self.entries.claim()
        if index is None:
            raise Reject("cells", "no free index")
        for attempt in self.attempts():
            if attempt.rekey is channel:
                self.give_up(attempt, 0)
        keys = self.answers.reply(offer, index, cipher, hail.OK)
        channel.keys.answer(channel.key_set(index, offer.index, keys, False, cipher, now_ns))
        self.entries.put(index, channel)
        self.node.stats.lamps_received += 1

    # both

    def _born(self) -> int:
        self.born += 1
        return self.born

    def _up(self, channel: Channel, hailed_by_peer: int, now_ns: int) -> None:
        channel.state = State.UP
        self.node.tell(Happened.CHANNEL_UP, channel.index, value=hailed_by_peer, peer=channel.peer.id)
        for manifest in self._manifests(channel):
            channel.say(manifest)
        if self.node.config.early_bytes:
            channel.say(tags.Warm(self.node.config.early_bytes))
        declared = self.node.declared
        channel.say_plans(now_ns, bool(declared.windows), bool(declared.table))

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

    def confirmed(self, channel: Channel, now_ns: int) -> None:
        """The first frame under a channel's keys has verified: what it replaces falls (T-CNF-4, T-CRS-2)."""
        if channel.state is State.HALF_OPEN:
            self._up(channel, 1, now_ns)
        pair = channel.peer.id, channel.remote_lane
        for old in self.channels():
            if (old.peer.id, old.remote_lane) == pair and old.born < channel.born:
                old.fall(-errno.ECONNRESET)
                self.remove(old)
        if not channel.initiator:
            for attempt in self.channel_attempts():
                if (attempt.peer.id, attempt.remote_lane) == pair:
                    self.give_up(attempt, -errno.EISCONN, channel.index)
