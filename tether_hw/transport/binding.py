# SPDX-License-Identifier: Apache-2.0
"""Every function that libtether exports, with its types. A test parses the headers and compares names and arguments."""

from __future__ import annotations

import ctypes
from ctypes import (
    POINTER,
    c_char_p,
    c_double,
    c_int,
    c_int64,
    c_size_t,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any

from . import structs as s
from .errors import LibraryError

ABI_VERSION = 2

WINDOWS_MAX = 16

FLOW_BYTES = 0
FLOW_MESSAGE = 1
FLOW_RELIABLE = 0
FLOW_EXPIRING = 1
FLOW_ORDERED = 0
FLOW_UNORDERED = 1
WRITE_FLUSH = 1
WRITE_END = 2
READ_END = 2
READ_HOLE = 4
ADDRESS_MAC = 1
ADDRESS_UDP4 = 2
ADDRESS_UDP6 = 3
VLAN_NONE = 0xFFFF
CIPHER_CHACHA20_POLY1305 = 1
CIPHER_AES_256_GCM = 2
CIPHER_NAMES = {CIPHER_CHACHA20_POLY1305: "ChaCha20-Poly1305", CIPHER_AES_256_GCM: "AES-256-GCM"}
REJECT_FIRST = 4096

EVENT_CHANNEL_UP = 1
EVENT_CHANNEL_DOWN = 2
EVENT_FLOW_OPENED = 3
EVENT_FLOW_READABLE = 4
EVENT_FLOW_WRITABLE = 5
EVENT_FLOW_DRAINED = 6
EVENT_FLOW_CLOSED = 7
EVENT_PEER_LANES = 8
EVENT_NEED_COUNTER = 9
EVENT_FLOW_HOLE = 10
EVENT_MESSAGE_UNKNOWN = 11
EVENT_EARLY = 12
EVENT_EARLY_DONE = 13

CHANNEL_STATES = ("free", "hailing", "unconfirmed", "up", "closing")
CHANNEL_UP = 3

FLOW_LOCAL_CLOSED = 1
FLOW_REMOTE_CLOSED = 2
FLOW_LOCAL_END = 4
FLOW_REMOTE_END = 8

LANE_COPY_ONLY = 1
LANE_GENERIC_ONLY = 2
LANE_ZERO_COPY = 1
LANE_NATIVE_XDP = 2
LANE_NEED_WAKEUP = 4
LANE_MULTI_BUFFER = 8

CEILING_SEND = 1
CEILING_RECEIVE = 2

_endpoint = c_void_p
_engine = c_void_p
_wire = POINTER(c_uint8)

PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "tether_abi_version": (c_uint32, ()),
    "tether_version": (c_char_p, ()),
    "tether_strerror": (c_char_p, (c_int,)),
    "tether_reject_count": (c_uint32, ()),
    "tether_reject_name": (c_char_p, (c_uint32,)),
    "tether_header_encode": (None, (POINTER(s.tether_header), _wire)),
    "tether_header_decode": (None, (POINTER(s.tether_header), _wire)),
    "tether_float16_encode": (c_uint16, (c_uint64,)),
    "tether_float16_decode": (c_uint64, (c_uint16,)),
    "tether_endpoint_config_size": (c_size_t, ()),
    "tether_endpoint_new": (c_int, (POINTER(s.tether_endpoint_config), POINTER(_endpoint))),
    "tether_endpoint_free": (None, (_endpoint,)),
    "tether_public_key": (c_int, (_wire, _wire)),
    "tether_signature_check": (c_int, (_wire, _wire, c_size_t, _wire)),
    "tether_endpoint_roster": (c_int, (_endpoint, c_uint64, POINTER(s.tether_peer), c_size_t)),
    "tether_endpoint_counter": (c_int, (_endpoint, c_uint64, c_uint64)),
    "tether_endpoint_receive": (c_int, (_endpoint, c_uint64, POINTER(s.tether_address), _wire, c_size_t)),
    "tether_endpoint_transmit": (c_int, (_endpoint, c_uint64, _wire, c_size_t, POINTER(s.tether_address))),
    "tether_endpoint_deadline": (c_uint64, (_endpoint,)),
    "tether_endpoint_moved": (c_int, (_endpoint, c_uint16, POINTER(s.tether_address))),
    "tether_endpoint_windows": (c_int, (_endpoint, c_uint64, POINTER(s.tether_window), c_size_t)),
    "tether_endpoint_rtt_table": (c_int, (_endpoint, c_uint64, POINTER(s.tether_window), c_size_t)),
    "tether_early_send": (c_int, (_endpoint, c_uint64, c_uint32, c_uint16, c_void_p, c_size_t)),
    "tether_early_read": (c_int64, (_endpoint, c_void_p, c_size_t, POINTER(c_uint32))),
    "tether_channel_open": (
        c_int,
        (_endpoint, c_uint64, c_uint32, c_uint16, POINTER(s.tether_address), POINTER(c_uint32)),
    ),
    "tether_channel_close": (c_int, (_endpoint, c_uint64, c_uint32)),
    "tether_flow_open": (c_int, (_endpoint, c_uint64, c_uint32, c_uint8, c_uint64, POINTER(c_uint16))),
    "tether_flow_open_options": (
        c_int,
        (_endpoint, c_uint64, c_uint32, POINTER(s.tether_flow_options), POINTER(c_uint16)),
    ),
    "tether_flow_read_at": (
        c_int64,
        (_endpoint, c_uint64, c_uint32, c_uint16, POINTER(c_uint64), c_void_p, c_size_t, POINTER(c_uint32)),
    ),
    "tether_flow_write": (c_int64, (_endpoint, c_uint64, c_uint32, c_uint16, c_void_p, c_size_t, c_uint32)),
    "tether_flow_read": (c_int64, (_endpoint, c_uint64, c_uint32, c_uint16, c_void_p, c_size_t, POINTER(c_uint32))),
    "tether_flow_message_size": (c_int, (_endpoint, c_uint32, c_uint16, POINTER(c_uint64))),
    "tether_flow_cancel": (c_int, (_endpoint, c_uint64, c_uint32, c_uint16)),
    "tether_flow_close": (c_int, (_endpoint, c_uint64, c_uint32, c_uint16)),
    "tether_flow_state": (c_int, (_endpoint, c_uint32, c_uint16, POINTER(s.tether_flow_state))),
    "tether_endpoint_event": (c_int, (_endpoint, POINTER(s.tether_event))),
    "tether_channel_info": (c_int, (_endpoint, c_uint32, POINTER(s.tether_channel_info))),
    "tether_channel_lane_address": (c_int, (_endpoint, c_uint32, c_uint16, POINTER(s.tether_address))),
    "tether_endpoint_stats": (None, (_endpoint, POINTER(s.tether_stats))),
    "tether_engine_error": (c_char_p, (_engine,)),
    "tether_engine_new": (c_int, (POINTER(s.tether_engine_config), POINTER(_engine))),
    "tether_engine_add_lane": (c_int, (_engine, POINTER(s.tether_lane_config))),
    "tether_engine_start": (c_int, (_engine,)),
    "tether_engine_stop": (c_int, (_engine,)),
    "tether_engine_free": (None, (_engine,)),
    "tether_engine_roster": (c_int, (_engine, POINTER(s.tether_peer), c_size_t)),
    "tether_engine_lane_info": (c_int, (_engine, c_uint16, POINTER(s.tether_lane_info))),
    "tether_engine_now": (c_uint64, ()),
    "tether_engine_windows": (c_int, (_engine, c_uint16, POINTER(s.tether_window), c_size_t)),
    "tether_engine_rtt_table": (c_int, (_engine, c_uint16, POINTER(s.tether_window), c_size_t)),
    "tether_engine_lane_move": (c_int, (_engine, c_uint16, POINTER(s.tether_address))),
    "tether_engine_early_send": (c_int, (_engine, c_uint16, c_uint32, c_uint16, c_void_p, c_size_t, c_int64)),
    "tether_engine_early_read": (c_int64, (_engine, c_uint16, c_void_p, c_size_t, POINTER(c_uint32))),
    "tether_engine_connect": (
        c_int,
        (_engine, c_uint16, c_uint32, c_uint16, POINTER(s.tether_address), c_int64, POINTER(c_uint64)),
    ),
    "tether_engine_channel_close": (c_int, (_engine, c_uint64)),
    "tether_engine_channel_info": (c_int, (_engine, c_uint64, POINTER(s.tether_channel_info))),
    "tether_engine_channel_lane_address": (c_int, (_engine, c_uint64, c_uint16, POINTER(s.tether_address))),
    "tether_engine_wait": (c_int, (_engine, c_int64, POINTER(s.tether_event), c_size_t)),
    "tether_engine_eventfd": (c_int, (_engine,)),
    "tether_engine_flow_open": (c_int, (_engine, c_uint64, c_uint8, c_uint64, POINTER(c_uint16))),
    "tether_engine_flow_open_options": (
        c_int,
        (_engine, c_uint64, POINTER(s.tether_flow_options), POINTER(c_uint16)),
    ),
    "tether_engine_flow_read_at": (
        c_int64,
        (_engine, c_uint64, c_uint16, POINTER(c_uint64), c_void_p, c_size_t, POINTER(c_uint32), c_int64),
    ),
    "tether_engine_flow_write": (c_int64, (_engine, c_uint64, c_uint16, c_void_p, c_size_t, c_uint32, c_int64)),
    "tether_engine_flow_read": (
        c_int64,
        (_engine, c_uint64, c_uint16, c_void_p, c_size_t, POINTER(c_uint32), c_int64),
    ),
    "tether_engine_flow_message_size": (c_int, (_engine, c_uint64, c_uint16, POINTER(c_uint64), c_int64)),
    "tether_engine_flow_drain": (c_int, (_engine, c_uint64, c_uint16, c_int64)),
    "tether_engine_flow_cancel": (c_int, (_engine, c_uint64, c_uint16)),
    "tether_engine_flow_close": (c_int, (_engine, c_uint64, c_uint16)),
    "tether_engine_flow_state": (c_int, (_engine, c_uint64, c_uint16, POINTER(s.tether_flow_state))),
    "tether_engine_stats": (
        c_int,
        (_engine, c_uint16, POINTER(s.tether_stats), POINTER(s.tether_carrier_stats)),
    ),
    "tether_bench_pipe": (c_int, (POINTER(s.tether_bench_config), POINTER(s.tether_bench_result))),
    "tether_bench_aead": (c_int, (c_uint16, c_uint32, c_uint64, POINTER(c_double))),
    "tether_bench_xdp_ceiling": (c_int, (POINTER(s.tether_ceiling_config), POINTER(s.tether_ceiling_result))),
    "tether_struct_size": (c_size_t, (c_char_p,)),
    "tether_trace_name": (c_char_p, (c_uint32,)),
    "tether_trace_line": (c_int, (POINTER(s.tether_trace_event), c_char_p, c_char_p, c_size_t)),
}

