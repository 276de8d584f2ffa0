# SPDX-License-Identifier: Apache-2.0
"""Round trips of messages through a peer's echo service: lane threads, both daemons and their Python included."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any, Optional

from .channel import Channel
from .engine import Engine
from .errors import EngineError, TimedOut, TransportError
from .services import ECHO_HELLO

SCHEMA = "tether.engine.ping/1"


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least `share` of all are not above; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def ping_channel(channel: Channel, count: int, size: int, interval_s: float, timeout_s: float) -> dict[str, Any]:
    """`count` messages of `size` bytes, one after the other, over one channel. Times in nanoseconds."""
    samples: list[float] = []
    lost = 0
    with channel.open_flow("message", max(size, len(ECHO_HELLO))) as flow:
        flow.send(ECHO_HELLO, timeout_s)
        for number in range(count):
            if number and interval_s:
                time.sleep(interval_s)
            message = number.to_bytes(8, "little")[:size] + os.urandom(max(0, size - 8))
            begun = time.perf_counter_ns()
            flow.send(message, timeout_s)
            try:
                while flow.recv(timeout_s) != message:
                    pass  # a late answer to a ping that was given up
                samples.append(float(time.perf_counter_ns() - begun))
            except TimedOut:
                lost += 1
    info = channel.info()
    return {
        "lane": channel.lane,
        "remote_lane": info.remote_lane,
        "sent": count,
        "received": len(samples),
        "lost": lost,
        "rtt_min_ns": round(min(samples, default=0.0)),
        "rtt_p50_ns": round(percentile(samples, 0.5)),
        "rtt_p99_ns": round(percentile(samples, 0.99)),
        "rtt_max_ns": round(max(samples, default=0.0)),
        "link_rtt_p50_ns": info.rtt_p50_ns,
        "link_rtt_p99_ns": info.rtt_p99_ns,
        "samples": samples,
    }


def ping(
    engine: Engine,
    node: str,
    peer: str,
    count: int,
    size: int,
    interval_s: float,
    timeout_s: float,
    lane: Optional[int],
) -> dict[str, Any]:
    """The document `tether.engine.ping/1` over every channel to a peer, or over that of one lane."""
    channels = [channel for channel in engine.channels(peer) if lane is None or channel.lane == lane]
    if not channels:
        raise TransportError(f"no channel to {peer} is up", "`stats` shows what is; is its engine running?")
    lanes: list[dict[str, Any]] = []
    for channel in channels:
        with contextlib.suppress(EngineError):
            lanes.append(ping_channel(channel, count, size, interval_s, timeout_s))
    if not lanes:
        raise TransportError(f"every channel to {peer} went down during the ping")
    everything = [sample for entry in lanes for sample in entry.pop("samples")]
    return {
        "schema": SCHEMA,
        "from": node,
        "peer": peer,
        "bytes": size,
        "sent": sum(entry["sent"] for entry in lanes),
        "received": sum(entry["received"] for entry in lanes),
        "lost": sum(entry["lost"] for entry in lanes),
        "rtt_p50_ns": round(percentile(everything, 0.5)),
        "rtt_p99_ns": round(percentile(everything, 0.99)),
        "lanes": lanes,
    }
