# SPDX-License-Identifier: Apache-2.0
"""The structs of tether.h and tether_engine.h as ctypes. A test parses the headers and compares every field."""

from __future__ import annotations

import ctypes
from ctypes import c_char, c_char_p, c_double, c_int32, c_size_t, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from typing import Any

REJECT_SLOTS = 32
BENCH_ROUNDS_MAX = 32

EntropyFunction = ctypes.CFUNCTYPE(ctypes.c_int, c_void_p, ctypes.POINTER(c_uint8), c_size_t)
KeylogFunction = ctypes.CFUNCTYPE(None, c_void_p, c_char_p)

_RATES = tuple((name, c_uint32) for name in ("lamp_per_s", "lamp_source_per_s", "agreement_per_s", "rekey_s"))


def _counters(*names: str) -> tuple[tuple[str, Any], ...]:
    return tuple((name, c_uint64) for name in names)


class Sized(ctypes.Structure):
    """A struct whose first field is its own size, filled in on creation."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(struct_size=ctypes.sizeof(type(self)), **fields)


class tether_header(ctypes.Structure):  # noqa: N801
    _fields_ = (
        ("version", c_uint8),
        ("flags", c_uint8),
        ("length", c_uint16),
        ("channel", c_uint32),
        ("sequence", c_uint64),
        ("grant_amount", c_uint64),
        ("timestamp_ns", c_uint64),
        ("echo_ns", c_uint64),
        ("slot", c_uint32),
        ("nack_slot", c_uint32),
        ("nack_count", c_uint16),
        ("want", c_uint16),
        ("pace", c_uint16),
        ("flow", c_uint16),
        ("tag", c_uint8 * 16),
    )


class tether_address(ctypes.Structure):  # noqa: N801
    _fields_ = (("kind", c_uint8), ("length", c_uint8), ("reserved", c_uint16), ("bytes", c_uint8 * 28))


class tether_trace_event(ctypes.Structure):  # noqa: N801
    _fields_ = (
        ("at_ns", c_uint64),
        ("kind", c_uint16),
        ("flags", c_uint16),
        ("flow", c_uint16),
        ("lane", c_uint16),
        ("channel", c_uint32),
        ("peer_id", c_uint32),
        ("sequence", c_uint64),
        ("slot", c_uint64),
        ("count", c_uint64),
        ("value", c_uint64),
    )


TraceFunction = ctypes.CFUNCTYPE(None, c_void_p, ctypes.POINTER(tether_trace_event))


class tether_endpoint_config(Sized):  # noqa: N801
    _fields_ = (
        ("struct_size", c_uint32),
        ("lane", c_uint16),
        ("lanes", c_uint16),
        ("max_channels", c_uint32),
        ("max_flows", c_uint32),
        ("rx_cells", c_uint32),
        ("tx_cells", c_uint32),
        ("frame_blocks", c_uint16),
        ("grant_policy", c_uint16),
        ("ring_frames", c_uint32),
        ("max_message", c_uint64),
        ("rtt_ns", c_uint64),
        ("rate_bps", c_uint64),
        ("silence_ns", c_uint64),
        ("purse_frames", c_uint32),
        ("purse_per_s", c_uint32),
        ("ciphers", c_uint16),
        ("prefer_cipher", c_uint16),
        ("replay_window", c_uint32),
        ("static_secret", c_uint8 * 32),
        ("entropy", EntropyFunction),
        ("context", c_void_p),
        ("lane_addresses", ctypes.POINTER(tether_address)),
        ("trace", TraceFunction),
        ("trace_context", c_void_p),
        ("keylog", KeylogFunction),
        ("keylog_context", c_void_p),
        *_RATES,
        *((name, c_uint32) for name in ("early_bytes", "link_lanes")),
    )


class tether_peer(ctypes.Structure):  # noqa: N801
    _fields_ = (
        ("id", c_uint32),
        ("key_count", c_uint32),
        ("keys", (c_uint8 * 32) * 2),
        ("hail", tether_address),
        ("rtt_ns", c_uint64),
        ("rate_bps", c_uint64),
        ("name", c_char * 64),
    )


class tether_flow_options(Sized):  # noqa: N801
    _fields_ = (
        ("struct_size", c_uint32),
        ("kind", c_uint8),
        ("reliability", c_uint8),
        ("order", c_uint8),
        ("scale", c_uint8),
        ("bound", c_uint64),
        ("budget", c_uint64),
        ("latency_ns", c_uint64),
        ("deadline_ns", c_uint64),
    )


class tether_flow_state(Sized):  # noqa: N801
    _fields_ = (
        ("struct_size", c_uint32),
        ("kind", c_uint8),
        ("flags", c_uint8),
        ("reliability", c_uint8),
        ("order", c_uint8),
        ("scale", c_uint8),
        ("reserved", c_uint8 * 7),
        ("bound", c_uint64),
        ("unsent_bytes", c_uint64),
        ("unacknowledged_bytes", c_uint64),
        ("readable_bytes", c_uint64),
        ("readable_messages", c_uint64),
        ("writable_bytes", c_uint64),
        ("sent_slots", c_uint64),
        ("limit_slots", c_uint64),
        ("granted_slots", c_uint64),
        ("arrived_slots", c_uint64),
        ("delivered_slots", c_uint64),
        ("demand_slots", c_uint64),
        ("skipped_slots", c_uint64),
        ("budget", c_uint64),
        ("latency_ns", c_uint64),
        ("deadline_ns", c_uint64),
        ("messages_written", c_uint64),
        ("messages_begun", c_uint64),
        ("messages_receipted", c_uint64),
        ("messages_dropped", c_uint64),
    )


class tether_window(ctypes.Structure):  # noqa: N801
    _fields_ = (("start_ns", c_uint64), ("length_ns", c_uint64))


class tether_event(ctypes.Structure):  # noqa: N801
    _fields_ = (
        ("kind", c_uint32),
        ("channel", c_uint32),
        ("flow", c_uint16),
        ("lane", c_uint16),
        ("status", c_int32),
        ("value", c_uint64),
        ("peer_id", c_uint32),
        ("extra", c_uint32),
    )


class tether_channel_info(Sized):  # noqa: N801
    _fields_ = (
        ("struct_size", c_uint32),
        ("peer_id", c_uint32),
        ("state", c_uint8),
        ("initiator", c_uint8),
        ("remote_lane", c_uint16),
        ("cipher", c_uint16),
        ("peer_lanes", c_uint16),
        ("srtt_ns", c_uint64),
        ("rtt_min_ns", c_uint64),
        ("rtt_p50_ns", c_uint64),
        ("rtt_p99_ns", c_uint64),
        ("frames_sent", c_uint64),
        ("frames_received", c_uint64),
        ("hails_sent", c_uint64),
        ("peer_max_message", c_uint64),
        ("flows", c_uint32),
        ("peer_floor", c_uint16),
        ("peer_frame_blocks", c_uint16),
        ("address", tether_address),
        ("away_ns", c_uint64),
        *(("path_blocks", c_uint32), ("reserved", c_uint32)),
    )


class tether_stats(Sized):  # noqa: N801
    _fields_ = (
        ("struct_size", c_uint32),
        ("lane", c_uint32),
        ("frames_sent", c_uint64),
        ("frames_received", c_uint64),
        ("data_frames_sent", c_uint64),
        ("data_frames_received", c_uint64),
        ("slots_sent", c_uint64),
        ("slots_received", c_uint64),
        ("bytes_sent", c_uint64),
        ("bytes_received", c_uint64),
        *_counters("messages_sent", "messages_received"),
        ("repairs_sent", c_uint64),
        ("duplicates_received", c_uint64),
        ("nacks_sent", c_uint64),
        ("nacks_received", c_uint64),
        ("receipts_earned", c_uint64),
        ("receipts_spent", c_uint64),
        ("lamps_sent", c_uint64),
        ("lamps_received", c_uint64),
        *_counters("blocked_sent", "refresh_sent", "embers_sent"),
        *_counters("skips_sent", "skips_received", "grants_sent"),
        *_counters("rekeys", "cookies_sent", "byes_sent", "byes_received"),
        *_counters("early_sent", "early_received", "early_repeated", "early_refused"),
        ("invariant_violations", c_uint64),
        ("grants_outstanding_slots", c_uint64),
        ("standing_slots", c_uint64),
        ("reserved_cells", c_uint64),
        ("free_cells", c_uint64),
        ("free_tx_cells", c_uint64),
        ("purse_frames", c_uint64),
        ("channels", c_uint64),
        ("flows", c_uint64),
        ("rejects", c_uint64 * REJECT_SLOTS),
    )


class tether_engine_config(Sized):  # noqa: N801
    _fields_ = (
        ("struct_size", c_uint32),
        ("lanes", c_uint32),
        ("static_secret", c_uint8 * 32),
        ("counter_path", c_char_p),
        ("max_channels", c_uint32),
        ("max_flows", c_uint32),
        ("rx_cells", c_uint32),
        ("tx_cells", c_uint32),
        ("max_message", c_uint64),
        ("purse_frames", c_uint32),
        ("purse_per_s", c_uint32),
        ("ciphers", c_uint16),
        ("prefer_cipher", c_uint16),
        ("replay_window", c_uint32),
        ("spin_us", c_uint32),
        ("grant_policy", c_uint32),
        ("reserved", c_uint32),
        ("node", c_char_p),
        ("trace_path", c_char_p),
        ("keylog_path", c_char_p),
        *_RATES,
        ("early_bytes", c_uint32),
        ("reserved1", c_uint32),
    )


class tether_lane_config(Sized):  # noqa: N801
    _fields_ = (
        ("struct_size", c_uint32),
        ("lane", c_uint16),
        ("flags", c_uint16),
        ("carrier", c_char_p),
        ("device", c_char_p),
        ("queue", c_uint32),
        ("cpu", c_int32),
        ("address", tether_address),
        ("mtu", c_uint16),
        ("reserved", c_uint16),
        ("link", c_uint32),
        ("ring_frames", c_uint32),
        ("reserved1", c_uint32),
        ("rtt_ns", c_uint64),
        ("rate_bps", c_uint64),
        ("silence_ns", c_uint64),
    )


class tether_lane_info(Sized):  # noqa: N801
    _fields_ = (
        ("struct_size", c_uint32),
        ("lane", c_uint16),
        ("mtu", c_uint16),
        ("frame_blocks", c_uint16),
        ("flags", c_uint16),
        ("queue", c_uint32),
        ("ring_frames", c_uint32),
        ("link", c_uint32),
        ("cpu", c_int32),
        ("reserved", c_uint32),
        ("address", tether_address),
        ("carrier", c_char * 16),
        ("device", c_char * 16),
        ("why", c_char * 256),
    )


class tether_carrier_stats(Sized):  # noqa: N801
    _fields_ = (
        ("struct_size", c_uint32),
        ("lane", c_uint32),
        ("rx_frames", c_uint64),
        ("tx_frames", c_uint64),
        ("rx_bytes", c_uint64),
        ("tx_bytes", c_uint64),
        ("overruns", c_uint64),
        ("misdirected", c_uint64),
        ("foreign", c_uint64),
        ("tx_stalled", c_uint64),
        ("tx_errors", c_uint64),
        ("handed_over", c_uint64),
        ("ring_full", c_uint64),
        ("kernel_drops", c_uint64),
        ("handover_full", c_uint64),
        ("fill_empty", c_uint64),
        ("sleeps", c_uint64),
        ("wakes", c_uint64),
    )


class tether_bench_config(Sized):  # noqa: N801
    _fields_ = (
        ("struct_size", c_uint32),
        ("frame_blocks", c_uint16),
        ("cipher", c_uint16),
        ("flows", c_uint32),
        ("kind", c_uint8),
        ("reserved", c_uint8 * 3),
        ("message_bytes", c_uint32),
        ("rounds", c_uint32),
        ("ring_frames", c_uint32),
        ("bytes", c_uint64),
        ("pings", c_uint32),
        ("cpu", c_int32),
    )


class tether_bench_result(Sized):  # noqa: N801
    _fields_ = (
        ("struct_size", c_uint32),
        ("rounds", c_uint32),
        ("payload_bytes", c_uint32),
        ("cipher", c_uint16),
        ("frame_blocks", c_uint16),
        ("frames", c_uint64),
        ("data_frames", c_uint64),
        ("bytes", c_uint64),
        ("frames_per_s", c_double),
        ("goodput_bps", c_double),
        ("aead_limit_bps", c_double),
        ("share_of_aead_limit", c_double),
        ("rtt_p50_ns", c_double),
        ("rtt_p99_ns", c_double),
        *((name, c_double * BENCH_ROUNDS_MAX) for name in ("round_goodput_bps", "round_aead_bps", "round_share")),
    )


class tether_ceiling_config(Sized):  # noqa: N801
    _fields_ = (
        ("struct_size", c_uint32),
        ("mode", c_uint32),
        ("device", c_char_p),
        ("queue", c_uint32),
        ("cpu", c_int32),
        ("frame_bytes", c_uint16),
        ("flags", c_uint16),
        ("reserved", c_uint32),
        ("source", c_uint8 * 6),
        ("destination", c_uint8 * 6),
        ("reserved1", c_uint32),
        ("duration_ns", c_uint64),
        ("idle_ns", c_uint64),
    )


class tether_ceiling_result(Sized):  # noqa: N801
    _fields_ = (
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        *((name, c_uint64) for name in ("frames", "bytes", "elapsed_ns")),
        ("frames_per_s", c_double),
        ("payload_bps", c_double),
        *((name, c_uint64) for name in ("ring_full", "fill_empty", "kernel_drops")),
    )
