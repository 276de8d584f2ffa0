# SPDX-License-Identifier: Apache-2.0
"""One run of a scenario, and what it came to as a tether.sim/1 document."""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tether_hw.errors import TetherError
from tether_hw.sim import native
from tether_hw.sim.build import KINDS, Built, build
from tether_hw.sim.model import Scenario
from tether_hw.sim.tracer import Tracer

SCHEMA = "tether.sim/1"
FAULTS_MOST = 65536
Fault = tuple[int, int, int]


@dataclass
class Outcome:
    """Everything that is known after a run."""

    built: Built
    result: native.Result
    streams: list[native.StreamResult]
    pipes: list[native.PipeResult]
    vertices: list[native.VertexResult]
    faults: list[Fault]
    seconds: float
    beside: Outcome | None = field(default=None)

    @property
    def verdict(self) -> str:
        return native.VERDICTS[self.result.verdict]

    @property
    def good(self) -> bool:
        return bool(self.result.verdict == 0)

    @property
    def invariant(self) -> str:
        return native.INVARIANTS.get(self.result.invariant, "")

    @property
    def message(self) -> str:
        return bytes(self.result.message).decode(errors="replace")


def run_built(
    built: Built, only: list[Fault] | None = None, library: Path | None = None, trace: Tracer | None = None
) -> Outcome:
    """Run a description to its end. Raises TetherError when it cannot be begun."""
    lib = native.load(library or native.find())
    parties: list[Any] = []
    if any(vertex.kind == KINDS["python"] for vertex in built.vertices):
        from tether_hw.sim import foreign  # the reference, and the cryptography that it needs

        parties = foreign.attach(built, lib)
    config = built.config(only)
    if trace is not None:
        config.trace = trace.listen(lib, built.vertex_names)
    pointer = ctypes.c_void_p()
    began = time.monotonic()
    code = lib.tether_sim_new(ctypes.byref(config), ctypes.byref(pointer))
    if code:
        words = (lib.tether_strerror(code) or b"").decode()
        raise TetherError(f"the simulation cannot begin: {words} ({code})")
    try:
        result = native.Result()
        lib.tether_sim_run(pointer, ctypes.byref(result))
        streams = []
        for index, flow in enumerate(built.flows):
            for direction in range(2):
                if flow.duplex or direction == flow.reverse:
                    stream = native.StreamResult()
                    lib.tether_sim_stream(pointer, index, direction, ctypes.byref(stream))
                    streams.append(stream)
        pipes = []
        for index in range(len(built.pipes)):
            pipe = native.PipeResult()
            lib.tether_sim_pipe_stats(pointer, index, ctypes.byref(pipe))
            pipes.append(pipe)
        vertices = []
        for index in range(len(built.vertices)):
            vertex = native.VertexResult()
            lib.tether_sim_vertex_stats(pointer, index, ctypes.byref(vertex))
            vertices.append(vertex)
        array = (native.Fault * FAULTS_MOST)()
        count = lib.tether_sim_faults(pointer, array, FAULTS_MOST)
        faults = [(fault.kind, fault.where, fault.which) for fault in array[:count]]
    finally:
        lib.tether_sim_free(pointer)
        parties.clear()
    return Outcome(built, result, streams, pipes, vertices, faults, time.monotonic() - began)


def run(
    scenario: Scenario,
    seed: int,
    only: list[Fault] | None = None,
    library: Path | None = None,
    trace: Tracer | None = None,
) -> Outcome:
    """One run of a scenario; where it asks for it, the same by senders without credit beside it (never traced)."""
    outcome = run_built(build(scenario, seed), only, library, trace)
    if scenario.blind and outcome.good:
        outcome.beside = run_built(build(scenario, seed, blind=True), only, library)
    return outcome


# ------------------------------------------------------------------ the document