STRUCTS: tuple[type[ctypes.Structure], ...] = (
    s.tether_header,
    s.tether_address,
    s.tether_endpoint_config,
    s.tether_peer,
    s.tether_flow_options,
    s.tether_flow_state,
    s.tether_window,
    s.tether_event,
    s.tether_channel_info,
    s.tether_stats,
    s.tether_engine_config,
    s.tether_lane_config,
    s.tether_lane_info,
    s.tether_carrier_stats,
    s.tether_bench_config,
    s.tether_bench_result,
    s.tether_ceiling_config,
    s.tether_ceiling_result,
    s.tether_trace_event,
)


def bind(library: Any, path: str) -> None:
    """Declare every prototype on a loaded library and check that it speaks our ABI. Raises LibraryError."""
    try:
        library.tether_abi_version.restype = c_uint32
        found = library.tether_abi_version()
        if found != ABI_VERSION:
            raise LibraryError(
                f"{path} has ABI version {found}, this package needs {ABI_VERSION}",
                "library and package must come from one build",
            )
        for name, (result, arguments) in PROTOTYPES.items():
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
    except AttributeError as error:
        raise LibraryError(f"{path} is not a libtether of this version: {error}") from None
    for struct in STRUCTS:
        size = library.tether_struct_size(struct.__name__.encode())
        if size != ctypes.sizeof(struct):
            raise LibraryError(
                f"{path}: struct {struct.__name__} has {size} bytes, {ctypes.sizeof(struct)} are expected"
            )
