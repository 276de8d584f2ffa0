# SPDX-License-Identifier: Apache-2.0
"""The C simulator behind ctypes: the structs of core/sim/tether_sim.h, and the library that has them."""

from __future__ import annotations

import ctypes
import os
from ctypes import c_char, c_char_p, c_int, c_int64, c_size_t, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

from tether_hw.errors import TetherError
from tether_hw.transport import structs
from tether_hw.transport.structs import Sized

NAME = "libtether-sim.so"
VARIABLE = "TETHER_SIM_LIBRARY"
ABI = 1
NONE = 0xFFFFFFFF
FOREVER = 0xFFFFFFFFFFFFFFFF

VERDICTS = ("done", "broken", "unfinished", "failed")
INVARIANTS = {
    **{number: f"I{number}" for number in range(1, 9)},
    9: "bytes",
    10: "once",
    11: "forgery",
    12: "receipts",
    13: "accounts",
    14: "call",
    15: "unknown",
}
FAULTS = {1: "loss", 2: "duplicate", 3: "reorder", 4: "corrupt", 5: "truncate", 6: "outage", 7: "script", 8: "attack"}


class Window(ctypes.Structure):
    _fields_ = (("start_ns", c_uint64), ("length_ns", c_uint64))


class Vertex(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("kind", c_uint32),
        ("node", c_uint32),
        ("lane", c_uint16),
        ("lanes", c_uint16),
        ("max_channels", c_uint32),
        ("max_flows", c_uint32),
        ("rx_cells", c_uint32),
        ("tx_cells", c_uint32),
        ("ring_frames", c_uint32),
        ("frame_blocks", c_uint16),
        ("ciphers", c_uint16),
        ("prefer_cipher", c_uint16),
        ("reserved0", c_uint16),
        ("replay_window", c_uint32),
        ("purse_frames", c_uint32),
        ("purse_per_s", c_uint32),
        ("reserved1", c_uint32),
        ("max_message", c_uint64),
        ("rtt_ns", c_uint64),
        ("rate_bps", c_uint64),
        ("silence_ns", c_uint64),
        ("clock_ns", c_uint64),
        ("drift_ppb", c_int64),
        ("ops", c_void_p),
        ("context", c_void_p),
        ("attack", c_uint32),
        ("attack_per_s", c_uint32),
        ("attack_from_ns", c_uint64),
        ("attack_until_ns", c_uint64),
        ("grant_policy", c_uint16),
        ("reserved2", c_uint16),
        ("rekey_s", c_uint32),
        ("windows", ctypes.POINTER(Window)),
        ("window_count", c_uint32),
        ("table_count", c_uint32),
        ("table", ctypes.POINTER(Window)),
    )


class Pipe(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("from_", c_uint32),
        ("to", c_uint32),
        ("overhead", c_uint32),
        ("delay_ns", c_uint64),
        ("rate_bps", c_uint64),
        ("queue_bytes", c_uint64),
        ("loss_ppm", c_uint32),
        ("burst_enter_ppm", c_uint32),
        ("burst_leave_ppm", c_uint32),
        ("burst_loss_ppm", c_uint32),
        ("duplicate_ppm", c_uint32),
        ("reorder_ppm", c_uint32),
        ("reorder_ns", c_uint64),
        ("corrupt_ppm", c_uint32),
        ("truncate_ppm", c_uint32),
        ("faults_until_ns", c_uint64),
    )


class Outage(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("pipe", c_uint32),
        ("match", c_uint32),
        ("count", c_uint32),
        ("from_ns", c_uint64),
        ("until_ns", c_uint64),
    )


class Channel(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("from_", c_uint32),
        ("to", c_uint32),
        ("reopen", c_uint32),
        ("start_ns", c_uint64),
    )


class Flow(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("channel", c_uint32),
        ("kind", c_uint8),
        ("duplex", c_uint8),
        ("close", c_uint8),
        ("reverse", c_uint8),
        ("order", c_uint8),
        ("reliability", c_uint8),
        ("scale", c_uint8),
        ("resume", c_uint8),
        ("bytes", c_uint64),
        ("messages", c_uint64),
        ("message_min", c_uint64),
        ("message_max", c_uint64),
        ("bound", c_uint64),
        ("start_ns", c_uint64),
        ("write_bps", c_uint64),
        ("read_bps", c_uint64),
        ("read_from_ns", c_uint64),
        ("deadline_ns", c_uint64),
        ("latency_ns", c_uint64),
        ("budget", c_uint64),
    )


class Event(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("kind", c_uint32),
        ("a", c_uint32),
        ("b", c_uint32),
        ("at_ns", c_uint64),
        ("value", c_uint64),
    )


class Fault(ctypes.Structure):
    _fields_ = (("kind", c_uint32), ("where", c_uint32), ("which", c_uint64))


TRACE = ctypes.CFUNCTYPE(None, c_void_p, c_uint32, ctypes.POINTER(structs.tether_trace_event))


class Config(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("abi", c_uint32),
        ("seed", c_uint64),
        ("limit_ns", c_uint64),
        ("frame_limit", c_uint64),
        ("quiet_ns", c_uint64),
        ("rtt_ns", c_uint64),
        ("vertices", ctypes.POINTER(Vertex)),
        ("pipes", ctypes.POINTER(Pipe)),
        ("routes", ctypes.POINTER(c_uint32)),
        ("channels", ctypes.POINTER(Channel)),
        ("flows", ctypes.POINTER(Flow)),
        ("events", ctypes.POINTER(Event)),
        ("outages", ctypes.POINTER(Outage)),
        ("only", ctypes.POINTER(Fault)),
        ("vertex_count", c_uint32),
        ("pipe_count", c_uint32),
        ("channel_count", c_uint32),
        ("flow_count", c_uint32),
        ("event_count", c_uint32),
        ("outage_count", c_uint32),
        ("only_count", c_uint32),
        ("only_set", c_uint32),
        ("trace", TRACE),
        ("trace_context", c_void_p),
    )


