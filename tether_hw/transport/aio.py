# SPDX-License-Identifier: Apache-2.0
"""The engine for asyncio: the same channels and flows, woken by the engine's event descriptor; nothing polls.

async with AsyncEngine(secret, lanes, links, counter) as engine:
    engine.roster(roster)
    channel = await engine.connect("b")
    flow = channel.open_flow("message")
    await flow.send(b"hello")
"""

from __future__ import annotations

import asyncio
import errno
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Optional, TypeVar

from . import binding
from .channel import Channel
from .config import Address, Lane, Limits, Link, Roster
from .early import EarlyMessage
from .engine import Engine
from .errors import ChannelDown, EngineError, FlowClosed, TimedOut
from .flow import Flow, Piece
from .structs import tether_event

T = TypeVar("T")
Key = tuple[int, int]

_READ = 0
_WRITE = 1
_DRAIN = 2
_FLOW_EVENTS = {
    binding.EVENT_FLOW_READABLE: _READ,
    binding.EVENT_FLOW_HOLE: _READ,
    binding.EVENT_FLOW_WRITABLE: _WRITE,
    binding.EVENT_FLOW_DRAINED: _DRAIN,
}


class AsyncFlow:
    """A flow whose calls are awaited; see flow.Flow for what each does. One reader and one writer at a time."""

    def __init__(self, engine: AsyncEngine, flow: Flow) -> None:
        self.engine = engine
        self.flow = flow

    async def send(self, message: Any) -> int:
        """Queue one whole message; its number."""
        return await self._retry(_WRITE, lambda: self.flow.send(message, 0))

    async def recv(self) -> bytes:
        """The next whole message."""
        return await self._retry(_READ, lambda: self.flow.recv(0))

    async def write(self, data: Any, flush: bool = False) -> None:
        """Queue all bytes of a buffer."""
        view = memoryview(data).cast("B")
        while len(view):
            view = view[await self._retry(_WRITE, lambda: self.flow.write(view, 0, flush)) :]  # noqa: B023

    async def end(self) -> None:
        """Nothing follows in this direction of a byte flow."""
        await self._retry(_WRITE, lambda: self.flow.end(0))

    async def read(self, size: int = 65536) -> bytes:
        """At most `size` bytes, at least one; empty at the end of the stream."""
        return await self._retry(_READ, lambda: self.flow.read(size, 0))

    async def read_at(self, size: int = 65536) -> Optional[Piece]:
        """The next piece with its place, or a hole; None at the end of the stream."""
        return await self._retry(_READ, lambda: self.flow.read_at(size, 0))

    async def drain(self) -> None:
        """Wait until everything written has arrived in the peer's buffers."""
        await self._retry(_DRAIN, lambda: self.flow.drain(0))

    def cancel(self) -> None:
        """Drop every message that was not sent completely."""
        self.flow.cancel()

    def close(self) -> None:
        """Close both directions."""
        self.flow.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            try:
                piece = await (self.recv() if self.flow.kind == binding.FLOW_MESSAGE else self.read())
            except FlowClosed:
                return
            if not piece:
                return
            yield piece

    async def _retry(self, direction: int, attempt: Callable[[], T]) -> T:
        key = (self.flow.channel.handle, self.flow.number)
        while True:
            # The waiter stands before the attempt: an event between the two is not lost.
            waiter = self.engine.waiter(key, direction)
            try:
                try:
                    return attempt()
                except TimedOut:
                    await waiter
            finally:
                self.engine.forget(key, direction, waiter)


class AsyncChannel:
    """A channel whose flows are AsyncFlows."""

    def __init__(self, engine: AsyncEngine, channel: Channel) -> None:
        self.engine = engine
        self.channel = channel
        self.opened: asyncio.Queue[Optional[AsyncFlow]] = asyncio.Queue()

    @property
    def peer(self) -> str:
        """Name of the peer."""
        return self.channel.peer

    def open_flow(self, kind: str = "bytes", bound: int = 0, **options: Any) -> AsyncFlow:
        """As Channel.open_flow."""
        return AsyncFlow(self.engine, self.channel.open_flow(kind, bound, **options))

    async def accept_flow(self) -> AsyncFlow:
        """The next flow that the peer opened."""
        flow = await self.opened.get()
        if flow is None:
            self.opened.put_nowait(None)
            raise ChannelDown(f"{self.channel!r} is down: {self.channel.down}")
        return flow

    def close(self) -> None:
        """Tell the peer and free the channel."""
        self.channel.close()


