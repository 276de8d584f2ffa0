# SPDX-License-Identifier: Apache-2.0
"""One channel: a lane of this node to a lane of a peer, with its own keys; flows live on it."""

from __future__ import annotations

import ctypes
import queue
import threading
import weakref
from typing import TYPE_CHECKING, Optional

from . import binding
from .address import from_native
from .closing import Closing
from .config import Address
from .errors import ChannelDown, TimedOut
from .flow import Flow
from .structs import tether_address, tether_channel_info, tether_flow_options

if TYPE_CHECKING:
    from .engine import Engine


class Channel(Closing):
    """Made by Engine.connect and Engine.accept. `down` is None while it lives, then the reason in words."""

    def __init__(self, engine: Engine, handle: int, peer: str) -> None:
        self.engine = engine
        self.handle = handle
        self.peer = peer
        self.lane = handle >> 32
        self.down: Optional[str] = None
        self.initiator = True
        self._opened: queue.SimpleQueue[Optional[Flow]] = queue.SimpleQueue()
        self._peer_lanes = threading.Event()
        self._flows: weakref.WeakValueDictionary[int, Flow] = weakref.WeakValueDictionary()

    def open_flow(
        self,
        kind: str = "bytes",
        bound: int = 0,
        *,
        order: str = "ordered",
        deadline_s: float = 0,
        scale: int = 0,
        budget: int = 0,
        latency_s: float = 0,
    ) -> Flow:
        """Open a flow of kind "bytes" or "message"; what is said here holds in both directions.

        `bound`: largest message, bytes; 0 = what both ends allow. `order`: "ordered" or "unordered". With `deadline_s`
        the flow is expiring: what is older is skipped. `scale`: a slot has 64 << scale bytes (0 or 1, up to 3 in
        jumbo frames). `budget`, bytes per second, and `latency_s` are for the receivers' schedulers.
        Byte flows that are unordered or expiring are read by Flow.read_at.
        """
        if kind not in ("bytes", "message"):
            raise ValueError(f"a flow is of kind bytes or message, not {kind!r}")
        if order not in ("ordered", "unordered"):
            raise ValueError(f"a flow is ordered or unordered, not {order!r}")
        number = ctypes.c_uint16()
        native_kind = binding.FLOW_MESSAGE if kind == "message" else binding.FLOW_BYTES
        native = self.engine.native
        options = tether_flow_options(
            kind=native_kind,
            order=binding.FLOW_UNORDERED if order == "unordered" else binding.FLOW_ORDERED,
            reliability=binding.FLOW_EXPIRING if deadline_s else binding.FLOW_RELIABLE,
            scale=scale,
            bound=bound,
            budget=budget,
            latency_ns=int(latency_s * 1e9),
            deadline_ns=int(deadline_s * 1e9),
        )
        code = native.library.tether_engine_flow_open_options(
            native.engine, self.handle, ctypes.byref(options), ctypes.byref(number)
        )
        if code < 0:
            if self.down is not None:
                raise ChannelDown(f"open a flow on {self!r}: {self.down}", code)
            raise native.error(code, f"open a flow on {self!r}")
        return self.add_flow(number.value, native_kind, bound)

    def accept_flow(self, timeout: Optional[float] = None) -> Flow:
        """The next flow that the peer opened. TimedOut, or ChannelDown when the channel ended."""
        try:
            flow = self._opened.get(timeout=timeout)
        except queue.Empty:
            raise TimedOut(f"no flow was opened on {self!r} in time") from None
        if flow is None:
            self._opened.put(None)
            raise ChannelDown(f"{self!r} is down: {self.down}")
        return flow

    def info(self) -> tether_channel_info:
        """Peer, state, cipher, RTT (ns) and frame counts, as of now."""
        info = tether_channel_info()
        native = self.engine.native
        native.check(
            native.library.tether_engine_channel_info(native.engine, self.handle, ctypes.byref(info)),
            f"look at {self!r}",
        )
        return info

    def peer_lanes(self, timeout: Optional[float] = None) -> dict[int, Address]:
        """The peer's lanes and their addresses, from its Manifest. TimedOut while it has not arrived."""
        if not self._peer_lanes.wait(timeout):
            raise TimedOut(f"the Manifest of {self.peer} has not arrived on {self!r}")
        lanes: dict[int, Address] = {}
        native = self.engine.native
        for lane in range(256):
            address = tether_address()
            code = native.library.tether_engine_channel_lane_address(
                native.engine, self.handle, lane, ctypes.byref(address)
            )
            if code == 0 and address.kind:
                lanes[lane] = from_native(address)
        return lanes

    def close(self) -> None:
        """Tell the peer and free the channel; its flows end. Closing twice is no error."""
        if self.down is None:
            native = self.engine.native
            native.library.tether_engine_channel_close(native.engine, self.handle)

    def __enter__(self) -> Channel:
        return self

    def __repr__(self) -> str:
        return f"channel {self.handle & 0xFFFFFFFF:#x} (lane {self.lane} to {self.peer})"

    # -- called by the engine's dispatcher

    def add_flow(self, number: int, kind: int, bound: int) -> Flow:
        """Make the object of a flow, which hears of its events as long as somebody holds it."""
        flow = self._flows[number] = Flow(self, number, kind, bound)
        return flow

    def flow_opened(self, number: int, kind: int, bound: int) -> None:
        """The peer opened a flow."""
        self._opened.put(self.add_flow(number, kind, bound))

    def messages_lost(self, number: int, first: int, unknown: int, unsent: int) -> None:
        """A flow ended before all of its messages had a receipt."""
        flow = self._flows.get(number)
        if flow is not None:
            flow.unknown = range(first, first + unknown)
            flow.unsent = range(first + unknown, first + unknown + unsent)

    def flow_closed(self, number: int) -> None:
        """The peer closed a flow; what became of its messages is known."""
        flow = self._flows.get(number)
        if flow is not None:
            flow.over.set()

    def lanes_arrived(self) -> None:
        """The peer's Manifest with addresses is here."""
        self._peer_lanes.set()

    def ended(self, reason: str) -> None:
        """The channel is down."""
        self.down = reason
        self._opened.put(None)
        for flow in list(self._flows.values()):
            flow.over.set()