class Result(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("verdict", c_uint32),
        ("invariant", c_uint32),
        ("vertex", c_uint32),
        ("at_ns", c_uint64),
        ("frames", c_uint64),
        ("steps", c_uint64),
        ("checks", c_uint64),
        ("fault_count", c_uint64),
        ("last_fault_ns", c_uint64),
        ("done_ns", c_uint64),
        ("message", c_char * 400),
    )


class StreamResult(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("flow", c_uint32),
        ("direction", c_uint32),
        ("complete", c_uint32),
        ("written_bytes", c_uint64),
        ("delivered_bytes", c_uint64),
        ("written_messages", c_uint64),
        ("delivered_messages", c_uint64),
        ("cancelled_messages", c_uint64),
        ("unknown_messages", c_uint64),
        ("lost_messages", c_uint64),
        ("unsent_messages", c_uint64),
        ("hole_bytes", c_uint64),
        ("first_write_ns", c_uint64),
        ("first_arrival_ns", c_uint64),
        ("done_ns", c_uint64),
        ("arrived_bytes", c_uint64),
        ("steady_from_ns", c_uint64),
        ("steady_until_ns", c_uint64),
        ("steady_bytes", c_uint64),
        ("duplicates", c_uint64),
        ("opens", c_uint32),
        ("reserved", c_uint32),
    )


class PipeResult(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("pipe", c_uint32),
        ("carried_frames", c_uint64),
        ("carried_bytes", c_uint64),
        ("lost", c_uint64),
        ("burst_lost", c_uint64),
        ("outage_lost", c_uint64),
        ("queue_dropped", c_uint64),
        ("corrupted", c_uint64),
        ("truncated", c_uint64),
        ("duplicated", c_uint64),
        ("reordered", c_uint64),
        ("queue_peak_bytes", c_uint64),
    )


class VertexResult(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("vertex", c_uint32),
        ("stats", structs.tether_stats),
        ("before", structs.tether_stats),
        ("lives", c_uint64),
        ("peak_cells", c_uint64),
        ("peak_outstanding", c_uint64),
        ("received_frames", c_uint64),
        ("accepted_frames", c_uint64),
        ("attack_frames", c_uint64),
        ("blind_resent", c_uint64),
        ("blind_done_ns", c_uint64),
    )


SIZES: dict[str, type[ctypes.Structure]] = {
    "tether_window": Window,
    "tether_sim_vertex": Vertex,
    "tether_sim_pipe": Pipe,
    "tether_sim_outage": Outage,
    "tether_sim_channel": Channel,
    "tether_sim_flow": Flow,
    "tether_sim_event": Event,
    "tether_sim_fault": Fault,
    "tether_sim_config": Config,
    "tether_sim_result": Result,
    "tether_sim_stream_result": StreamResult,
    "tether_sim_pipe_result": PipeResult,
    "tether_sim_vertex_result": VertexResult,
}


def find() -> Path:
    """The library's file: the environment's word alone, else in the package, else in the build folder."""
    named = os.environ.get(VARIABLE)
    package = Path(__file__).resolve().parent.parent
    places = [Path(named)] if named else [package / "transport" / NAME, package.parent / "build" / "native" / NAME]
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(str(place) for place in places)
    raise TetherError(f"{NAME} was not found (looked at {looked})", hint=f"make build, or name it in {VARIABLE}")


@cache
def load(path: Path) -> Any:
    """The library at `path`, checked against the structs above. Raises TetherError."""
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise TetherError(f"{path} cannot be loaded: {error}") from None
    library.tether_sim_struct_size.restype = c_size_t
    library.tether_sim_struct_size.argtypes = [c_char_p]
    library.tether_sim_broken_build.restype = c_char_p
    wrong = [
        name for name, struct in SIZES.items() if library.tether_sim_struct_size(name.encode()) != ctypes.sizeof(struct)
    ]
    if library.tether_sim_abi() != ABI or wrong:
        raise TetherError(f"{path} is of another version ({', '.join(wrong) or 'ABI'})", hint="make build")
    library.tether_sim_new.argtypes = [ctypes.POINTER(Config), ctypes.POINTER(c_void_p)]
    library.tether_sim_run.argtypes = [c_void_p, ctypes.POINTER(Result)]
    library.tether_sim_stream.argtypes = [c_void_p, c_uint32, c_uint32, ctypes.POINTER(StreamResult)]
    library.tether_sim_pipe_stats.argtypes = [c_void_p, c_uint32, ctypes.POINTER(PipeResult)]
    library.tether_sim_vertex_stats.argtypes = [c_void_p, c_uint32, ctypes.POINTER(VertexResult)]
    library.tether_sim_faults.argtypes = [c_void_p, ctypes.POINTER(Fault), c_size_t]
    library.tether_sim_faults.restype = c_size_t
    library.tether_sim_identity.argtypes = [c_uint64, c_uint32, ctypes.POINTER(c_uint8), ctypes.POINTER(c_uint8)]
    library.tether_sim_free.argtypes = [c_void_p]
    library.tether_sim_free.restype = None
    library.tether_strerror.argtypes = [c_int]
    library.tether_strerror.restype = c_char_p
    library.tether_trace_line.argtypes = [ctypes.POINTER(structs.tether_trace_event), c_char_p, c_char_p, c_size_t]
    return library