class AsyncEngine:
    """An engine inside one event loop; use as an asynchronous context manager. Arguments as for Engine."""

    def __init__(
        self,
        secret: bytes,
        lanes: Sequence[Lane],
        links: Mapping[str, Link],
        counter: str,
        limits: Optional[Limits] = None,
    ) -> None:
        self.engine = Engine(secret, lanes, links, counter, limits, dispatch=False)
        self.engine.listen(self._event)
        self._channels: dict[int, AsyncChannel] = {}
        self._accepted: asyncio.Queue[AsyncChannel] = asyncio.Queue()
        self._waiters: defaultdict[tuple[Key, int], list[asyncio.Future[None]]] = defaultdict(list)
        self._connecting: dict[int, asyncio.Future[None]] = {}
        self._early = asyncio.Event()
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._fd = -1

    async def __aenter__(self) -> AsyncEngine:
        self.engine.start()
        self._loop = asyncio.get_running_loop()
        self._fd = self.engine.native.eventfd()
        self._loop.add_reader(self._fd, self._readable)
        return self

    async def __aexit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._fd)
        self.engine.close()
        for (key, _), waiters in list(self._waiters.items()):
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(ChannelDown(f"flow {key[1]}: the engine stopped", -errno.ESHUTDOWN))

    def roster(self, roster: Roster) -> None:
        """Replace the roster, hot."""
        self.engine.roster(roster)

    async def connect(
        self, peer: str, lane: int = 0, remote_lane: int = 0, to: Optional[Address] = None, timeout: float = 10.0
    ) -> AsyncChannel:
        """A channel that is up; see Engine.connect."""
        handle = self.engine.begin(peer, lane, remote_lane, to)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connecting[handle] = future
        try:
            await asyncio.wait_for(future, timeout)
        except asyncio.TimeoutError:
            self.engine.abandon(handle)
            raise TimedOut(f"no answer from {peer} (lane {lane})", -errno.ETIMEDOUT) from None
        except ChannelDown:
            standing = self.engine.channel_between(peer, lane, remote_lane)
            if standing is None:
                raise
            return self._wrapped(standing)
        finally:
            self._connecting.pop(handle, None)
        return self._channels[handle]

    async def accept(self) -> AsyncChannel:
        """The next channel that a peer opened."""
        return await self._accepted.get()

    async def send_early(
        self, peer: str, data: bytes, lane: int = 0, remote_lane: int = 0, timeout: float = 10.0
    ) -> None:
        """See Engine.send_early."""
        await asyncio.to_thread(self.engine.send_early, peer, data, lane, remote_lane, timeout)

    async def accept_early(self) -> EarlyMessage:
        """The next early message of a peer."""
        while True:
            self._early.clear()
            try:
                return self.engine.accept_early(0)
            except TimedOut:
                await self._early.wait()

    def waiter(self, key: Key, direction: int) -> asyncio.Future[None]:
        """A future that the next event of that kind on that flow completes."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[(key, direction)].append(future)
        return future

    def forget(self, key: Key, direction: int, future: Awaitable[None]) -> None:
        """Take a waiter out again."""
        waiters = self._waiters.get((key, direction), [])
        if future in waiters:
            waiters.remove(future)
        if not waiters:
            self._waiters.pop((key, direction), None)

    def _readable(self) -> None:
        try:
            self.engine.poll(0)  # one batch; the descriptor stays readable while more wait
        except EngineError:
            if self._loop is not None:
                self._loop.remove_reader(self._fd)

    def _wake(self, key: Key, directions: Sequence[int], error: Optional[Exception] = None) -> None:
        for direction in directions:
            for waiter in self._waiters.pop((key, direction), []):
                if waiter.done():
                    continue
                if error is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(error)

    def _event(self, event: tether_event, channel: Optional[Channel]) -> None:
        if event.kind == binding.EVENT_EARLY:
            self._early.set()
        if channel is None:
            return
        key = (channel.handle, event.flow)
        if event.kind in _FLOW_EVENTS:
            self._wake(key, (_FLOW_EVENTS[event.kind],))
        elif event.kind == binding.EVENT_FLOW_CLOSED:
            self._wake(key, (_READ, _WRITE, _DRAIN))
        elif event.kind == binding.EVENT_CHANNEL_UP:
            wrapped = self._wrapped(channel)
            future = self._connecting.get(channel.handle)
            if future is not None and not future.done():
                future.set_result(None)
            if not channel.initiator:
                self._accepted.put_nowait(wrapped)
        elif event.kind == binding.EVENT_FLOW_OPENED:
            wrapped = self._wrapped(channel)
            wrapped.opened.put_nowait(AsyncFlow(self, channel.accept_flow(0)))
        elif event.kind == binding.EVENT_CHANNEL_DOWN:
            self._down(channel)

    def _wrapped(self, channel: Channel) -> AsyncChannel:
        if channel.handle not in self._channels:
            self._channels[channel.handle] = AsyncChannel(self, channel)
        return self._channels[channel.handle]

    def _down(self, channel: Channel) -> None:
        wrapped = self._channels.pop(channel.handle, None)
        if wrapped is not None:
            wrapped.opened.put_nowait(None)
        future = self._connecting.get(channel.handle)
        if future is not None and not future.done():
            future.set_exception(ChannelDown(f"{channel!r}: {channel.down}"))
        for key, direction in list(self._waiters):
            if key[0] == channel.handle:
                self._wake(key, (direction,), ChannelDown(f"{channel!r}: {channel.down}"))
