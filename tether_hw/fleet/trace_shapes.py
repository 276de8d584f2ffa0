# SPDX-License-Identifier: Apache-2.0
"""The shapes of traces: each line of a trace file is one object."""

from __future__ import annotations

from tether_hw.fleet.shape_words import Schema, arr, document, flag, number, obj, text, whole

_EVENTS = (
    "sent", "received", "rejected", "granted", "nack", "repair", "void", "delivered", "receipt", "blocked", "refresh",
    "lamp", "up", "down", "pace", "dropped", "full",
)  # fmt: skip
_FIELDS: dict[str, Schema] = {
    "schema": {"const": "tether.trace/1", "description": "first line of a file only"},
    "clock": text("first line: monotonic (an engine's) or virtual (a simulation's)"),
    "at_ns": whole("on that clock"),
    "event": text("docs/trace.md says what each means", *_EVENTS),
    "node": text("the end that tells it"),
    "lane": whole(),
    "channel": whole("this end's index; 0: none yet"),
    "flow": whole(),
    "sequence": whole("of the frame that it is about"),
    "slot": whole("first slot, or the slot below which something holds"),
    "count": whole("slots"),
    "bytes": whole("payload"),
    "demand": whole("granted: what the peer has declared"),
    "tries": whole("blocked, refresh: how often in a row"),
    "left": whole("receipt: receipts that are left"),
    "blocks": whole("lamp: of the frame, its header counted"),
    "counter": whole("lamp: of the Hail; 0: a reply"),
    "remote": whole("up: the peer's index of this channel"),
    "answered": whole("up: 1 when the peer hailed"),
    "status": whole("down: 0 or a negative errno"),
    "slots_per_s": number("pace"),
    "reason": text("rejected: by the RFC, section 14.1; channel, flow and sequence are unproven then"),
    "heard": flag("the peer's word, from a verified frame"),
    "ember": flag("beyond the grant"),
    "duplicate": flag("had arrived before"),
    "events": whole("dropped: how many could not be written"),
}
TRACE = obj("one line of a trace", tuple(_FIELDS), True, **_FIELDS)

SIM_DRAW = document(
    "tether.sim.draw/1", "a picture was drawn", file=text(), events=whole("of the trace"), nodes=arr(text())
)

TRACE_SHAPES: dict[str, Schema] = {"tether.trace/1": TRACE, "tether.sim.draw/1": SIM_DRAW}
