# SPDX-License-Identifier: Apache-2.0
"""The statistics document `tether.engine.stats/1`: counters per lane, state and RTT per peer and channel.

Per lane: frames_sent, frames_received, slots_sent, slots_received, bytes_sent, bytes_received, grants_outstanding and
standing (slots), repairs, receipts, lamps, misdirected, overruns, rejects {reason: count}, and every further counter of
the library by its own name. Times are nanoseconds.
"""

from __future__ import annotations

import contextlib
from typing import Any, Optional

from . import binding
from .address import from_native
from .config import Roster
from .engine import Engine
from .errors import EngineError
from .native import reject_names
from .structs import tether_carrier_stats, tether_stats

SCHEMA = "tether.engine.stats/1"
GAUGES = frozenset(
    {
        "grants_outstanding", "standing", "reserved_cells", "free_cells", "free_tx_cells", "purse_frames", "channels",
        "flows",
    }
)  # fmt: skip
_RENAMED = {
    "grants_outstanding_slots": "grants_outstanding",
    "standing_slots": "standing",
    "repairs_sent": "repairs",
    "receipts_spent": "receipts",
    "lamps_sent": "lamps",
}
_SKIPPED = {"struct_size", "lane", "rejects"}


def lane_counters(stats: tether_stats, carrier: tether_carrier_stats, names: list[str]) -> dict[str, Any]:
    """The counters of one lane by name."""
    counters: dict[str, Any] = {}
    for name, *_ in tether_stats._fields_:
        if name not in _SKIPPED:
            counters[_RENAMED.get(name, name)] = getattr(stats, name)
    for name, *_ in tether_carrier_stats._fields_:
        if name not in _SKIPPED:
            counters[name] = getattr(carrier, name)
    counters["rejects"] = {name: stats.rejects[index] for index, name in enumerate(names)}
    return counters


def contact_document(engine: Engine, lane: int) -> Optional[dict[str, Any]]:
    """Whether a lane's own window is open, and in how many seconds that changes (null: not any more)."""
    windows = engine.windows(lane)
    if windows is None:
        return None
    now = engine.now()
    open_now, change = False, None
    for start, length in windows:
        if now < start + length:
            open_now = start <= now
            change = start + length if open_now else start
            break
    return {"open": open_now, "changes_in_s": None if change is None else round((change - now) / 1e9, 3)}


def lanes_document(engine: Engine) -> list[dict[str, Any]]:
    """One object per lane: what it is, then its counters."""
    names = reject_names()
    lanes: list[dict[str, Any]] = []
    for lane in engine.lanes:
        info = engine.lane_info(lane.lane)
        stats, carrier = engine.stats(lane.lane)
        lanes.append(
            {
                "lane": lane.lane,
                "nic": lane.nic,
                "device": lane.device,
                "queue": lane.queue,
                "link": lane.link,
                "carrier": info.carrier.decode(errors="replace"),
                "why": info.why.decode(errors="replace"),
                "zero_copy": bool(info.flags & binding.LANE_ZERO_COPY),
                "native_xdp": bool(info.flags & binding.LANE_NATIVE_XDP),
                "mtu": info.mtu,
                "ring_frames": info.ring_frames,
                "frame_blocks": info.frame_blocks,
                "address": str(from_native(info.address)),
                "contact": contact_document(engine, lane.lane),
                **lane_counters(stats, carrier, names),
            }
        )
    return lanes


def peers_document(engine: Engine, roster: Optional[Roster] = None) -> list[dict[str, Any]]:
    """One object per channel, and one for each peer of the roster that has none (state "down", lane null)."""
    peers: list[dict[str, Any]] = []
    seen: set[str] = set()
    for channel in engine.channels():
        with contextlib.suppress(EngineError):
            info = channel.info()
            seen.add(channel.peer)
            peers.append(
                {
                    "name": channel.peer,
                    "lane": channel.lane,
                    "remote_lane": info.remote_lane,
                    "state": binding.CHANNEL_STATES[info.state],
                    "contact": info.away_ns == 0,
                    "initiator": bool(info.initiator),
                    "cipher": binding.CIPHER_NAMES.get(info.cipher),
                    "address": str(from_native(info.address)),
                    "path_blocks": info.path_blocks,
                    "rtt_min_ns": info.rtt_min_ns,
                    "rtt_p50_ns": info.rtt_p50_ns,
                    "rtt_p99_ns": info.rtt_p99_ns,
                    "srtt_ns": info.srtt_ns,
                    "frames_sent": info.frames_sent,
                    "frames_received": info.frames_received,
                    "flows": info.flows,
                }
            )
    names = dict.fromkeys(peer.name for peer in roster.peers) if roster else {}
    peers.extend({"name": name, "lane": None, "state": "down"} for name in names if name not in seen)
    return peers


def document(engine: Engine, node: str, uptime_s: float, roster: Roster, transfers: int) -> dict[str, Any]:
    """The whole document."""
    return {
        "schema": SCHEMA,
        "node": node,
        "version": engine.native.library.tether_version().decode(),
        "uptime_s": round(uptime_s, 3),
        "transfers_running": transfers,
        "lanes": lanes_document(engine),
        "peers": peers_document(engine, roster),
    }
