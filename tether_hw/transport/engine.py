# SPDX-License-Identifier: Apache-2.0
"""The engine: lanes, roster, channels. The blocking API; aio.py is the same for asyncio."""

from __future__ import annotations

import ctypes
import errno
import itertools
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Optional

from . import binding
from .address import to_native
from .channel import Channel
from .config import Address, EngineConfig, Lane, Limits, Link, Roster
from .contact import Contact, Declarer
from .early import EarlyData, EarlyMessage
from .errors import ChannelDown, EngineError, TimedOut
from .native import DebugFiles, Native, lanes_in_order, words_of_down
from .places import Places
from .structs import tether_carrier_stats, tether_event, tether_lane_info, tether_stats

WAIT_NS = 200_000_000

Listener = Callable[[tether_event, Optional[Channel]], None]


class Engine:
    """One node: an identity and one lane per hardware queue.

    `secret` is the node's X25519 secret (32 bytes), `counter` the path of its Hail counter file. Use as a context
    manager, or call start() and close(). Timeouts are seconds: None = wait for ever, 0 = try.
    With `dispatch=False` no thread reads events: the owner calls poll() (the asyncio API does).
    """

    def __init__(
        self,
        secret: bytes,
        lanes: Sequence[Lane],
        links: Mapping[str, Link],
        counter: str,
        limits: Optional[Limits] = None,
        *,
        dispatch: bool = True,
        lane_flags: int = 0,
        spin_us: int = 0,
        prefer_cipher: int = 0,
        files: Optional[DebugFiles] = None,
    ) -> None:
        self.lanes = lanes_in_order(lanes)
        self.links = dict(links)
        self.limits = limits or Limits()
        self.native = Native(secret, len(self.lanes), counter, self.limits, spin_us, prefer_cipher, files)
        self._lock = threading.Lock()
        self._ids: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._numbers = itertools.count(1)
        self._channels: dict[int, Channel] = {}
        self._accepted: queue.SimpleQueue[Optional[Channel]] = queue.SimpleQueue()
        self._listeners: list[Listener] = []
        self._stopping = threading.Event()
        self._dispatch = dispatch
        self._thread: Optional[threading.Thread] = None
        self._started = False
        numbers = {name: index for index, name in enumerate(self.links)}
        self._declarer = Declarer(self.native)
        self._early = EarlyData(self)
        self._places = Places()
        try:
            for lane in self.lanes:
                placed = self._places.bring(lane, self.links[lane.link].mtu)
                self.native.add_lane(placed, self.links[lane.link], numbers[lane.link], lane_flags)
            self._declarer.plan({lane.lane: self.links[lane.link].contact for lane in self.lanes})
        except BaseException:
            self.native.close()
            self._places.leave()
            raise

    @classmethod
    def from_config(cls, config: EngineConfig, secret: bytes, files: Optional[DebugFiles] = None) -> Engine:
        """An engine as its file says. Raises EngineError when a carrier cannot be opened."""
        return cls(secret, config.lanes, config.links, config.counter, config.limits, files=files)

    def start(self) -> None:
        """Start the lanes' threads; channels may be made from now on."""
        self.native.start()
        self._started = True
        self._declarer.start()
        if self._dispatch:
            self._thread = threading.Thread(target=self._run, name="tether-events", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop and free everything. Waiting calls of other threads come back with an error first."""
        if self.native.engine is None:
            return
        self._stopping.set()
        self._declarer.stop()
        if self._started:
            self.native.stop()
        self._early.close()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            channels = list(self._channels.values())
            self._channels.clear()
        for channel in channels:
            channel.ended("the engine stopped")
        self._accepted.put(None)
        self.native.close()
        self._places.leave()

    def __enter__(self) -> Engine:
        self.start()
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    # -- roster and channels

    def roster(self, roster: Roster) -> None:
        """Replace the roster, hot: channels of peers that are gone end, all others are untouched."""
        with self._lock:
            for peer in roster.peers:
                if peer.name not in self._ids:
                    number = next(self._numbers)
                    self._ids[peer.name] = number
                    self._names[number] = peer.name
            ids = dict(self._ids)
        self.native.roster(roster, self.links, ids)

    def connect(
        self,
        peer: str,
        lane: int = 0,
        remote_lane: int = 0,
        to: Optional[Address] = None,
        timeout: Optional[float] = 10.0,
    ) -> Channel:
        """A channel from `lane` to a peer's lane, up. `to` None = the roster's address for Hail.

        When the peer hails the same lane pair at the same moment, the channel that stands is returned, whoever
        opened it. Raises TimedOut when no answer came, EngineError for a peer that is not in the roster.
        """
        handle = ctypes.c_uint64()
        address = None if to is None else ctypes.byref(to_native(to))
        code = self.native.library.tether_engine_connect(
            self.native.engine,
            lane,
            self._id(peer),
            remote_lane,
            address,
            -1 if timeout is None else int(timeout * 1e9),
            ctypes.byref(handle),
        )
        if code < 0:
            standing = self.channel_between(peer, lane, remote_lane)
            if standing is not None and standing.handle != handle.value:
                return standing
            if -code in (errno.EAGAIN, errno.ETIMEDOUT):
                where = to if to is not None else "its address in the roster"
                raise TimedOut(f"no answer from {peer} (lane {lane} to {where})", code)
            raise self.native.error(code, f"connect lane {lane} to {peer}")
        return self._channel(handle.value, peer)

    def begin(self, peer: str, lane: int, remote_lane: int, to: Optional[Address] = None) -> int:
        """Begin a channel and do not wait: its handle. The Hail is repeated until it is answered or closed."""
        handle = ctypes.c_uint64()
        address = None if to is None else ctypes.byref(to_native(to))
        self.native.check(
            self.native.library.tether_engine_connect(
                self.native.engine, lane, self._id(peer), remote_lane, address, 0, ctypes.byref(handle)
            ),
            f"hail {peer} from lane {lane}",
        )
        return int(handle.value)

    def accept(self, timeout: Optional[float] = None) -> Channel:
        """The next channel that a peer opened."""
        try:
            channel = self._accepted.get(timeout=timeout)
        except queue.Empty:
            raise TimedOut("no peer opened a channel in time") from None
        if channel is None:
            self._accepted.put(None)
            raise ChannelDown("the engine stopped")
        return channel

    def channels(self, peer: Optional[str] = None) -> list[Channel]:
        """Channels that are up, of one peer or of all, by lane."""
        with self._lock:
            found = [channel for channel in self._channels.values() if peer is None or channel.peer == peer]
        return sorted(found, key=lambda channel: (channel.peer, channel.lane, channel.handle))

    def channel_between(self, peer: str, lane: int, remote_lane: int) -> Optional[Channel]:
        """The channel of a lane pair, when it is up."""
        for channel in self.channels(peer):
            if channel.lane == lane:
                try:
                    info = channel.info()
                except EngineError:
                    continue
                if info.state == binding.CHANNEL_UP and info.remote_lane == remote_lane:
                    return channel
        return None

    def channel_of(self, handle: int) -> Optional[Channel]:
        """The channel of a handle, when it is or was just up."""
        with self._lock:
            return self._channels.get(handle)

    def abandon(self, handle: int) -> None:
        """Give up a channel that begin() began."""
        self.native.library.tether_engine_channel_close(self.native.engine, handle)

    def peer_name(self, peer_id: int) -> str:
        """The name behind an id of the library."""
        return self._names.get(peer_id, f"peer {peer_id}")

    # -- the link's future and the lanes' places

    def contact(self, link: str, plan: Optional[Contact]) -> None:
        """Another plan of contact for the lanes of a link, hot; None: always in contact. The peers are told.

        Outside its windows nothing is sent, the news of a plan neither: it reaches a peer while there is contact.
        """
        self.links[link] = replace(self.links[link], contact=plan)
        self._declarer.plan({lane.lane: plan for lane in self.lanes if lane.link == link})

    def windows(self, lane: int) -> Optional[Sequence[tuple[int, int]]]:
        """The windows declared for a lane, (start, length) on the clock of now(); None: it is always in contact."""
        return self._declarer.windows(lane)

    def now(self) -> int:
        """The engine's clock, ns: what traces, windows and channel times are in."""
        return self.native.now()

    def move(self, lane: int, address: Address) -> None:
        """Bind a UDP lane to another address of its kind, hot. Channels stay: their peers follow (RFC 0001, 18)."""
        self.native.move(lane, address)
        self.lanes = [replace(known, address=address) if known.lane == lane else known for known in self.lanes]

    # -- early data

    def send_early(
        self, peer: str, data: bytes, lane: int = 0, remote_lane: int = 0, timeout: Optional[float] = 10.0
    ) -> None:
        """One message to a peer with whom a channel has ended, in one frame and before any new channel.

        Only for what may be lost, and may be said again: it is delivered at most once, and returns when the peer has
        taken it. EarlyUnavailable: nobody was told, connect instead. EarlyRefused: the peer did not take it. TimedOut:
        whether it did is not known.
        """
        self._early.send(self._id(peer), peer, data, lane, remote_lane, timeout)

    def accept_early(self, timeout: Optional[float] = None) -> EarlyMessage:
        """The next early message of a peer. It may be older than what the peer has said since on channels."""
        return self._early.accept(timeout)

    # -- looking

    def lane_info(self, lane: int) -> tether_lane_info:
        """Carrier chosen and why, queue, MTU, ring of a lane."""
        return self.native.lane_info(lane)

    def stats(self, lane: int) -> tuple[tether_stats, tether_carrier_stats]:
        """Counters of a lane's endpoint and of its carrier."""
        return self.native.stats(lane)

    # -- events

    def listen(self, listener: Listener) -> None:
        """Call `listener(event, channel)` for every event, from the thread that dispatches. It must not block."""
        self._listeners.append(listener)

    def poll(self, timeout_ns: int = 0) -> int:
        """Take and dispatch waiting events; their count. Only for dispatch=False."""
        events = self.native.wait(timeout_ns)
        for event in events:
            self._take(event)
        return len(events)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.poll(WAIT_NS)
            except EngineError as error:
                if self._stopping.is_set() or error.code == -errno.ESHUTDOWN:
                    return
                raise

    def _take(self, event: tether_event) -> None:
        handle = event.lane << 32 | event.channel
        channel: Optional[Channel] = None
        if event.kind == binding.EVENT_EARLY:
            self._early.arrived()
        if event.channel:
            if event.kind in (binding.EVENT_CHANNEL_UP, binding.EVENT_FLOW_OPENED):
                channel = self._channel(handle, self.peer_name(event.peer_id) if event.peer_id else "")
            else:
                with self._lock:
                    channel = self._channels.get(handle)
        if channel is not None:
            if event.kind == binding.EVENT_CHANNEL_UP and event.value == 1:
                channel.initiator = False
                self._accepted.put(channel)
            elif event.kind == binding.EVENT_FLOW_OPENED:
                channel.flow_opened(event.flow, event.status, event.value)
            elif event.kind == binding.EVENT_MESSAGE_UNKNOWN:
                channel.messages_lost(event.flow, event.value, event.status, event.extra)
            elif event.kind == binding.EVENT_FLOW_CLOSED:
                channel.flow_closed(event.flow)
            elif event.kind == binding.EVENT_PEER_LANES:
                channel.lanes_arrived()
            elif event.kind == binding.EVENT_CHANNEL_DOWN:
                with self._lock:
                    self._channels.pop(handle, None)
                channel.ended(words_of_down(event.status))
        for listener in list(self._listeners):
            listener(event, channel)

    def _channel(self, handle: int, peer: str) -> Channel:
        with self._lock:
            channel = self._channels.get(handle)
            if channel is None:
                channel = self._channels[handle] = Channel(self, handle, peer)
            elif peer and not channel.peer:
                channel.peer = peer
            return channel

    def _id(self, peer: str) -> int:
        with self._lock:
            if peer not in self._ids:
                raise EngineError(f"{peer} is not in the roster", -errno.ENOENT, "add it to the inventory and apply")
            return self._ids[peer]
