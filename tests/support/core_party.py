# SPDX-License-Identifier: Apache-2.0
"""The C core's endpoint behind the calls of the reference, so that a test can put either at either end."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Iterable
from typing import Any

from tether_hw.transport.library import load
from tether_hw.transport.protocol.config import Address, Config, Event, FlowOptions, Happened, Peer, Piece
from tether_hw.transport.protocol.noise import public_key
from tether_hw.transport.structs import (
    EntropyFunction,
    KeylogFunction,
    tether_address,
    tether_endpoint_config,
    tether_event,
    tether_flow_options,
    tether_flow_state,
    tether_peer,
    tether_stats,
    tether_window,
)

TX_CELLS = 4096
NEVER_S = (1 << 32) - 1
FRAME_MOST = 64 * 1024 + 64
REJECTED = -4096  # and below: -TETHER_E_*
WRITE_FLUSH, WRITE_END, READ_HOLE = 1, 2, 4
KINDS = {
    1: Happened.CHANNEL_UP, 2: Happened.CHANNEL_DOWN, 3: Happened.FLOW_OPENED, 4: Happened.FLOW_READABLE,
    6: Happened.FLOW_DRAINED, 7: Happened.FLOW_CLOSED, 8: Happened.PEER_LANES, 9: Happened.NEED_COUNTER,
    10: Happened.FLOW_HOLE, 11: Happened.MESSAGE_UNKNOWN, 12: Happened.EARLY, 13: Happened.EARLY_DONE,
}  # fmt: skip


def _address(address: Address) -> tether_address:
    native = tether_address(kind=address.kind, length=len(address.data))
    native.bytes[: len(address.data)] = address.data
    return native


class CoreParty:
    """One tether_endpoint, configured as the reference is; `keys` are the lines of its key log."""

    rekey_s = 0  # as the core has it

    def __init__(self, config: Config) -> None:
        self.config = config
        self.public = public_key(config.static_secret)
        self._library = load()
        self._entropy = EntropyFunction(self._fill)
        self.keys: list[str] = []
        self._keylog = KeylogFunction(lambda _context, line: self.keys.append(line.decode()))
        lanes = (tether_address * max(1, len(config.lane_addresses)))()
        for native, lane in zip(lanes, config.lane_addresses):
            native.kind, native.length = lane.kind, len(lane.address)
            native.bytes[: len(lane.address)] = lane.address
        self._config = tether_endpoint_config(
            lane=config.lane, lanes=len(config.lane_addresses), max_channels=config.max_channels,
            max_flows=config.max_flows, rx_cells=config.rx_cells, tx_cells=TX_CELLS,
            frame_blocks=config.frame_blocks, ring_frames=config.ring_frames, max_message=config.max_message,
            rtt_ns=config.rtt_ns, rate_bps=config.rate_bps, silence_ns=config.silence_ns,
            purse_frames=config.purse_frames, purse_per_s=config.purse_per_s, ciphers=config.ciphers,
            prefer_cipher=config.prefer_cipher, replay_window=config.replay_window, lamp_per_s=config.lamp_per_s,
            lamp_source_per_s=config.lamp_source_per_s, agreement_per_s=config.agreement_per_s,
            rekey_s=self.rekey_s or config.rekey_s or NEVER_S, entropy=self._entropy, lane_addresses=lanes,
            keylog=self._keylog, grant_policy=config.grant_policy, early_bytes=config.early_bytes,
        )  # fmt: skip
        self._config.static_secret[:] = config.static_secret
        self._endpoint: Any = ctypes.c_void_p()
        self._check(self._library.tether_endpoint_new(ctypes.byref(self._config), ctypes.byref(self._endpoint)))
        self._frame = (ctypes.c_uint8 * FRAME_MOST)()

    def __del__(self) -> None:
        if getattr(self, "_endpoint", None):
            self._library.tether_endpoint_free(self._endpoint)

    def _fill(self, _context: Any, out: Any, length: int) -> int:
        ctypes.memmove(out, self.config.entropy(length), length)
        return 0

    @staticmethod
    def _check(code: int) -> int:
        if code < 0:
            raise OSError(-code, errno.errorcode.get(-code, str(code)))
        return code

    def receive(self, now_ns: int, source: Address, frame: bytes) -> str | None:
        """The name of the reason when the frame was refused."""
        buffer = (ctypes.c_uint8 * max(1, len(frame))).from_buffer_copy(frame or b"\0")
        code = self._library.tether_endpoint_receive(
            self._endpoint, now_ns, ctypes.byref(_address(source)), buffer, len(frame)
        )
        if code > REJECTED:
            return None
        return str(self._library.tether_reject_name(-code - 4096).decode())

    def transmit(self, now_ns: int) -> tuple[bytes, Address] | None:
        to = tether_address()
        length = self._library.tether_endpoint_transmit(
            self._endpoint, now_ns, self._frame, FRAME_MOST, ctypes.byref(to)
        )
        if self._check(length) == 0:
            return None
        return bytes(self._frame[:length]), Address(to.kind, bytes(to.bytes[: to.length]))

    def deadline(self) -> int:
        return int(self._library.tether_endpoint_deadline(self._endpoint))

    def events(self) -> list[Event]:
        found, native = [], tether_event()
        while self._library.tether_endpoint_event(self._endpoint, ctypes.byref(native)) == 1:
            kind = KINDS.get(native.kind)
            if kind is not None:
                about = native.channel, native.flow, native.status, native.value, native.peer_id, native.extra
                found.append(Event(kind, *about))
        return found

    def roster(self, now_ns: int, peers: Iterable[Peer]) -> None:
        listed = list(peers)
        array = (tether_peer * max(1, len(listed)))()
        for native, peer in zip(array, listed):
            native.id, native.key_count, native.hail = peer.id, len(peer.keys), _address(peer.hail)
            native.rtt_ns, native.rate_bps, native.name = peer.rtt_ns, peer.rate_bps, peer.name.encode()
            for i, key in enumerate(peer.keys):
                native.keys[i][:] = key
        self._check(self._library.tether_endpoint_roster(self._endpoint, now_ns, array, len(listed)))

    def add_counters(self, first: int, limit: int) -> None:
        self._check(self._library.tether_endpoint_counter(self._endpoint, first, limit))

    def _plan(self, pairs: Iterable[tuple[int, int]]) -> tuple[Any, int]:
        listed = list(pairs)
        array = (tether_window * max(1, len(listed)))()
        for native, pair in zip(array, listed):
            native.start_ns, native.length_ns = pair
        return array, len(listed)

    def windows(self, now_ns: int, pairs: Iterable[tuple[int, int]]) -> None:
        self._check(self._library.tether_endpoint_windows(self._endpoint, now_ns, *self._plan(pairs)))

    def rtt_table(self, now_ns: int, pairs: Iterable[tuple[int, int]]) -> None:
        self._check(self._library.tether_endpoint_rtt_table(self._endpoint, now_ns, *self._plan(pairs)))

    def early_send(self, now_ns: int, peer_id: int, remote_lane: int, data: bytes) -> None:
        self._check(self._library.tether_early_send(self._endpoint, now_ns, peer_id, remote_lane, data, len(data)))

    def early_read(self) -> tuple[int, bytes] | None:
        buffer, peer = ctypes.create_string_buffer(1 << 16), ctypes.c_uint32()
        count = self._library.tether_early_read(self._endpoint, buffer, len(buffer), ctypes.byref(peer))
        if count == -errno.EAGAIN:
            return None
        return peer.value, buffer.raw[: self._check(count)]

    def open_channel(self, now_ns: int, peer_id: int, remote_lane: int, to: Address | None = None) -> int:
        channel = ctypes.c_uint32()
        address = None if to is None else ctypes.byref(_address(to))
        self._check(
            self._library.tether_channel_open(
                self._endpoint, now_ns, peer_id, remote_lane, address, ctypes.byref(channel)
            )
        )
        return channel.value

    def close_channel(self, now_ns: int, channel: int) -> None:
        self._check(self._library.tether_channel_close(self._endpoint, now_ns, channel))

    def open_flow(self, now_ns: int, channel: int, kind: int, bound: int = 0) -> int:
        flow = ctypes.c_uint16()
        self._check(self._library.tether_flow_open(self._endpoint, now_ns, channel, kind, bound, ctypes.byref(flow)))
        return flow.value

    def open_flow_options(self, now_ns: int, channel: int, options: FlowOptions) -> int:
        native, flow = tether_flow_options(), ctypes.c_uint16()
        for name, value in vars(options).items():
            setattr(native, name, value)
        code = self._library.tether_flow_open_options(
            self._endpoint, now_ns, channel, ctypes.byref(native), ctypes.byref(flow)
        )
        self._check(code)
        return flow.value

    def read_at(self, channel: int, flow: int, capacity: int | None = None) -> Piece | None:
        size, offset, flags = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_uint32()
        room = capacity if capacity is not None else 1 << 16
        if self._library.tether_flow_message_size(self._endpoint, channel, flow, ctypes.byref(size)) == 0:
            room = max(room, size.value)
        buffer = ctypes.create_string_buffer(room)
        count = self._library.tether_flow_read_at(
            self._endpoint, 0, channel, flow, ctypes.byref(offset), buffer, room, ctypes.byref(flags)
        )
        if count == -errno.EAGAIN:
            return None
        self._check(count)
        if flags.value & READ_HOLE:
            return Piece(offset.value, hole=count)
        return Piece(offset.value, buffer.raw[:count])

    def write(self, now_ns: int, channel: int, flow: int, data: bytes, *, flush: bool = True, end: bool = False) -> int:
        flags = (WRITE_FLUSH if flush else 0) | (WRITE_END if end else 0)
        return self._check(
            self._library.tether_flow_write(self._endpoint, now_ns, channel, flow, data, len(data), flags)
        )

    def read(self, channel: int, flow: int, capacity: int | None = None) -> bytes | None:
        size = ctypes.c_uint64()
        room = capacity if capacity is not None else 1 << 16
        if self._library.tether_flow_message_size(self._endpoint, channel, flow, ctypes.byref(size)) == 0:
            room = max(room, size.value)
        buffer, flags = ctypes.create_string_buffer(room), ctypes.c_uint32()
        count = self._library.tether_flow_read(self._endpoint, 0, channel, flow, buffer, room, ctypes.byref(flags))
        if count == -errno.EAGAIN:
            return None
        self._check(count)
        return buffer.raw[:count]

    def cancel(self, now_ns: int, channel: int, flow: int) -> None:
        self._check(self._library.tether_flow_cancel(self._endpoint, now_ns, channel, flow))

    def close_flow(self, now_ns: int, channel: int, flow: int) -> None:
        self._check(self._library.tether_flow_close(self._endpoint, now_ns, channel, flow))

    def flow_state(self, channel: int, flow: int) -> tether_flow_state:
        state = tether_flow_state()
        self._check(self._library.tether_flow_state(self._endpoint, channel, flow, ctypes.byref(state)))
        return state

    @property
    def statistics(self) -> tether_stats:
        stats = tether_stats()
        self._library.tether_endpoint_stats(self._endpoint, ctypes.byref(stats))
        return stats