def document(name: str, outcome: Outcome) -> dict[str, Any]:
    """The tether.sim/1 document."""
    built, result = outcome.built, outcome.result
    text: dict[str, Any] = {
        "schema": SCHEMA,
        "scenario": name,
        "seed": built.seed,
        "verdict": outcome.verdict,
        "invariant": outcome.invariant or None,
        "message": outcome.message or None,
        "at": built.vertex_names[result.vertex] if outcome.invariant and result.vertex < len(built.vertices) else None,
        "virtual_s": result.at_ns / 1e9,
        "done_s": result.done_ns / 1e9,
        "frames": result.frames,
        "steps": result.steps,
        "checks": result.checks,
        "faults": result.fault_count,
        "wall_s": round(outcome.seconds, 3),
        "flows": [_flow(built, stream) for stream in outcome.streams],
        "links": [_pipe(built, pipe) for pipe in outcome.pipes if pipe.carried_frames or pipe.queue_dropped],
        "nodes": [_vertex(built, index, vertex) for index, vertex in enumerate(outcome.vertices)],
    }
    text["nodes"] = [node for node in text["nodes"] if node is not None]
    if built.scenario.measure == "share":
        text["share"] = share(outcome)
    if built.scenario.measure == "incast":
        text["incast"] = incast(outcome)
    return text


def _flow(built: Built, stream: native.StreamResult) -> dict[str, Any]:
    channel = built.channels[built.flows[stream.flow].channel]
    ends = (channel.from_, channel.to)
    lasted = (stream.done_ns - stream.first_write_ns) / 1e9
    return {
        "flow": stream.flow,
        "from": built.vertex_names[ends[stream.direction]],
        "to": built.vertex_names[ends[1 - stream.direction]],
        "complete": bool(stream.complete),
        "written_bytes": stream.written_bytes,
        "delivered_bytes": stream.delivered_bytes,
        "messages": {
            "written": stream.written_messages,
            "delivered": stream.delivered_messages,
            "cancelled": stream.cancelled_messages,
            "unknown": stream.unknown_messages,
        },
        "begun_s": stream.first_write_ns / 1e9,
        "done_s": stream.done_ns / 1e9,
        "goodput_bps": round(stream.delivered_bytes * 8 / lasted) if lasted > 0 else 0,
        "opens": stream.opens,
    }


def _pipe(built: Built, pipe: native.PipeResult) -> dict[str, Any]:
    config = built.pipes[pipe.pipe]
    return {
        "from": built.vertex_names[config.from_],
        "to": built.vertex_names[config.to],
        "frames": pipe.carried_frames,
        "bytes": pipe.carried_bytes,
        "lost": pipe.lost,
        "lost_in_bursts": pipe.burst_lost,
        "lost_in_outages": pipe.outage_lost,
        "dropped_at_queue": pipe.queue_dropped,
        "queue_peak_bytes": pipe.queue_peak_bytes,
        "corrupted": pipe.corrupted,
        "truncated": pipe.truncated,
        "duplicated": pipe.duplicated,
        "reordered": pipe.reordered,
    }


COUNTERS = (
    "frames_sent", "frames_received", "data_frames_sent", "data_frames_received", "bytes_sent", "bytes_received",
    "messages_sent", "messages_received", "repairs_sent", "duplicates_received", "nacks_sent", "nacks_received",
    "receipts_earned", "receipts_spent", "lamps_sent", "lamps_received", "blocked_sent", "refresh_sent",
    "rekeys", "embers_sent", "skips_sent", "skips_received", "grants_sent", "invariant_violations",
)  # fmt: skip


def _vertex(built: Built, index: int, vertex: native.VertexResult) -> dict[str, Any] | None:
    kind = built.vertices[index].kind
    name = built.vertex_names[index]
    if kind == KINDS["attacker"]:
        return {"node": name, "attack_frames": vertex.attack_frames}
    if kind not in (KINDS["endpoint"], KINDS["python"]):
        return None
    stats, before = vertex.stats, vertex.before
    rejects = {
        reason: stats.rejects[at] + before.rejects[at]
        for at, reason in enumerate(reject_names())
        if stats.rejects[at] + before.rejects[at]
    }
    return {
        "node": name,
        "lives": vertex.lives,
        "counters": {name: getattr(stats, name) + getattr(before, name) for name in COUNTERS},
        "rejects": rejects,
        "peak_cells": vertex.peak_cells,
        "peak_granted_frames": vertex.peak_outstanding,
    }


