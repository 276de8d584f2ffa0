# SPDX-License-Identifier: Apache-2.0
"""One flow of a channel: messages or bytes, both directions."""

from __future__ import annotations

import ctypes
import errno
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from . import binding
from .buffers import pinned
from .closing import Closing
from .errors import ChannelDown, FlowClosed, TimedOut
from .structs import tether_flow_state

if TYPE_CHECKING:
    from .channel import Channel

SLICE_S = 0.5  # a blocking call comes back this often, so that Ctrl-C and a closed engine are noticed
READ_BYTES = 65536


def _remaining_ns(deadline: Optional[float]) -> int:
    """Time for the next blocking call: at most one slice, 0 for a try."""
    if deadline is None:
        return int(SLICE_S * 1e9)
    return max(0, int(min(deadline - time.monotonic(), SLICE_S) * 1e9))


def deadline_of(timeout: Optional[float]) -> Optional[float]:
    """The moment at which a timeout in seconds is over; None = never."""
    return None if timeout is None else time.monotonic() + timeout


class Piece(NamedTuple):
    """Part of a flow: `data` at `offset`, or a hole of `missing` bytes that will not come.

    In a message flow `offset` and `missing` count slots: they tell the order of messages, and that some are missing.
    """

    offset: int
    data: bytes
    missing: int


