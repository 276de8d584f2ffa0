# SPDX-License-Identifier: Apache-2.0
"""Events paired into directions: who sends on which flow, who receives it, and what each of them saw of it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tether_hw.trace.events import Event, Trace

End = tuple[str, int]  # node and its own index of the channel

# Whose direction of a flow an event is about: that of the end which tells it, or that of its peer.
_OURS = {"sent", "repair"}
_THEIRS = {"received", "void", "delivered", "refresh"}
_OURS_UNLESS_HEARD = {"blocked"}
_THEIRS_UNLESS_HEARD = {"granted", "nack", "receipt", "pace"}


@dataclass
class Direction:
    """One direction of one flow. An end whose node wrote no trace is None."""

    flow: int
    sender: End | None
    receiver: End | None
    at_sender: list[Event] = field(default_factory=list)
    at_receiver: list[Event] = field(default_factory=list)

    @property
    def data_frames(self) -> int:
        """Data frames that either end tells of, first times only."""
        sent = sum(event.kind == "sent" for event in self.at_sender)
        return sent or sum(event.kind == "received" and event.count > 0 for event in self.at_receiver)

    def lost(self) -> list[Event]:
        """Data frames that left and never arrived; empty unless both ends were traced."""
        if self.sender is None or self.receiver is None or not self.at_receiver:
            return []
        arrived = {event.frame: event.at_ns for event in self.at_receiver if event.kind == "received"}
        sent = [event for event in self.at_sender if event.kind in ("sent", "repair") and event.sequence]
        slowest = max((arrived[event.frame] - event.at_ns for event in sent if event.frame in arrived), default=0)
        end = self.at_receiver[-1].at_ns
        return [event for event in sent if event.frame not in arrived and event.at_ns + 2 * slowest < end]


def peers(trace: Trace) -> dict[End, End]:
    """Which end speaks with which: by the indices of `up`, else by being the only one that there is."""
    found: dict[End, End] = {}
    ups = [event for event in trace.events if event.kind == "up"]
    for one in ups:
        for other in ups:
            if one.node != other.node and one.remote == other.channel and other.remote == one.channel and one.remote:
                found[(one.node, one.channel)] = (other.node, other.channel)
    ends = {(event.node, event.channel) for event in trace.events if event.channel and event.flow}
    if not found and len(ends) == 2 and len({node for node, _ in ends}) == 2:
        one_end, other_end = sorted(ends)
        found = {one_end: other_end, other_end: one_end}
    return found


def directions(trace: Trace) -> list[Direction]:
    """Every direction that carried or wanted data, in the order in which they begin."""
    known = peers(trace)
    found: dict[tuple[End | None, End | None, int], Direction] = {}
    begun: dict[tuple[End | None, End | None, int], int] = defaultdict(lambda: len(begun))
    for event in trace.events:
        if not event.channel:
            continue
        here = (event.node, event.channel)
        there = known.get(here)
        ours = event.kind in _OURS
        ours = ours or (event.kind in _OURS_UNLESS_HEARD and not event.heard)
        ours = ours or (event.kind in _THEIRS_UNLESS_HEARD and event.heard)
        if not ours and event.kind not in _THEIRS | _OURS_UNLESS_HEARD | _THEIRS_UNLESS_HEARD:
            continue
        key = (here, there, event.flow) if ours else (there, here, event.flow)
        direction = found.setdefault(key, Direction(event.flow, key[0], key[1]))
        (direction.at_sender if ours else direction.at_receiver).append(event)
        begun[key]
    worth = [key for key, direction in found.items() if direction.data_frames or _wants(direction)]
    return [found[key] for key in sorted(worth, key=lambda key: begun[key])]


def _wants(direction: Direction) -> bool:
    return any(event.kind == "blocked" and event.count for event in direction.at_sender)
