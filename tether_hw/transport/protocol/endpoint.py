# SPDX-License-Identifier: Apache-2.0
"""The protocol machine of one lane (RFC 0001): frames and the time go in, frames come out. No clock, no I/O inside.

    endpoint = Endpoint(config)
    endpoint.roster(now, peers); endpoint.add_counters(first, limit)
    endpoint.receive(now, source, frame)      # each frame that came
    while (sent := endpoint.transmit(now)):   # (frame, to): each frame that may leave
        ...
    endpoint.deadline()                       # when to call transmit() again if nothing else happens

Times are ns of one monotonic clock of the caller. Errors of the application are OSErrors with the errno of tether.h.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import replace

from tether_hw.transport.protocol import control
from tether_hw.transport.protocol.answers import Answers
from tether_hw.transport.protocol.attempts import Attempt, Hailer
from tether_hw.transport.protocol.channel import BYE_CLOSED, Channel, State
from tether_hw.transport.protocol.config import (
    BYTES,
    MESSAGES,
    NEVER,
    Address,
    Config,
    Event,
    FlowOptions,
    Peer,
    Piece,
    Stats,
)
from tether_hw.transport.protocol.contact import PAIRS_MOST, Pairs, window_at
from tether_hw.transport.protocol.directory import Directory
from tether_hw.transport.protocol.flow import Flow
from tether_hw.transport.protocol.frame import trim
from tether_hw.transport.protocol.grants import Granter
from tether_hw.transport.protocol.hailing import Entry, Hailing
from tether_hw.transport.protocol.header import BLOCK_SIZE, HEADER_SIZE, LAMP, VERSION, Header
from tether_hw.transport.protocol.node import Node
from tether_hw.transport.protocol.queues import ByteQueue, MessageQueue
from tether_hw.transport.protocol.reject import Reject
from tether_hw.transport.protocol.sending import deadline_ns, next_frame


class Endpoint:
    """One lane of one node. Not thread safe: the caller serialises its calls."""

    def __init__(self, config: Config) -> None:
        self.node = Node(config)
        self._entries: Directory[Entry] = Directory(
            config.lane, config.max_channels, int.from_bytes(config.entropy(2), "little")
        )
        self._hailing = Hailing(self.node, self._entries, Hailer(self.node), Answers(self.node))
        self.node.channels = self._hailing.channels
        self._granter = Granter(self.node, self.node.shares)
        self._turn = 0
        self._fresh = False  # nothing happened since transmit() had nothing to send

    @property
    def stats(self) -> Stats:
        """Counters of this endpoint."""
        return self.node.stats

    @property
    def channel_count(self) -> int:
        """Channels and Hails that are out."""
        return len(self._hailing.channels()) + len(self._hailing.channel_attempts())

    def channel_of(self, index: int) -> int:
        """The name of the channel to which an index in frames leads, 0 when there is none."""
        entry = self._entries.get(index)
        return entry.index if isinstance(entry, Channel) and entry.keys.of(index) else 0

    @property
    def outstanding_slots(self) -> int:
        """Granted and not arrived, all flows."""
        receivers = [flow.receiver for channel in self._hailing.channels() for flow in channel.flows.values()]
        return sum(receiver.arrivals.missing(0, receiver.granted) for receiver in receivers)

    @property
    def standing_slots(self) -> int:
        """Flow 0's pools (T-STA-6)."""
        return sum(self.node.pool_slots for channel in self._hailing.channels() if channel.flows)

    # frames and time

    def receive(self, now_ns: int, source: Address, frame: bytes) -> Reject | None:
        """One frame from `source`. None when it was accepted; a refused one is counted and changes nothing."""
        self._fresh = False
        self.node.shares.changed()
        stats = self.node.stats
        try:
            self._judge(now_ns, source, frame)
        except Reject as reject:
            stats.rejects[reject.reason] = stats.rejects.get(reject.reason, 0) + 1
            return reject
        stats.frames_received += 1
        return None

    def _judge(self, now_ns: int, source: Address, frame: bytes) -> None:
        header = Header.decode(frame)
        if header.version != VERSION:
            raise Reject("version", f"version {header.version}")
        if header.channel == 0:
            self._hailing.read_hail(frame, source, now_ns)
            return
        entry = self._entries.get(header.channel)
        if isinstance(entry, Attempt):
            if not header.flags & LAMP:
                raise Reject("state", "no LAMP on a channel that awaits a reply")
            self._hailing.read_lamp(entry, frame, now_ns)
            return
        if entry is None and header.flags & LAMP:
            self._greeted(header, frame, source, now_ns)
            return
        header, frame = trim(frame)
        if entry is None or entry.keys.of(header.channel) is None:
            raise Reject("stranger", f"no channel has index {header.channel:#x}")
        if header.flags & LAMP:
            raise Reject("state", "LAMP on a channel that awaits no reply")
        if header.blocks > self.node.config.frame_blocks:
            raise Reject("length", f"{header.blocks} payload blocks")
        try:
            entry.receive(header, frame, source, now_ns)
        finally:
            self._sweep(entry)

    def _greeted(self, header: Header, frame: bytes, source: Address, now_ns: int) -> None:
        """A warm Lamp, or the answer to one."""
        if len(frame) < HEADER_SIZE + BLOCK_SIZE * header.blocks:
            raise Reject("short", f"{len(frame)} bytes, `length` asks for {header.length}")
        answer = self.node.greetings.receive(header, frame, source, now_ns)
        if answer is not None:
            self._hailing.answers.put(answer, source)

    def _sweep(self, channel: Channel) -> None:
        if channel.state is State.GONE:
            self._hailing.remove(channel)

    def transmit(self, now_ns: int) -> tuple[bytes, Address] | None:
        """The next frame and where it goes, or None when nothing may leave now."""
        self._hailing.looked_ns = now_ns
        self.node.shares.changed()
        if self._hailing.answers.queue and window_at(self.node.declared.windows, now_ns)[0]:
            self.node.stats.frames_sent += 1
            return self._hailing.answers.queue.pop(0)
        for channel in self._hailing.channels():
            self._hailing.tend(channel, now_ns)
            self._sweep(channel)
        channels = self._hailing.channels()
        if not self._fresh:
            self._granter.run(channels, now_ns)
        self._granter.end_hoarders(channels, now_ns)
        lamp = self.node.greetings.next_lamp(now_ns) if window_at(self.node.declared.windows, now_ns)[0] else None
        if lamp is not None:
            return lamp
        for attempt in self._hailing.attempts():
            sent = self._hailing.next_hail(attempt, now_ns)
            if sent is not None:
                return sent
        self._turn += 1
        for i in range(len(channels)):
            channel = channels[(i + self._turn) % len(channels)]
            frame = next_frame(channel, now_ns)
            self._sweep(channel)
            if frame is not None:
                return frame, channel.address
        self._fresh = True
        return None

    def deadline(self) -> int:
        """When transmit() should be called again if nothing is received, written or read before.

        A past time: now. NEVER: not before something happens.
        """
        if not self._fresh:
            return 0
        due = min((deadline_ns(channel) for channel in self._hailing.channels()), default=NEVER)
        due = min(due, self._granter.deadline_ns(self._hailing.channels()))
        return min(due, self._hailing.deadline_ns(), self._lamp_ns())

    def _lamp_ns(self) -> int:
        ours, change_ns = window_at(self.node.declared.windows, self._hailing.looked_ns)
        due = self.node.greetings.deadline_ns()
        return due if ours or due == NEVER else change_ns

    def events(self) -> list[Event]:
        """What happened since the last call."""
        events, self.node.events = self.node.events, []
        return events

    # identity

    def roster(self, now_ns: int, peers: Iterable[Peer]) -> None:
        """Replace the roster: who is gone, or whose key is gone, loses its channels and is told so (T-IDN-2)."""
        self._fresh = False
        by_key = {key: peer for peer in peers for key in peer.keys}
        for channel in self._hailing.channels():
            peer = by_key.get(channel.peer_key)
            if peer is None or peer.id != channel.peer.id:
                channel.expel()
                self._sweep(channel)
        for attempt in self._hailing.attempts():
            now_known = next((peer for peer in by_key.values() if peer.id == attempt.peer.id), None)
            if now_known is None:
                self._hailing.give_up(attempt, -errno.EACCES)
            else:
                attempt.peer = now_known
        self._hailing.peers = by_key
        self.node.greetings.known = set(by_key)
        self._hailing.answers.forget(by_key)

    def add_counters(self, first: int, limit: int) -> None:
        """Hail counters that are durable already: [first, limit). Without one no Hail is sent (T-CNT-2, T-CNT-3)."""
        self._fresh = False
        self._hailing.hailer.counters.add(first, limit)

    def windows(self, now_ns: int, windows: Pairs) -> None:
        """When we can be reached, (start, length) on the clock of `now_ns`; they replace those declared before."""
        self.node.declared.windows = self._plan(windows)
        self._declare(now_ns, windows=True)

    def rtt_table(self, now_ns: int, table: Pairs) -> None:
        """The round trips, (from, RTT) on the clock of `now_ns`; an empty one leaves the constant."""
        self.node.declared.table = self._plan(table)
        self._declare(now_ns, windows=False)

    @staticmethod
    def _plan(pairs: Pairs) -> list[tuple[int, int]]:
        if len(pairs) > PAIRS_MOST or [start for start, _ in pairs] != sorted(start for start, _ in pairs):
            raise OSError(errno.EINVAL, f"a plan has at most {PAIRS_MOST} entries, by their beginnings")
        return list(pairs)

    def _declare(self, now_ns: int, *, windows: bool) -> None:
        self._fresh = False
        for channel in self._hailing.channels():
            if channel.state is State.UP:
                channel.say_plans(now_ns, windows, not windows)

    # channels and flows

    def open_channel(self, now_ns: int, peer_id: int, remote_lane: int, to: Address | None = None) -> int:
        """Hail a lane of a peer until it answers; CHANNEL_UP follows. `to` None: the roster's address."""
        self._fresh = False
        peer = next((peer for peer in self._hailing.peers.values() if peer.id == peer_id), None)
        if peer is None:
            raise OSError(errno.ENOENT, f"no peer {peer_id}")
        return self._hailing.begin(now_ns, peer, remote_lane, to or peer.hail)

    def early_send(self, now_ns: int, peer_id: int, remote_lane: int, data: bytes) -> None:
        """Early data to a lane of a peer with whom a channel has ended; EARLY_DONE follows (section 9.4).

        ENOENT no such channel, or the peer takes none: hail instead; EMSGSIZE, EBUSY one is out, EAGAIN no counter.
        """
        self._fresh = False
        self.node.greetings.send(now_ns, peer_id, remote_lane, data, self._hailing.hailer.take_counter)

    def early_read(self) -> tuple[int, bytes] | None:
        """(peer, message): the oldest early data that waits, None when there is none."""
        waiting = self.node.greetings.waiting
        return waiting.popleft() if waiting else None

    def close_channel(self, now_ns: int, channel: int) -> None:
        """Say BYE and forget the channel; CHANNEL_DOWN with status 0 follows."""
        self._fresh = False
        entry = self._entries.get(channel)
        if isinstance(entry, Attempt):
            self._hailing.give_up(entry, 0)
        elif isinstance(entry, Channel) and entry.state is State.UP:
            entry.look(now_ns)
            entry.bye(BYE_CLOSED, 0)

    def open_flow(
        self, now_ns: int, channel: int, kind: int = BYTES, bound: int = 0, *, options: FlowOptions | None = None
    ) -> int:
        """Open a flow of this kind and bound, or with all that `options` say; its id.

        EMSGSIZE for a bound above what both ends allow, EINVAL for options that cannot be, ENOSPC without room.
        """
        self._fresh = False
        entry = self._channel(channel)
        options = options or FlowOptions(kind, bound)
        if options.kind == MESSAGES and not options.bound:
            options = replace(options, bound=control.largest_message(entry, options.scale))
        return control.open_flow(entry, options, now_ns)

    def write(self, now_ns: int, channel: int, flow: int, data: bytes, *, flush: bool = True, end: bool = False) -> int:
        """Queue one message, or bytes; how many were taken. EAGAIN when the send buffer is full."""
        self._fresh = False
        entry = self._channel(channel)
        target = self._flow(entry, flow)
        if not target.writable:
            raise OSError(errno.EPIPE, f"flow {flow} is closed")
        queue = target.sender.queue
        room = self.node.config.tx_bytes - self._buffered()
        if isinstance(queue, MessageQueue):
            if not 1 <= len(data) <= queue.bound:
                raise OSError(errno.EMSGSIZE, f"a message of {len(data)} bytes, the flow takes 1 to {queue.bound}")
            if len(data) > room:
                raise OSError(errno.EAGAIN, "the send buffer is full")
            queue.put(data, now_ns)
            self.node.stats.messages_sent += 1
            return len(data)
        assert isinstance(queue, ByteQueue)
        taken = data[: max(0, room)]
        if data and not taken:
            raise OSError(errno.EAGAIN, "the send buffer is full")
        queue.put(taken, flush or end, now_ns)
        queue.ended = end and len(taken) == len(data)
        control.after(entry, target, now_ns)
        return len(taken)

    def _buffered(self) -> int:
        flows = [flow for channel in self._hailing.channels() for flow in channel.flows.values()]
        waiting = sum(flow.sender.queue.size for flow in flows)
        return waiting + sum(len(frame.cut.payload) for flow in flows for frame in flow.sender.sent)

    def read(self, channel: int, flow: int, capacity: int | None = None) -> bytes | None:
        """One message, or the bytes that are there; None when there are none yet; b"" at the end of a byte flow.

        Holes are passed over (see read_at). EPIPE when the flow is closed and empty, or unknown; ENOTCONN when the
        channel is.
        """
        piece = self.read_at(channel, flow, capacity)
        while piece is not None and piece.hole:
            piece = self.read_at(channel, flow, capacity)
        return None if piece is None else piece.data

    def read_at(self, channel: int, flow: int, capacity: int | None = None) -> Piece | None:
        """The next piece of any flow, with its place, or a hole; None when there is none yet.

        A piece without data and hole is the end of a byte flow. Errors are those of read().
        """
        self._fresh = False
        unread = self.node.unread.get((channel, flow))
        if unread:
            return self._read_gone(unread, channel, flow, capacity)
        entry = self._channel(channel)
        if flow not in entry.flows and flow in entry.ended:
            return Piece(0)
        target = self._flow(entry, flow)
        if target.receiver.delivery.readable:
            return self._take(target, capacity)
        if target.at_end:
            return Piece(0)
        if target.broken:
            raise OSError(errno.EPIPE, f"flow {flow} is closed")
        return None

    def _take(self, flow: Flow, capacity: int | None) -> Piece:
        piece = flow.receiver.read(capacity)
        if flow.kind == MESSAGES and not piece.hole:
            self.node.stats.messages_received += 1
        return piece

    def _read_gone(self, unread: list[Flow], channel: int, flow: int, capacity: int | None) -> Piece:
        gone = unread[0]
        piece = self._take(gone, capacity)
        if not gone.receiver.delivery.readable:
            entry = self._entries.get(channel)
            if gone.at_end and isinstance(entry, Channel):
                entry.ended.append(flow)
            gone.receiver.discard()
            unread.pop(0)
            if not unread:
                del self.node.unread[channel, flow]
        return piece

    def cancel(self, now_ns: int, channel: int, flow: int) -> None:
        """Message flow: drop every message that was not sent completely; its slots go back by SKIP."""
        self._fresh = False
        entry = self._channel(channel)
        target = self._flow(entry, flow)
        if target.kind == BYTES:
            raise OSError(errno.EOPNOTSUPP, "a byte flow cannot lose bytes and go on: close it")
        control.cancel(entry, target)

    def close_flow(self, now_ns: int, channel: int, flow: int) -> None:
        """Close both directions: what was sent is repaired until it arrives, nothing more is delivered."""
        self._fresh = False
        entry = self._channel(channel)
        control.close_flow(entry, self._flow(entry, flow), now_ns)

    def _channel(self, channel: int) -> Channel:
        entry = self._entries.get(channel)
        if not isinstance(entry, Channel) or entry.state is not State.UP:
            raise OSError(errno.ENOTCONN, f"channel {channel:#x} is not up")
        return entry

    def _flow(self, channel: Channel, flow: int) -> Flow:
        found = channel.flows.get(flow) if flow else None
        if found is None:
            raise OSError(errno.EPIPE, f"flow {flow} is not open")
        return found
