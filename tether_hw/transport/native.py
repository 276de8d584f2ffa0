# SPDX-License-Identifier: Apache-2.0
"""The C engine behind its pointer: construction, error words, calls that are not about one channel."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from . import binding
from .address import to_native
from .config import Address, Lane, Limits, Link, Roster
from .config_model import GRANT_POLICIES
from .errors import EngineError, engine_error
from .library import load
from .structs import (
    tether_carrier_stats,
    tether_engine_config,
    tether_event,
    tether_lane_config,
    tether_lane_info,
    tether_peer,
    tether_stats,
    tether_window,
)

EVENTS_AT_ONCE = 64


class DebugFiles(NamedTuple):
    """Where an engine writes what it does (tether.trace/1) and, for debugging only, the secrets of its channels."""

    node: str = ""
    trace: Optional[str] = None
    keylog: Optional[str] = None


class Native:
    """One tether_engine. All calls may come from any thread; close() must be the last."""

    def __init__(
        self,
        secret: bytes,
        lanes: int,
        counter: str,
        limits: Limits,
        spin_us: int = 0,
        prefer_cipher: int = 0,
        files: Optional[DebugFiles] = None,
    ) -> None:
        self.library = load()
        self.engine: Any = None
        config = tether_engine_config(
            lanes=lanes,
            counter_path=counter.encode(),
            max_channels=limits.max_channels,
            max_flows=limits.max_flows,
            rx_cells=limits.rx_cells,
            tx_cells=limits.tx_cells,
            max_message=limits.max_message_bytes,
            lamp_per_s=limits.lamp_per_s,
            lamp_source_per_s=limits.lamp_source_per_s,
            agreement_per_s=limits.agreement_per_s,
            rekey_s=limits.rekey_s,
            early_bytes=limits.early_bytes,
            prefer_cipher=prefer_cipher,
            spin_us=spin_us,
            grant_policy=GRANT_POLICIES.index(limits.grant_policy),
        )
        if files is not None:
            config.node = files.node.encode()
            config.trace_path = None if files.trace is None else files.trace.encode()
            config.keylog_path = None if files.keylog is None else files.keylog.encode()
        if len(secret) != 32:
            raise ValueError("a static secret has 32 bytes")
        config.static_secret[:] = secret
        pointer = ctypes.c_void_p()
        code = self.library.tether_engine_new(ctypes.byref(config), ctypes.byref(pointer))
        ctypes.memset(ctypes.byref(config), 0, ctypes.sizeof(config))
        if code < 0:
            raise self.error(code, "make an engine")
        self.engine = pointer

    def add_lane(self, lane: Lane, link: Link, link_number: int, flags: int = 0, ring_frames: int = 0) -> None:
        """Open the carrier of one lane."""
        config = tether_lane_config(
            lane=lane.lane,
            flags=flags,
            carrier=lane.carrier.encode(),
            device=None if lane.address.udp is not None else lane.device.encode(),
            queue=lane.queue,
            cpu=-1 if lane.cpu is None else lane.cpu,
            address=to_native(lane.address),
            mtu=link.mtu,
            link=link_number,
            ring_frames=ring_frames,
            rtt_ns=link.rtt_ns,
            rate_bps=link.rate_bps,
            silence_ns=link.silence_ns,
        )
        self.check(self.library.tether_engine_add_lane(self.engine, ctypes.byref(config)), f"open lane {lane.lane}")

    def start(self) -> None:
        """Start the lanes' threads."""
        self.check(self.library.tether_engine_start(self.engine), "start the engine")

    def stop(self) -> None:
        """End the threads; waiting calls come back."""
        self.library.tether_engine_stop(self.engine)

    def close(self) -> None:
        """Free the engine; no other call may run or follow."""
        if self.engine is not None:
            self.library.tether_engine_free(self.engine)
            self.engine = None

    def roster(self, roster: Roster, links: Mapping[str, Link], ids: Mapping[str, int]) -> None:
        """Replace the roster of every lane. Of a peer on several links the first entry gives the default address."""
        first: dict[str, Any] = {}
        for peer in roster.peers:
            first.setdefault(peer.name, peer)
        array = (tether_peer * max(1, len(first)))()
        for native, peer in zip(array, first.values()):
            native.id = ids[peer.name]
            native.key_count = len(peer.keys)
            for index, key in enumerate(peer.keys):
                native.keys[index][:] = bytes.fromhex(key)
            native.hail = to_native(peer.hail)
            link = links.get(peer.link)
            native.rtt_ns = link.rtt_ns if link else 0
            native.rate_bps = link.rate_bps if link else 0
            native.name = peer.name.encode()
        self.check(self.library.tether_engine_roster(self.engine, array, len(first)), "load the roster")

    def now(self) -> int:
        """The engine's clock: monotonic, ns. Windows and traces are in it."""
        return int(self.library.tether_engine_now())

    def windows(self, lane: int, pairs: Sequence[tuple[int, int]]) -> None:
        """Declare contact windows of a lane, (start, length) on the engine's clock; none: always in contact."""
        code = self.library.tether_engine_windows(self.engine, lane, _windows(pairs), len(pairs))
        self.check(code, f"declare contact windows of lane {lane}")

    def rtt_table(self, lane: int, pairs: Sequence[tuple[int, int]]) -> None:
        """Declare round trips of a lane, (from, ns) on the engine's clock; none: the link's constant."""
        code = self.library.tether_engine_rtt_table(self.engine, lane, _windows(pairs), len(pairs))
        self.check(code, f"declare round trips of lane {lane}")

    def move(self, lane: int, address: Address) -> None:
        """Bind a UDP lane to another address and tell the peers."""
        code = self.library.tether_engine_lane_move(self.engine, lane, ctypes.byref(to_native(address)))
        self.check(code, f"move lane {lane} to {address}")

    def early_send(self, lane: int, peer_id: int, remote_lane: int, data: bytes, timeout_ns: int) -> int:
        """tether_engine_early_send: its code."""
        return int(
            self.library.tether_engine_early_send(self.engine, lane, peer_id, remote_lane, data, len(data), timeout_ns)
        )

    def early_read(self, lane: int, capacity: int) -> Optional[tuple[int, bytes]]:
        """(peer's id, message) of the oldest early data of a lane; None when there is none."""
        buffer, peer_id = ctypes.create_string_buffer(capacity), ctypes.c_uint32()
        length = self.library.tether_engine_early_read(self.engine, lane, buffer, capacity, ctypes.byref(peer_id))
        if length == -errno.EAGAIN:
            return None
        self.check(length, f"read early data of lane {lane}")
        return peer_id.value, buffer.raw[:length]

    def wait(self, timeout_ns: int) -> Sequence[tether_event]:
        """Events, at most 64; none when the time is over. Raises EngineError after stop()."""
        events = (tether_event * EVENTS_AT_ONCE)()
        count = self.library.tether_engine_wait(self.engine, timeout_ns, events, EVENTS_AT_ONCE)
        if count < 0:
            if -count in (errno.EAGAIN, errno.ETIMEDOUT, errno.EINTR):
                return ()
            raise self.error(count, "wait for events")
        return events[:count]

    def eventfd(self) -> int:
        """Readable while events wait; owned by the engine."""
        fd = int(self.library.tether_engine_eventfd(self.engine))
        if fd < 0:
            raise self.error(fd, "event descriptor")
        return fd

    def lane_info(self, lane: int) -> tether_lane_info:
        """What was opened for a lane, and why."""
        info = tether_lane_info()
        self.check(self.library.tether_engine_lane_info(self.engine, lane, ctypes.byref(info)), f"look at lane {lane}")
        return info

    def stats(self, lane: int) -> tuple[tether_stats, tether_carrier_stats]:
        """Counters of a lane's endpoint and of its carrier."""
        stats, carrier = tether_stats(), tether_carrier_stats()
        self.check(
            self.library.tether_engine_stats(self.engine, lane, ctypes.byref(stats), ctypes.byref(carrier)),
            f"statistics of lane {lane}",
        )
        return stats, carrier

    def check(self, code: int, doing: str) -> int:
        """`code` when it is no error; raises otherwise."""
        if code < 0:
            raise self.error(code, doing)
        return code

    def error(self, code: int, doing: str) -> EngineError:
        """The exception for a negative return value, with the library's words."""
        words = self.library.tether_engine_error(self.engine) or b""
        general = self.library.tether_strerror(code) or b""
        text = words.decode(errors="replace") if words else general.decode(errors="replace")
        return engine_error(code, doing, text)


