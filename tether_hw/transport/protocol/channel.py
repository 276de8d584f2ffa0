# SPDX-License-Identifier: Apache-2.0
"""One channel: keys, sequences, receipts, clocks and flows of one lane pair (RFC 0001 sections 3, 7, 8 and 11)."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from enum import Enum

from tether_hw.transport.protocol import control
from tether_hw.transport.protocol.clocks import Link
from tether_hw.transport.protocol.config import SECOND, Address, FlowOptions, Happened, Peer
from tether_hw.transport.protocol.contact import Contact, later
from tether_hw.transport.protocol.delivery import TagFrames, TooLarge
from tether_hw.transport.protocol.flow import CLOSED, REFUSED, Flow
from tether_hw.transport.protocol.flow_receive import FlowReceiver
from tether_hw.transport.protocol.flow_send import FlowSender
from tether_hw.transport.protocol.greetings import LIFE_NS, Ended
from tether_hw.transport.protocol.hail import HAIL_BLOCKS_MIN
from tether_hw.transport.protocol.header import BLOCKED, ECHO, HEADER_SIZE, Header
from tether_hw.transport.protocol.keys import epochs_ahead
from tether_hw.transport.protocol.keyset import Keys, KeySet
from tether_hw.transport.protocol.node import Node
from tether_hw.transport.protocol.queues import Shape, TagQueue
from tether_hw.transport.protocol.receipts import Receipts
from tether_hw.transport.protocol.reject import Reject
from tether_hw.transport.protocol.serial import U32, U48, elapsed
from tether_hw.transport.protocol.shares import Brake
from tether_hw.transport.protocol.tags import AnyTag, Bye, LaneAddress, Manifest, Table, TagError, Windows, encode
from tether_hw.transport.protocol.warm import HEAD_SIZE

BYE_CLOSED, BYE_PROTOCOL, BYE_HOARD, BYE_ROSTER, BYE_PATH = range(5)
BYE_TIMER_FRAMES = 4


class State(Enum):
    """How far a channel is. Before keys there is no Channel yet, only an attempt (see hailing)."""

    HALF_OPEN = "answered, not confirmed"
    UP = "up"
    CLOSING = "BYE is on its way"
    LEAVING = "the peer's BYE is read, one receipt is owed"
    GONE = "gone"


class Channel:
    """A channel with keys. Its first index is its name for the application; new keys bring others for the wire."""

    def __init__(
        self, node: Node, now_ns: int, index: int, peer_index: int, peer: Peer, remote_lane: int, address: Address,
        initiator: bool, keys: tuple[bytes, bytes], cipher: int, manifest: Manifest, peer_key: bytes, born: int,
        hail_blocks: int,
    ) -> None:  # fmt: skip
        """`keys` as Split() gives them; `manifest` is the peer's of the handshake; `born` orders channels by age."""
        config = node.config
        self.node = node
        self.index = index  # the name that the application knows
        self.peer = peer
        self.remote_lane = remote_lane
        self.address = address
        self.initiator = initiator
        self.peer_key = peer_key
        self.born = born
        self.manifest = manifest
        self.state = State.UP if initiator else State.HALF_OPEN
        self.verified = False
        self.confirmed: Callable[[Channel, int], None] = lambda _channel, _now_ns: None  # the first frame has verified
        own = node.manifest(peer)
        self.epochs_ahead = epochs_ahead(own.rate_bps, own.rtt_ns)
        self.keys = Keys(self.key_set(index, peer_index, keys, initiator, cipher, now_ns))
        self.link = Link(own.rtt_ns, own.rate_bps, own.silence_ns, config.frame_blocks)
        self.link.merge(manifest.rtt_ns, manifest.rate_bps, manifest.silence_ns)
        path = hail_blocks if hail_blocks > HAIL_BLOCKS_MIN else config.frame_blocks  # T-PMT-3
        self.shape = Shape.of(manifest.floor, min(config.frame_blocks, manifest.frame_blocks, path))
        self.contact = Contact(node.declared)
        self.brake = Brake(self.link)
        self.receipts = Receipts()
        self.reorder_ns = 0
        self._reorder_at_ns = 0  # when that was raised, or halved, last
        self.ember_held = True  # our cell for the peer's ember (T-STA-4)
        self.ember_out: tuple[int, int] | None = None  # ours: flow and the slot after it (T-STA-3)
        self.peer_lanes: dict[int, LaneAddress] = {}
        self.flows: dict[int, Flow] = {}
        self.gone_flows: dict[int, int] = {}  # id -> when it may be used again (T-FLW-18)
        self.over_flows: dict[int, int] = {}  # id -> when both ends had closed it (T-FLW-24)
        self.ended: deque[int] = deque(maxlen=config.max_flows)  # gone byte flows whose end may be read once more
        self.next_id = 2 if initiator else 1
        self.bye_frames = 0
        self.peer_early = 0  # bytes of early data that the peer takes when this channel has ended
        self.expires_ns = now_ns + 3 * SECOND + 8 * self.link.silence_ns  # while it is half open (T-CNF-3)
        self.rekey_not_before_ns = 0  # after an attempt that nobody answered
        self.turn = 0
        self._timestamp_start = int.from_bytes(config.entropy(6), "little")
        self._newest = 0  # highest verified sequence, its Timestamp and when it came
        self._newest_timestamp = 0
        self._newest_ns = 0
        self._newest_source: Address | None = None
        self.timer_ns: int | None = None  # when the last timer frame left
        self.unanswered_ns: int | None = None  # when the first one left since a frame verified
        self.aligned = config.frame_blocks <= config.floor_slots  # T-SLT-6
        own_shape = Shape.of(config.floor_slots, self.shape.blocks)
        receiver = FlowReceiver(now_ns, own_shape, self.aligned, node.cells, TagFrames(self._act), node.pool_slots)
        sender = FlowSender(now_ns, TagQueue(self.shape), manifest.pool_slots)
        self.flows[0] = Flow(0, FlowOptions(), sender, receiver)
        self.now_ns = now_ns

    def key_set(
        self, index: int, peer_index: int, keys: tuple[bytes, bytes], hailed_here: bool, cipher: int, now_ns: int
    ) -> KeySet:
        """Keys of a handshake for this channel."""
        window = self.node.config.replay_window
        return KeySet(index, peer_index, keys, hailed_here, cipher, self.epochs_ahead, window, now_ns)

    # times

    @property
    def again_ns(self) -> int:
        """A gap that was named is not named again before this (T-NCK-3)."""
        return self.link.rtt_ns + self.link.rtt_ns // 64 + self.reorder_ns  # the repair may stand behind others

    def _spurious(self, now_ns: int) -> None:
        """A slot came twice: we asked too early (T-NCK-4)."""
        rtt_ns = self.link.rtt_ns
        if self.reorder_ns == 0 or now_ns - self._reorder_at_ns >= rtt_ns:
            self.reorder_ns = min(rtt_ns, max(2 * self.reorder_ns, rtt_ns // 16))
            self._reorder_at_ns = now_ns

    def _in_order(self, now_ns: int) -> None:
        """The reorder time is halved for every round trip in which no slot came twice."""
        rounds = (now_ns - self._reorder_at_ns) // max(1, self.link.rtt_ns)
        if self.reorder_ns and rounds:
            left = self.reorder_ns >> rounds
            self.reorder_ns = left if left >= self.link.rtt_ns // 1024 else 0
            self._reorder_at_ns = now_ns

    def look(self, now_ns: int) -> None:
        """Is there contact, and how long is the way now? When contact comes back, all clocks go on (T-CLK-9)."""
        self.now_ns = now_ns
        self.link.table_ns = self.contact.rtt_ns(now_ns)
        away_ns = self.contact.look(now_ns, self.link.declared_ns // 2)
        if not away_ns:
            return
        latest_ns = now_ns + self.link.rtt_ns + self.reorder_ns
        if self.unanswered_ns is not None:
            self.unanswered_ns = later(self.unanswered_ns, away_ns, now_ns)
        if self.timer_ns is not None:
            self.timer_ns = later(self.timer_ns, away_ns, now_ns)
        self.expires_ns += away_ns
        for flow in self.flows.values():
            flow.sender.clock.go_on(away_ns, now_ns)
            flow.receiver.go_on(away_ns, now_ns, latest_ns)

    def take_plan(self, tag: Windows | Table) -> None:
        """The peer has said when it can be reached, or how long the way is."""
        self.contact.take(tag, self.now_ns, self._newest_timestamp, self._newest_ns, self.link.declared_ns // 2)

    def say_plans(self, now_ns: int, windows: bool, table: bool) -> None:
        """Tell the peer ours, with a reading of our clock (T-MAN-7)."""
        declared, stamp = self.node.declared, self.timestamp(now_ns)
        if windows:
            self.say(Windows(now_ns, stamp, list(declared.windows)))
        if table:
            self.say(Table(now_ns, stamp, list(declared.table)))

    def timestamp(self, now_ns: int) -> int:
        """The own clock as it stands on the wire."""
        return (now_ns + self._timestamp_start) & U48

    def _state_echo(self, header: Header, now_ns: int) -> None:
        held = now_ns - self._newest_ns
        if self._newest and held <= self.link.hold_most_ns:
            header.flags |= ECHO
            header.echo = (self._newest_timestamp + held) & U48

    # receiving

    def receive(self, header: Header, frame: bytes, source: Address, now_ns: int) -> None:
        """A frame that names this channel, trimmed; Reject when it is refused."""
        found = self.keys.of(header.channel)
        assert found is not None
        plain = found.inbound.open(header, frame)
        if self.keys.verified(found, now_ns, self.link.rtt_ns):
            self.node.stats.rekeys += 1
        if any(plain[header.length :]):
            raise Reject("padding", "a padding byte is not zero", HEADER_SIZE + header.length)
        self.now_ns = now_ns
        order = found.order(header)
        moment_ns = self._lives(header, order, source, now_ns)
        flow = self.flows.get(header.flow)
        if flow is None or self.state is State.LEAVING:
            raise Reject("flow", f"flow {header.flow} is not open")
        slot, end, kind = flow.receiver.judge(header, self.ember_held)
        if kind == "new" and not flow.receiver.pool and not flow.receiver.reserved:
            raise Reject("cells", "no cell for a frame within its grant")
        self._hear(flow, header, order, end, now_ns, moment_ns)
        if header.length:
            self._data(flow, header, slot, end, kind, plain[: header.length], now_ns)
        elif header.flags & BLOCKED:
            self._earn()
            flow.receiver.blocked(min(end, flow.receiver.granted), now_ns)
        control.after(self, flow, now_ns)

    def _lives(self, header: Header, order: int, source: Address, now_ns: int) -> int:
        """What any verified frame proves (T-ERR-4). Return the moment that its echo names on our clock."""
        self.unanswered_ns = None
        if not self.verified:
            self.verified = True
            self.confirmed(self, now_ns)  # before anything that the frame says is acted on
        if order > self._newest:
            self._newest, self._newest_timestamp, self._newest_ns = order, header.Timestamp, now_ns
            self._newest_source = source
            self.follow()
        if header.flags & ECHO:
            sample = elapsed(self.timestamp(now_ns), header.echo)
            if sample < 1 << 47:
                self.link.sample(sample)
                self.brake.sample(sample, now_ns)
                return now_ns - sample
        return now_ns - self.link.rtt_ns

    def follow(self) -> None:
        """Go over to where the peer's Manifest says its lane is, once it speaks from there (T-ENC-8)."""
        said = self.peer_lanes.get(self.remote_lane)
        if said is not None and self._newest_source == Address(said.kind, said.address):
            self.address = self._newest_source

    def _hear(self, flow: Flow, header: Header, order: int, end: int, now_ns: int, moment_ns: int) -> None:
        drained = flow.sender.hear(header, order, now_ns, moment_ns)
        if header.NackCount:
            self.node.stats.nacks_received += 1
        ember = self.ember_out
        if ember is not None and ember[0] == flow.number and flow.sender.ledger.told >= ember[1]:
            self.ember_out = None
        if drained and flow.number:
            self.node.tell(Happened.FLOW_DRAINED, self.index, flow.number, peer=self.peer.id)
        flow.receiver.hear(header, order, end, now_ns, now_ns + max(self.link.rtt_ns // 4, self.reorder_ns))

    def _data(self, flow: Flow, header: Header, slot: int, end: int, kind: str, payload: bytes, now_ns: int) -> None:
        stats = self.node.stats
        self._earn()
        stats.data_frames_received += 1
        receiver = flow.receiver
        receiver.told_frame(now_ns)
        if kind == "old":
            stats.duplicates_received += 1
            self._spurious(now_ns)
            return
        self._in_order(now_ns)
        if flow.number:
            stats.bytes_received += len(payload)
        if kind == "ember":
            self.ember_held = False
            receiver.ember_end = end
        receiver.fill_cell(kind == "ember")
        was_readable = flow.number and receiver.delivery.readable
        try:
            receiver.arrive(slot, end, header, payload, now_ns, now_ns + self.reorder_ns)
        except TagError as error:
            self.bye(BYE_PROTOCOL, -errno.EPROTO)
            raise Reject("tags", str(error)) from None
        except TooLarge:
            self.bye(BYE_PROTOCOL, -errno.EPROTO)
            return
        if flow.number and receiver.delivery.readable and not was_readable:
            self.node.tell(Happened.FLOW_READABLE, self.index, flow.number, peer=self.peer.id)

    def _earn(self) -> None:
        self.receipts.earn()
        self.node.stats.receipts_earned += 1

    def _act(self, payload: bytes) -> None:
        control.act(self, payload, self.now_ns)

    # sending

    def say(
        self, tag: AnyTag, receipted: Callable[[], None] | None = None, left: Callable[[], None] | None = None
    ) -> None:
        """Queue a tag on Flow 0; `left` is called when it goes, `receipted` when the peer has it."""
        queue = self.flows[0].sender.queue
        assert isinstance(queue, TagQueue)
        queue.put(encode([tag]), receipted, left)

    def header(self, flow: Flow, slot: int, flags: int = 0) -> Header:
        """A header about `flow` with all that is the same in each frame."""
        return Header(flags=flags, channel=self.keys.now.peer_index, flow=flow.number, slot=slot & U32)

    def finish(self, header: Header, payload: bytes, now_ns: int) -> bytes:
        """Timestamp, echo, sequence, seal."""
        self.node.shares.state(header, self, self.flows[header.flow])
        header.Timestamp = self.timestamp(now_ns)
        self._state_echo(header, now_ns)
        self.node.stats.frames_sent += 1
        if header.NackCount:
            self.node.stats.nacks_sent += 1
        return self.keys.now.outbound.seal(header, payload)

    # the end

    def bye(self, reason: int, status: int) -> None:
        """Say BYE: all flows but Flow 0 end at once (T-BYE-2, T-BYE-3)."""
        if self.state is not State.UP:
            return
        self.end_flows(status)
        self.state = State.CLOSING
        self.flows[0].sender.queue.drop()
        self.say(Bye(reason), self.fall)
        self.node.tell(Happened.CHANNEL_DOWN, self.index, status=status, peer=self.peer.id)

    def expel(self) -> None:
        """The peer left the roster: a word to it where there is a channel (T-IDN-2)."""
        if self.state is State.UP:
            self.bye(BYE_ROSTER, -errno.EACCES)
        elif self.state is not State.CLOSING:
            self.fall(-errno.EACCES)

    def end_flows(self, status: int) -> None:
        """Every flow of the application ends; what is whole stays readable until it is read."""
        if self.state is State.UP and self.verified and status not in (-errno.EACCES, -errno.EPROTO):
            self.node.greetings.keep(self._ended())
        for flow in [flow for flow in self.flows.values() if flow.number]:
            self.tell_unknown(flow)
            self.drop_flow(flow)
            self.node.tell(Happened.FLOW_CLOSED, self.index, flow.number, status=status, peer=self.peer.id)

    def tell_unknown(self, flow: Flow) -> None:
        """The flow ends, and its application has not closed it: what has no receipt is its affair now (T-FLW-23)."""
        found = flow.sender.unknown()
        if found is None or flow.closed_here == CLOSED or flow.closed_there in (CLOSED, REFUSED):
            return
        first, count, never = found
        self.node.tell(
            Happened.MESSAGE_UNKNOWN, self.index, flow.number, status=count, value=first, peer=self.peer.id, extra=never
        )

    def _ended(self) -> Ended:
        keys = self.keys.now
        return Ended(
            keys.index, keys.peer_index, self.peer.id, self.peer_key, self.remote_lane, self.initiator, keys.resume,
            self.address, min(self.peer_early, self.shape.full - HEAD_SIZE), self.now_ns + LIFE_NS,
            self.link.silence_ns,
        )  # fmt: skip

    def drop_flow(self, flow: Flow) -> None:
        """The flow is gone; what the application has not read yet is kept for it."""
        del self.flows[flow.number]
        flow.sender.stop(forget_sent=True)
        receiver = flow.receiver
        receiver.release()
        if self.ember_out is not None and self.ember_out[0] == flow.number:
            self.ember_out = None
        self.gone_flows[flow.number] = self.now_ns + 2 * self.link.rtt_ns
        if flow.over_ns is not None:
            self.over_flows[flow.number] = flow.over_ns
        if receiver.delivery.readable:
            self.node.unread.setdefault((self.index, flow.number), []).append(flow)
        else:
            if flow.at_end:
                self.ended.append(flow.number)
            receiver.discard()

    def fall(self, status: int | None = None) -> None:
        """Forget the channel and free what it holds. `status`: tell the application why, if it does not know."""
        if self.state is State.GONE:
            return
        self.end_flows(status or 0)
        if status is not None and self.state is State.UP:
            self.node.tell(Happened.CHANNEL_DOWN, self.index, status=status, peer=self.peer.id)
        self.state = State.GONE
        self.flows.clear()
        if not self.ember_held:
            self.node.cells.owe()
        self.ember_held = False
