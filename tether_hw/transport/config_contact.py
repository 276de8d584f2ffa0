# SPDX-License-Identifier: Apache-2.0
"""The `contact` of a link in the engine file: windows and round trips, read strictly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from .contact import Contact, RoundTrip, Window

if TYPE_CHECKING:
    from .strict import Checker, Fields

ENTRIES_MAX = 4096
UNIX_NS_MAX = 1 << 62  # the year 2116
LENGTH_NS_MAX = 1 << 62
RTT_NS_MAX = (1 << 46) - 1  # what a peer believes


def contact(checker: Checker, value: Any, name: str) -> Optional[Contact]:
    """The plan of one link; what is wrong with it is noted."""
    fields = checker.object(value, name, ["windows", "rtt"])
    windows = [_window(checker, item, at) for at, item in _items(fields, "windows")]
    entries = [_entry(checker, item, at) for at, item in _items(fields, "rtt")]
    for what, count in (("windows", len(windows)), ("rtt", len(entries))):
        if count > ENTRIES_MAX:
            checker.problem(f"{name}.{what}", f"at most {ENTRIES_MAX} are possible, {count} are listed")
    last = None
    for index, window in enumerate(windows):
        if window.every_ns is not None:
            continue
        if last is not None and window.start_unix_ns < last.start_unix_ns + last.length_ns:
            checker.problem(f"{name}.windows[{index}].start_unix_ns", "begins before the window before it has ended")
        last = window
    for index in range(1, len(entries)):
        if entries[index].from_unix_ns <= entries[index - 1].from_unix_ns:
            checker.problem(f"{name}.rtt[{index}].from_unix_ns", "is not after the entry before it")
    if not windows and not entries and not checker.problems:
        checker.problem(name, "says nothing", "leave it out for a link that is always in contact")
    return Contact(tuple(windows), tuple(entries))


def _items(fields: Fields, key: str) -> list[tuple[str, Any]]:
    return fields.checker.array(fields.raw(key), fields.name(key)) if fields.has(key) else []


def _window(checker: Checker, value: Any, name: str) -> Window:
    fields = checker.object(value, name, ["start_unix_ns", "length_ns"], ["every_ns"])
    length = fields.number("length_ns", 1, LENGTH_NS_MAX, 1)
    every = fields.integer("every_ns", 1, LENGTH_NS_MAX, nullable=True)
    if every is not None and every <= length:
        checker.problem(f"{name}.every_ns", f"is {every}, the window itself {length}: it never closes")
    return Window(fields.number("start_unix_ns", 0, UNIX_NS_MAX), length, every)


def _entry(checker: Checker, value: Any, name: str) -> RoundTrip:
    fields = checker.object(value, name, ["from_unix_ns", "rtt_ns"])
    return RoundTrip(fields.number("from_unix_ns", 0, UNIX_NS_MAX), fields.number("rtt_ns", 1, RTT_NS_MAX, 1))
