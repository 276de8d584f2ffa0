# SPDX-License-Identifier: Apache-2.0
"""What must hold of a link's contact plan: windows in order, long enough for a frame to arrive, a table in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tether_hw.nic.units import moment_text, time_text

if TYPE_CHECKING:
    from tether_hw.fleet.inventory import Loader
    from tether_hw.fleet.models import Contact, Link, Window

Path = tuple[str | int, ...]

MOST_LATENCY_NS = 1 << 44  # 4.9 hours one way: no round trip that a peer would not believe
MOST_ENTRIES = 4096


def check_contact(loader: Loader, name: str, link: Link) -> None:
    """Note what is wrong with the plan of a link."""
    plan = link.contact
    if plan is None:
        return
    base: Path = ("links", name, "contact")
    if not plan.windows and not plan.latency:
        loader.problem(base, "says nothing", "windows: [...], latency: [...], or leave it out", key=True)
    for what, entries in (("windows", plan.windows), ("latency", plan.latency)):
        if len(entries) > MOST_ENTRIES:
            loader.problem((*base, what), f"{len(entries)} entries, {MOST_ENTRIES} are possible", key=True)
    _windows(loader, base, link, plan)
    for number, entry in enumerate(plan.latency):
        where = (*base, "latency", number)
        if number and entry.from_ <= plan.latency[number - 1].from_:
            loader.problem((*where, "from"), "is not after the entry before it", "put them in the order of their time")
        if entry.latency > MOST_LATENCY_NS:
            loader.problem((*where, "latency"), f"is above {MOST_LATENCY_NS} ns")


def _latency(link: Link, plan: Contact, window: Window) -> int:
    """What holds when the window opens; of one that comes again the least that ever does."""
    if window.every is not None:
        return min([link.latency, *(entry.latency for entry in plan.latency)])
    return next((entry.latency for entry in reversed(plan.latency) if entry.from_ <= window.start), link.latency)


def _windows(loader: Loader, base: Path, link: Link, plan: Contact) -> None:
    before: Window | None = None
    for number, window in enumerate(plan.windows):
        where = (*base, "windows", number)
        if window.every is not None and window.every <= window.length:
            loader.problem((*where, "every"), "comes round before the window closes: it is always open")
        latency = _latency(link, plan, window)
        if window.length <= latency:
            message = f"{time_text(window.length)} is over before anything arrives: the latency is {time_text(latency)}"
            loader.problem((*where, "length"), message, "a frame leaves in a window and arrives in it")
        if window.every is not None:
            continue
        if before is not None and window.start < before.start + before.length:
            message = f"begins before the window of {moment_text(before.start)} has ended"
            loader.problem((*where, "start"), message, "put them in order, or make one of the two")
        before = window
