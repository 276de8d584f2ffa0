# SPDX-License-Identifier: Apache-2.0
"""The Python reference as a vertex of the C simulator: its calls behind callbacks."""

from __future__ import annotations

import ctypes
import errno
import random
from collections import deque
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, c_int, c_int64, c_size_t, c_uint16, c_uint32, c_uint64, c_void_p
from typing import TYPE_CHECKING, Any

from tether_hw.sim import native
from tether_hw.transport import structs
from tether_hw.transport.protocol.config import Address, Config, Event, FlowOptions, Happened, Peer
from tether_hw.transport.protocol.endpoint import Endpoint
from tether_hw.transport.protocol.reject import REASONS
from tether_hw.transport.protocol.tags import LaneAddress
from tether_hw.transport.structs import Sized

if TYPE_CHECKING:
    from tether_hw.sim.build import Built

PIPE = 4
INNER, I8 = 13, 8
WRITE_FLUSH, WRITE_END, READ_END, READ_HOLE = 1, 2, 2, 4
KINDS = {
    Happened.CHANNEL_UP: 1, Happened.CHANNEL_DOWN: 2, Happened.FLOW_OPENED: 3, Happened.FLOW_READABLE: 4,
    Happened.FLOW_DRAINED: 6, Happened.FLOW_CLOSED: 7, Happened.PEER_LANES: 8, Happened.NEED_COUNTER: 9,
    Happened.FLOW_HOLE: 10, Happened.MESSAGE_UNKNOWN: 11,
}  # fmt: skip

_Address = POINTER(structs.tether_address)
SIGNATURES = {
    "restart": CFUNCTYPE(c_int, c_void_p, c_uint64, c_uint64, c_uint64),
    "counter": CFUNCTYPE(c_int, c_void_p, c_uint64, c_uint64),
    "receive": CFUNCTYPE(c_int, c_void_p, c_uint64, _Address, c_void_p, c_size_t),
    "transmit": CFUNCTYPE(c_int, c_void_p, c_uint64, c_void_p, c_size_t, _Address),
    "deadline": CFUNCTYPE(c_uint64, c_void_p),
    "event": CFUNCTYPE(c_int, c_void_p, POINTER(structs.tether_event)),
    "channel_open": CFUNCTYPE(c_int, c_void_p, c_uint64, c_uint32, c_uint16, _Address, POINTER(c_uint32)),
    "channel_close": CFUNCTYPE(c_int, c_void_p, c_uint64, c_uint32),
    "flow_open": CFUNCTYPE(
        c_int, c_void_p, c_uint64, c_uint32, POINTER(structs.tether_flow_options), POINTER(c_uint16)
    ),
    "flow_write": CFUNCTYPE(c_int64, c_void_p, c_uint64, c_uint32, c_uint16, c_void_p, c_size_t, c_uint32),
    "flow_read": CFUNCTYPE(
        c_int64, c_void_p, c_uint64, c_uint32, c_uint16, POINTER(c_uint64), c_void_p, c_size_t, POINTER(c_uint32)
    ),
    "flow_cancel": CFUNCTYPE(c_int, c_void_p, c_uint64, c_uint32, c_uint16),
    "flow_close": CFUNCTYPE(c_int, c_void_p, c_uint64, c_uint32, c_uint16),
    "check": CFUNCTYPE(c_int, c_void_p, c_int),
    "windows": CFUNCTYPE(c_int, c_void_p, c_uint64, POINTER(native.Window), c_size_t),
    "channel_of": CFUNCTYPE(c_uint32, c_void_p, c_uint32),
}


class Ops(Sized):
    """struct tether_sim_ops"""

    _fields_ = (("struct_size", c_uint32), ("reserved", c_uint32), *SIGNATURES.items())


def _guarded(call: Callable[..., int]) -> Callable[..., int]:
    """An OSError of the reference is a negative errno; anything else must not unwind through C, and ends the run."""

    def guarded(*arguments: Any) -> int:
        try:
            return call(*arguments)
        except OSError as error:
            return -(error.errno or errno.EIO)

    return guarded


def _native(address: Address) -> structs.tether_address:
    native_address = structs.tether_address(kind=address.kind, length=len(address.data))
    native_address.bytes[: len(address.data)] = address.data
    return native_address


