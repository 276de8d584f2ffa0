# SPDX-License-Identifier: Apache-2.0
"""The lines of a trace (tether.trace/1) as events."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tether_hw.errors import InputErrors, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMA = "tether.trace/1"
MOST_PROBLEMS = 20
#: Event -> the fields beside at_ns, node, lane, channel and flow that it must have.
KINDS: dict[str, tuple[str, ...]] = {
    "sent": ("slot", "count", "bytes"),
    "received": ("slot", "count", "bytes"),
    "rejected": ("reason",),
    "granted": ("slot", "count"),
    "nack": ("slot", "count"),
    "repair": ("slot", "count", "bytes"),
    "void": ("slot", "count"),
    "delivered": ("slot", "bytes"),
    "receipt": ("slot",),
    "blocked": ("slot", "count"),
    "refresh": ("slot", "count"),
    "lamp": ("blocks",),
    "up": (),
    "down": ("status",),
    "pace": ("slots_per_s",),
}
_NUMBERS = ("at_ns", "lane", "channel", "flow", "slot", "count", "bytes", "sequence", "blocks", "slots_per_s", "remote")


@dataclass(frozen=True)
class Event:
    """One event. `heard`: it tells what a frame of the peer said."""

    at_ns: int
    node: str
    lane: int
    channel: int
    flow: int
    kind: str
    sequence: int = 0
    slot: int = 0
    count: int = 0
    bytes: int = 0
    heard: bool = False
    ember: bool = False
    duplicate: bool = False
    remote: int = 0
    slots_per_s: int = 0
    status: int = 0
    reason: str = ""

    @property
    def frame(self) -> tuple[int, int]:
        """What both ends know a data frame by: sequences begin anew with new keys, slots go on."""
        return self.sequence, self.slot


@dataclass
class Trace:
    """Events of one or several nodes by time, and how many of each node were dropped before they were written."""

    events: list[Event] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)

    def nodes(self) -> list[str]:
        """The nodes by name."""
        return sorted({event.node for event in self.events})


def read(sources: Iterable[tuple[str, Iterable[str]]]) -> Trace:
    """A trace from (file name, its lines); several files are merged by time. InputErrors names every bad line."""
    trace, problems = Trace(), list[Problem]()
    for file, lines in sources:
        begun = False
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            wrong = _line(trace, line, first=not begun)
            begun = True
            if wrong:
                hint = "is it a trace? `tether-engine serve --trace FILE` writes one" if number == 1 else None
                problems.append(Problem(file, number, 1, wrong[0], wrong[1], hint))
            if len(problems) >= MOST_PROBLEMS:
                raise InputErrors(problems)
        if not begun:
            problems.append(Problem(file, 0, 0, "", "is empty"))
    if problems:
        raise InputErrors(problems)
    trace.events.sort(key=lambda event: event.at_ns)
    return trace


def _line(trace: Trace, line: str, *, first: bool) -> tuple[str, str] | None:
    """Take one line in; what is wrong with it as (field, words)."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        return "", f"no JSON: {error}"
    if not isinstance(entry, dict):
        return "", "is no JSON object"
    if first or "schema" in entry:
        return None if entry.get("schema") == SCHEMA else ("schema", f"{entry.get('schema')!r} is not {SCHEMA!r}")
    kind, node = entry.get("event"), entry.get("node")
    if not isinstance(kind, str) or not isinstance(node, str):
        return ("node" if isinstance(kind, str) else "event"), "must be text"
    if kind == "dropped" and isinstance(entry.get("events"), int):
        trace.dropped[node] = trace.dropped.get(node, 0) + entry["events"]
    elif kind == "full":
        trace.cut.add(node)
    elif kind in KINDS:  # a later version may have more
        wrong = _wrong(entry, kind)
        if wrong:
            return wrong
        trace.events.append(_event(entry, kind, node))
    return None


def _wrong(entry: dict[str, Any], kind: str) -> tuple[str, str] | None:
    for name in ("at_ns", "channel", "flow", *KINDS[kind]):
        if name not in entry:
            return name, f"is missing in an event {kind!r}"
    for name in _NUMBERS:
        value = entry.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            return name, f"{value!r} is no number from 0"
    return None


def _event(entry: dict[str, Any], kind: str, node: str) -> Event:
    return Event(
        at_ns=entry["at_ns"],
        node=node,
        lane=entry.get("lane", 0),
        channel=entry["channel"],
        flow=entry["flow"],
        kind=kind,
        sequence=entry.get("sequence", 0),
        slot=entry.get("slot", 0),
        count=entry.get("count", 0),
        bytes=entry.get("bytes", 0),
        heard=entry.get("heard") is True,
        ember=entry.get("ember") is True,
        duplicate=entry.get("duplicate") is True,
        remote=entry.get("remote", 0),
        slots_per_s=entry.get("slots_per_s", 0),
        status=entry["status"] if isinstance(entry.get("status"), int) else 0,
        reason=str(entry.get("reason", "")),
    )
