# SPDX-License-Identifier: Apache-2.0
"""Contact windows and round trips that change: plans in calendar time, turned into the engine's monotonic clock.

A plan says when a link can be used and how long its round trip is. People write calendar time; the protocol knows the
monotonic clock of who declares and nothing else. Where the two meet is here, on the declaring host: what is declared is
always of its own clock, and declared again when the calendar was set, or when windows have passed and more are to come.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Optional

from .errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .native import Native

WINDOWS_MAX = 16  # what an endpoint declares at a time (RFC 0001, T-WIN-2)
PIECES_MAX = 4096  # looked at to find them
TICK_S = 0.5
TOLERANCE_NS = 10_000_000  # how far the calendar may have drifted from what was declared
SPENT = 4  # so many windows of a longer plan have passed: time to declare the next

NEVER = ((0, 1),)  # windows that are over: no contact until others are declared

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """Contact from `start_unix_ns` on (ns since 1970, UTC) for `length_ns`; again every `every_ns`, if that is set."""

    start_unix_ns: int
    length_ns: int
    every_ns: Optional[int] = None

    def to_json(self) -> dict[str, Any]:
        """The JSON object of this window."""
        document = {"start_unix_ns": self.start_unix_ns, "length_ns": self.length_ns}
        return document if self.every_ns is None else {**document, "every_ns": self.every_ns}

    def from_now(self, unix_ns: int) -> Iterator[Pair]:
        """(start, end) of this window and its repetitions that are not over at `unix_ns`."""
        if self.every_ns is None:
            if self.start_unix_ns + self.length_ns > unix_ns:
                yield self.start_unix_ns, self.start_unix_ns + self.length_ns
            return
        passed = max(0, (unix_ns - self.start_unix_ns - self.length_ns) // self.every_ns + 1)
        for number in itertools.count(passed):
            start = self.start_unix_ns + number * self.every_ns
            yield start, start + self.length_ns


@dataclass(frozen=True)
class RoundTrip:
    """The round trip of the link from `from_unix_ns` on."""

    from_unix_ns: int
    rtt_ns: int

    def to_json(self) -> dict[str, Any]:
        """The JSON object of this entry."""
        return {"from_unix_ns": self.from_unix_ns, "rtt_ns": self.rtt_ns}


@dataclass(frozen=True)
class Contact:
    """A link's plan. No windows: always in contact. No round trips: the link's constant."""

    windows: tuple[Window, ...] = ()
    rtt: tuple[RoundTrip, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The JSON object of this plan."""
        return {
            "windows": [window.to_json() for window in self.windows],
            "rtt": [entry.to_json() for entry in self.rtt],
        }

    def upcoming(self, unix_ns: int, most: int = WINDOWS_MAX) -> list[Pair]:
        """The next windows, (start, end) in ns since 1970, by time; those that meet are one."""
        found: list[Pair] = []
        every = heapq.merge(*(window.from_now(unix_ns) for window in self.windows))
        for start, end in itertools.islice(every, PIECES_MAX):
            if found and start <= found[-1][1]:
                found[-1] = (found[-1][0], max(end, found[-1][1]))
            elif len(found) == most:
                break
            else:
                found.append((start, end))
        return found

    def declared(self, unix_ns: int, clock_ns: int) -> list[Pair]:
        """Windows as (start, length) on a clock that reads `clock_ns` at `unix_ns`. Empty: none are planned."""
        if not self.windows:
            return []
        pairs: list[Pair] = []
        for start, end in self.upcoming(unix_ns):
            first, last = max(0, start - unix_ns + clock_ns), end - unix_ns + clock_ns
            pairs.append((first, last - first))
        return pairs or list(NEVER)

    def round_trips(self, unix_ns: int, clock_ns: int) -> list[Pair]:
        """The table as (from, round trip) on that clock: what holds now, and what follows."""
        past = [entry for entry in self.rtt if entry.from_unix_ns <= unix_ns]
        rest = [entry for entry in self.rtt if entry.from_unix_ns > unix_ns]
        return [
            (max(0, entry.from_unix_ns - unix_ns + clock_ns), entry.rtt_ns)
            for entry in [*past[-1:], *rest][:WINDOWS_MAX]
        ]


@dataclass
class _Lane:
    contact: Contact
    offset_ns: int
    windows: Sequence[Pair]
    table: Sequence[Pair]
    refresh_ns: Optional[int]  # on the engine's clock: when the next part of a longer plan is due


class Declarer:
    """Declares the plans of an engine's lanes and keeps them true. Its thread runs only where there is a plan."""

    def __init__(self, native: Native, calendar: Callable[[], int] = time.time_ns) -> None:
        self._native = native
        self._calendar = calendar
        self._lock = threading.Lock()
        self._lanes: dict[int, _Lane] = {}
        self._stopping = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._started = False

    def plan(self, plans: Mapping[int, Optional[Contact]]) -> None:
        """Declare the plans of these lanes; None takes one back: always in contact, by the link's constant."""
        with self._lock:
            for lane, contact in plans.items():
                if contact is not None:
                    self._declare(lane, contact)
                elif self._lanes.pop(lane, None) is not None:
                    self._native.windows(lane, ())
                    self._native.rtt_table(lane, ())
        self._run_where_needed()

    def windows(self, lane: int) -> Optional[Sequence[Pair]]:
        """What is declared for a lane, (start, length) on the engine's clock; None: it has no windows."""
        with self._lock:
            known = self._lanes.get(lane)
            return known.windows if known is not None and known.windows else None

    def start(self) -> None:
        """The engine runs: begin to keep."""
        self._started = True
        self._run_where_needed()

    def stop(self) -> None:
        """Keep no more; what was declared stays."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def refresh(self) -> None:
        """Declare anew what is no longer true: the calendar was set, or windows have passed and more are to come."""
        with self._lock:
            for lane, known in list(self._lanes.items()):
                clock_ns = self._native.now()
                moved = abs(self._calendar() - clock_ns - known.offset_ns) > TOLERANCE_NS
                if moved or (known.refresh_ns is not None and clock_ns >= known.refresh_ns):
                    self._declare(lane, known.contact)

    def _run_where_needed(self) -> None:
        if self._started and self._lanes and self._thread is None and not self._stopping.is_set():
            self._thread = threading.Thread(target=self._run, name="tether-contact", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(TICK_S):
            try:
                self.refresh()
            except EngineError:
                if not self._stopping.is_set():
                    raise

    def _declare(self, lane: int, contact: Contact) -> None:
        before = self._native.now()
        unix_ns = self._calendar()
        clock_ns = (before + self._native.now()) // 2
        windows = contact.declared(unix_ns, clock_ns)
        table = contact.round_trips(unix_ns, clock_ns)
        self._native.windows(lane, windows)
        self._native.rtt_table(lane, table)
        due: list[int] = []
        if len(windows) == WINDOWS_MAX or any(window.every_ns is not None for window in contact.windows):
            start, length = windows[min(SPENT, len(windows) - 1)]
            due.append(start if len(windows) > SPENT else start + length // 2)
        if len(table) == WINDOWS_MAX:
            due.append(table[SPENT][0])
        self._lanes[lane] = _Lane(contact, unix_ns - clock_ns, windows, table, min(due) if due else None)