class Party:
    """One reference endpoint. The callbacks live as long as this does."""

    def __init__(self, built: Built, index: int, library: Any) -> None:
        self.built = built
        self.index = index
        self.vertex = built.vertices[index]
        self.secret, _public = identity(library, built.seed, self.vertex.node)
        self.peers = self._peers(library)
        # Not for secrets: the same seed must give the same run.
        self.chance = random.Random(f"{built.seed}/entropy/{index}")  # noqa: S311
        self.endpoint: Endpoint
        self.waiting: deque[Event] = deque()
        self.callbacks = {name: signature(_guarded(getattr(self, name))) for name, signature in SIGNATURES.items()}
        self.ops = Ops(**self.callbacks)

    def _peers(self, library: Any) -> list[Peer]:
        peers: dict[int, Peer] = {}
        count = len(self.built.vertices)
        for index, other in enumerate(self.built.vertices):
            if other.kind > 1 or other.node == self.vertex.node or other.node in peers:
                continue
            if self.built.routes[self.index * count + index] != native.NONE:
                _secret, public = identity(library, self.built.seed, other.node)
                peers[other.node] = Peer(other.node + 1, (public,), place(index))
        return list(peers.values())

    def restart(self, _context: Any, now: int, first: int, limit: int) -> int:
        v = self.vertex
        lanes = tuple(
            LaneAddress(other.lane, PIPE, index.to_bytes(4, "little"))
            for index, other in enumerate(self.built.vertices)
            if other.node == v.node and other.kind == v.kind
        )
        config = Config(
            static_secret=self.secret, entropy=self.chance.randbytes, lane=v.lane, lane_addresses=lanes,
            frame_blocks=v.frame_blocks, ring_frames=v.ring_frames, rx_cells=v.rx_cells, max_channels=v.max_channels,
            max_flows=v.max_flows, max_message=v.max_message, rtt_ns=v.rtt_ns, rate_bps=v.rate_bps,
            silence_ns=v.silence_ns, grant_policy=v.grant_policy, rekey_s=v.rekey_s or Config.rekey_s,
        )  # fmt: skip
        self.endpoint = Endpoint(config)
        self.waiting.clear()
        self.endpoint.roster(now, self.peers)
        self.endpoint.add_counters(first, limit)
        return 0

    def counter(self, _context: Any, first: int, limit: int) -> int:
        self.endpoint.add_counters(first, limit)
        return 0

    def receive(self, _context: Any, now: int, source: Any, frame: int, length: int) -> int:
        address = Address(source[0].kind, bytes(source[0].bytes[: source[0].length]))
        refused = self.endpoint.receive(now, address, ctypes.string_at(frame, length))
        return 0 if refused is None else -(4096 + REASONS.index(refused.reason))

    def transmit(self, _context: Any, now: int, frame: int, capacity: int, to: Any) -> int:
        found = self.endpoint.transmit(now)
        if found is None:
            return 0
        data, address = found
        if len(data) > capacity:
            return -errno.EINVAL
        ctypes.memmove(frame, data, len(data))
        to[0] = _native(address)
        return len(data)

    def deadline(self, _context: Any) -> int:
        return min(self.endpoint.deadline(), native.FOREVER)

    def event(self, _context: Any, out: Any) -> int:
        if not self.waiting:
            self.waiting.extend(event for event in self.endpoint.events() if event.kind in KINDS)
        if not self.waiting:
            return 0
        event = self.waiting.popleft()
        out[0] = structs.tether_event(
            kind=KINDS[event.kind], channel=event.channel, flow=event.flow, status=event.status,
            value=event.value & native.FOREVER, peer_id=event.peer, lane=self.vertex.lane, extra=event.extra,
        )  # fmt: skip
        return 1

    def channel_open(self, _context: Any, now: int, peer: int, lane: int, to: Any, channel: Any) -> int:
        address = Address(to[0].kind, bytes(to[0].bytes[: to[0].length])) if to else None
        channel[0] = self.endpoint.open_channel(now, peer, lane, address)
        return 0

    def channel_close(self, _context: Any, now: int, channel: int) -> int:
        self.endpoint.close_channel(now, channel)
        return 0

    def flow_open(self, _context: Any, now: int, channel: int, options: Any, flow: Any) -> int:
        o = options[0]
        wanted = FlowOptions(o.kind, o.bound, o.reliability, o.order, o.scale, o.latency_ns, o.budget, o.deadline_ns)
        flow[0] = self.endpoint.open_flow(now, channel, options=wanted)
        return 0

    def flow_write(self, _context: Any, now: int, channel: int, flow: int, data: int, length: int, flags: int) -> int:
        taken = ctypes.string_at(data, length)
        end = bool(flags & WRITE_END)
        return self.endpoint.write(now, channel, flow, taken, flush=bool(flags & WRITE_FLUSH), end=end)

    def flow_read(
        self, _context: Any, _now: int, channel: int, flow: int, offset: Any, data: int, capacity: int, flags: Any
    ) -> int:
        flags[0] = 0
        piece = self.endpoint.read_at(channel, flow, capacity)
        if piece is None:
            return -errno.EAGAIN
        offset[0] = piece.offset
        if piece.hole:
            flags[0] = READ_HOLE
            return piece.hole
        if not piece.data:
            flags[0] = READ_END
            return 0
        ctypes.memmove(data, piece.data, len(piece.data))
        return len(piece.data)

    def flow_cancel(self, _context: Any, now: int, channel: int, flow: int) -> int:
        self.endpoint.cancel(now, channel, flow)
        return 0

    def flow_close(self, _context: Any, now: int, channel: int, flow: int) -> int:
        self.endpoint.close_flow(now, channel, flow)
        return 0

    def windows(self, _context: Any, now: int, windows: Any, count: int) -> int:
        self.endpoint.windows(now, [(windows[i].start_ns, windows[i].length_ns) for i in range(count)])
        return 0

    def channel_of(self, _context: Any, wire: int) -> int:
        return self.endpoint.channel_of(wire)

    def check(self, _context: Any, quiet: int) -> int:
        if self.endpoint.stats.invariant_violations:
            return INNER
        return I8 if quiet and self.endpoint.outstanding_slots != self.endpoint.standing_slots else 0


def place(index: int) -> Address:
    """The address of a vertex."""
    return Address(PIPE, index.to_bytes(4, "little"))


def identity(library: Any, seed: int, node: int) -> tuple[bytes, bytes]:
    """Secret and public key of a node."""
    secret, public = (ctypes.c_uint8 * 32)(), (ctypes.c_uint8 * 32)()
    library.tether_sim_identity(seed, node, secret, public)
    return bytes(secret), bytes(public)


def attach(built: Built, library: Any) -> list[Party]:
    """Gives every Python vertex its callbacks. What comes back must live as long as the simulation."""
    parties = []
    for index, vertex in enumerate(built.vertices):
        if vertex.kind == 1:
            party = Party(built, index, library)
            vertex.ops = ctypes.addressof(party.ops)
            parties.append(party)
    return parties