class Flow(Closing):
    """A flow in both directions. Timeouts are seconds: None = wait for ever, 0 = try.

    A message flow carries whole messages (send, recv, iteration); a byte flow a stream (write, read, readinto),
    or, when it is unordered or expiring, pieces with their place (read_at).
    After the flow's or the channel's end (see outcome) `unknown` has the numbers of the messages that were sent and
    have no receipt: each was delivered once or not at all. Those in `unsent` were not sent. The transport sends neither
    again.
    Safe for one reading and one writing thread at a time. Every call raises FlowClosed after the flow's end,
    ChannelDown after the channel's, TimedOut when the time is over.
    """

    def __init__(self, channel: Channel, number: int, kind: int, bound: int = 0) -> None:
        self.channel = channel
        self.number = number
        self.kind = kind
        self.bound = bound
        self.at_end = False
        self.unknown = range(0)
        self.unsent = range(0)
        self.over = threading.Event()
        self._sent = 0
        self._native = channel.engine.native
        self._handle = channel.handle

    # -- messages

    def send(self, message: Any, timeout: Optional[float] = None) -> int:
        """Queue one message (any contiguous buffer, 1 byte or more), whole. MessageTooLarge above the bound.

        Returns its number: 0 for the first one that was sent by this object, and so on.
        """
        with pinned(message) as (address, length):
            self._write(address, length, 0, timeout)
        self._sent += 1
        return self._sent - 1

    def recv(self, timeout: Optional[float] = None) -> bytes:
        """The next whole message."""
        deadline = deadline_of(timeout)
        size = ctypes.c_uint64()
        self._wait(
            lambda ns: self._native.library.tether_engine_flow_message_size(
                self._native.engine, self._handle, self.number, ctypes.byref(size), ns
            ),
            deadline,
            "receive",
        )
        message = bytearray(size.value)
        with pinned(message, writable=True) as (address, length):
            got = self._native.library.tether_engine_flow_read(
                self._native.engine, self._handle, self.number, address, length, None, 0
            )
        if got < 0:
            self._fail(got, "receive")
        return bytes(memoryview(message)[:got])

    # -- bytes

    def write(self, data: Any, timeout: Optional[float] = None, flush: bool = False) -> int:
        """Queue all bytes of a contiguous buffer. With `flush`, what does not fill a frame is sent at once.

        Returns the count, which is smaller than asked for only when the time was over.
        """
        with pinned(data) as (address, length):
            return self._write(address, length, binding.WRITE_FLUSH if flush else 0, timeout)

    def end(self, timeout: Optional[float] = None) -> None:
        """Nothing follows in this direction; what was written still arrives. Byte flows only."""
        self._write(0, 0, binding.WRITE_END, timeout)

    def readinto(self, buffer: Any, timeout: Optional[float] = None) -> int:
        """Read what is there into a writable buffer, waiting for the first byte; 0 at the end of the stream."""
        if self.at_end:
            return 0
        flags = ctypes.c_uint32()
        with pinned(buffer, writable=True) as (address, length):
            got = self._wait(
                lambda ns: self._native.library.tether_engine_flow_read(
                    self._native.engine, self._handle, self.number, address, length, ctypes.byref(flags), ns
                ),
                deadline_of(timeout),
                "read",
            )
        if got == 0 and flags.value & binding.READ_END:
            self.at_end = True
        return got

    def read(self, size: int = READ_BYTES, timeout: Optional[float] = None) -> bytes:
        """At most `size` bytes, at least one; empty at the end of the stream."""
        buffer = bytearray(size)
        got = self.readinto(buffer, timeout)
        return bytes(memoryview(buffer)[:got])

    def readexactly(self, buffer: Any, timeout: Optional[float] = None) -> int:
        """Fill a writable buffer; the count is smaller only when the stream ended before. `timeout` is per piece."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view):
            got = self.readinto(view[done:], timeout)
            if got == 0:
                break
            done += got
        return done

    def read_at(self, size: int = READ_BYTES, timeout: Optional[float] = None) -> Optional[Piece]:
        """The next piece that is there, in whatever order pieces come, or a hole; None at the end of the stream.

        For flows of every kind; a message is read whole, and must fit into `size`.
        """
        if self.at_end:
            return None
        offset, flags = ctypes.c_uint64(), ctypes.c_uint32()
        buffer = bytearray(size)
        with pinned(buffer, writable=True) as (address, length):
            got = self._wait(
                lambda ns: self._native.library.tether_engine_flow_read_at(
                    self._native.engine,
                    self._handle,
                    self.number,
                    ctypes.byref(offset),
                    address,
                    length,
                    ctypes.byref(flags),
                    ns,
                ),
                deadline_of(timeout),
                "read",
            )
        if flags.value & binding.READ_HOLE:
            return Piece(offset.value, b"", got)
        if flags.value & binding.READ_END:
            self.at_end = True
            if got == 0:
                return None
        return Piece(offset.value, bytes(memoryview(buffer)[:got]), 0)

    # -- both

    def outcome(self, timeout: Optional[float] = None) -> tuple[range, range]:
        """Wait for the end of the flow by its peer or its channel; then `unknown` and `unsent`."""
        if not self.over.wait(timeout):
            raise TimedOut(f"{self} has not ended")
        return self.unknown, self.unsent

    def drain(self, timeout: Optional[float] = None) -> None:
        """Wait until everything written has arrived in the peer's buffers."""
        self._wait(
            lambda ns: self._native.library.tether_engine_flow_drain(
                self._native.engine, self._handle, self.number, ns
            ),
            deadline_of(timeout),
            "drain",
        )

    def cancel(self) -> None:
        """Drop every message that was not sent completely; the flow stays open. Message flows only."""
        self._check(
            self._native.library.tether_engine_flow_cancel(self._native.engine, self._handle, self.number), "cancel"
        )

    def close(self) -> None:
        """Close both directions; unsent data is dropped. Closing twice, or after the channel's end, is no error."""
        code = self._native.library.tether_engine_flow_close(self._native.engine, self._handle, self.number)
        if code < 0 and -code not in (
            errno.EPIPE,
            errno.ENOENT,
            errno.ENOTCONN,
            errno.ESHUTDOWN,
            errno.EBADF,
            errno.EINVAL,
            errno.EALREADY,
        ):
            self._fail(code, "close")

    def state(self) -> tether_flow_state:
        """Bytes unsent, unacknowledged, readable and writable; slots of both directions."""
        state = tether_flow_state()
        self._check(
            self._native.library.tether_engine_flow_state(
                self._native.engine, self._handle, self.number, ctypes.byref(state)
            ),
            "state",
        )
        return state

    def __iter__(self) -> Iterator[bytes]:
        """Messages, or pieces of the stream, until the flow ends."""
        while True:
            try:
                piece = self.recv() if self.kind == binding.FLOW_MESSAGE else self.read()
            except FlowClosed:
                return
            if not piece:
                return
            yield piece

    def __enter__(self) -> Flow:
        return self

    # -- inside

    def _write(self, address: int, length: int, flags: int, timeout: Optional[float]) -> int:
        deadline = deadline_of(timeout)
        done = 0
        while True:
            code = self._native.library.tether_engine_flow_write(
                self._native.engine,
                self._handle,
                self.number,
                address + done,
                length - done,
                flags,
                _remaining_ns(deadline),
            )
            if code >= 0:
                done += code
                if done >= length:
                    return int(done)
            elif -code not in (errno.EAGAIN, errno.ETIMEDOUT):
                self._fail(code, "write")
            if deadline is not None and time.monotonic() >= deadline:
                if done:
                    return int(done)
                raise TimedOut(f"write to {self}: the time is over", -errno.ETIMEDOUT)

    def _wait(self, call: Any, deadline: Optional[float], doing: str) -> int:
        while True:
            code = int(call(_remaining_ns(deadline)))
            if code >= 0:
                return code
            if -code not in (errno.EAGAIN, errno.ETIMEDOUT):
                self._fail(code, doing)
            if deadline is not None and time.monotonic() >= deadline:
                raise TimedOut(f"{doing} on {self}: the time is over", code)

    def _check(self, code: int, doing: str) -> None:
        if code < 0:
            self._fail(code, doing)

    def _fail(self, code: int, doing: str) -> None:
        if self.channel.down is not None and -code in (errno.EPIPE, errno.ENOENT, errno.EBADF, errno.EINVAL):
            raise ChannelDown(f"{doing} on {self}: the channel is down: {self.channel.down}", code)
        if -code == errno.EBADF:  # closed by both ends: the library has forgotten it
            raise FlowClosed(f"{doing} on {self}: the flow is closed", code)
        raise self._native.error(code, f"{doing} on {self}")

    def __repr__(self) -> str:
        return f"flow {self.number} of {self.channel!r}"