def _windows(pairs: Sequence[tuple[int, int]]) -> Any:
    array = (tether_window * max(1, len(pairs)))()
    for native, (start, length) in zip(array, pairs):
        native.start_ns, native.length_ns = start, length
    return array


def reject_names(library: Optional[Any] = None) -> list[str]:
    """Names of the reasons for refused frames, in the order of tether_stats.rejects."""
    lib = library or load()
    return [lib.tether_reject_name(index).decode() for index in range(lib.tether_reject_count())]


def lanes_in_order(lanes: Iterable[Lane]) -> list[Lane]:
    """Lanes by number."""
    return sorted(lanes, key=lambda lane: lane.lane)


WORDS_OF_DOWN = {
    0: "closed here",
    -errno.ECONNRESET: "replaced by a new Hail of the peer",
    -errno.ECONNABORTED: "closed by the peer",
    -errno.EACCES: "no longer in the roster",
    -errno.EPROTO: "the peer broke the protocol",
    -errno.ESTALE: "the peer has seen higher Hail counters of this node",
    -errno.ESHUTDOWN: "the engine stopped",
}


def words_of_down(status: int) -> str:
    """Why a channel went down, from the status of its event."""
    return WORDS_OF_DOWN.get(status, f"status {status}")


__all__ = ["Native", "binding", "lanes_in_order", "reject_names", "words_of_down"]