def reject_names() -> list[str]:
    """Names of the reasons, in the order of the counters."""
    lib = native.load(native.find())
    lib.tether_reject_name.restype = ctypes.c_char_p
    return [lib.tether_reject_name(index).decode() for index in range(lib.tether_reject_count())]


def share(outcome: Outcome) -> dict[str, Any]:
    """How much of the link new payload took, and what buffer that needed, in bandwidth-delay products."""
    built = outcome.built
    stream = outcome.streams[0]
    channel = built.channels[built.flows[stream.flow].channel]
    receiver = (channel.to, channel.from_)[stream.direction]
    vertex = built.vertices[receiver]
    frame = 64 * (vertex.frame_blocks + 1) + built.pipes[0].overhead
    bdp_frames = built.rate_bps * built.rtt_ns / 8e9 / frame
    steady_ns = stream.steady_until_ns - stream.steady_from_ns
    whole_ns = stream.done_ns - built.channels[0].start_ns
    grantable = min(vertex.rx_cells, vertex.ring_frames - vertex.ring_frames // 4)

    def part(size: int, lasted_ns: int) -> float | None:
        return round(size * 8e9 / lasted_ns / built.rate_bps, 4) if lasted_ns > 0 else None

    return {
        "rate_bps": built.rate_bps,
        "rtt_s": built.rtt_ns / 1e9,
        "link_share_steady": part(stream.steady_bytes, steady_ns),
        "link_share_whole": part(stream.delivered_bytes, whole_ns),
        "steady_rtts": round(steady_ns / built.rtt_ns, 2) if steady_ns > 0 else 0,
        "whole_rtts": round(whole_ns / built.rtt_ns, 2),
        "bdp_frames": round(bdp_frames),
        "buffer_bdp": round(grantable / bdp_frames, 3),
        "ungranted_bdp": round((vertex.ring_frames - grantable) / bdp_frames, 3),
        "peak_cells_bdp": round(outcome.vertices[receiver].peak_cells / bdp_frames, 3),
        "peak_granted_bdp": round(outcome.vertices[receiver].peak_outstanding / bdp_frames, 3),
        "send_buffer_bdp": round(built.vertices[built.channels[0].from_].tx_cells / bdp_frames, 3),
    }


def incast(outcome: Outcome) -> dict[str, Any]:
    """Completion times of all flows against the ideal: all bytes on the wire at the rate, and one round trip."""
    built = outcome.built

    def times(done: list[int], begun: int) -> dict[str, Any]:
        lasted = sorted(value - begun for value in done)
        if not lasted:
            return {}
        return {
            "p50_us": lasted[len(lasted) // 2] / 1e3,
            "p99_us": lasted[min(len(lasted) - 1, len(lasted) * 99 // 100)] / 1e3,
            "p99_over_ideal": round(lasted[min(len(lasted) - 1, len(lasted) * 99 // 100)] / ideal, 3),
        }

    vertex = built.vertices[0]
    payload = 64 * vertex.frame_blocks
    wire = 0
    for flow in built.flows:
        full, rest = divmod(flow.bytes, payload)
        wire += full * (payload + 64 + 38) + ((-(-rest // 64) * 64 + 64 + 38) if rest else 0)
    ideal = wire * 8e9 / built.rate_bps + built.rtt_ns
    begun = built.flows[0].start_ns
    text = {
        "flows": len(built.flows),
        "ideal_us": ideal / 1e3,
        **times([stream.done_ns for stream in outcome.streams], begun),
        "dropped_at_queues": sum(pipe.queue_dropped for pipe in outcome.pipes),
        "queue_peak_bytes": max(pipe.queue_peak_bytes for pipe in outcome.pipes),
        "repairs": sum(vertex.stats.repairs_sent for vertex in outcome.vertices),
    }
    if outcome.beside is not None:
        beside = outcome.beside
        done = [vertex.blind_done_ns for vertex in beside.vertices if vertex.blind_done_ns]
        text["blind"] = {
            **times(done, begun),
            "dropped_at_queues": sum(pipe.queue_dropped for pipe in beside.pipes),
            "queue_peak_bytes": max(pipe.queue_peak_bytes for pipe in beside.pipes),
            "sent_again": sum(vertex.blind_resent for vertex in beside.vertices),
        }
    return text
