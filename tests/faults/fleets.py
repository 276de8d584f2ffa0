# SPDX-License-Identifier: Apache-2.0
"""Faults at every journal point of runs on real hosts over SSH: each ends as the run wanted it, or as it was before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.case import POINTS, STEPS, Case
from tests.faults.rows import AS_BEFORE, CONFIGURED, Row
from tests.support.fleets import Background, Fleet, new_run
from tests.support.gated import CLOCK, PAUSED
from tether_hw.errors import Exit
from tether_hw.fleet import runs
from tether_hw.plan.facts import Facts, differences
from tether_hw.plan.plan import Plan

TEN_YEARS_S = 315_360_000
WAYS = ("resume", "rollback")
#: Where a run that is confirmed comes through when it is taken back.
BACK = (
    "revert.begin",
    *(f"undo.{phase} {step}" for step in reversed(STEPS) for phase in ("begin", "end")),
    "revert.end",
    "close.end",
)
#: From here on the host holds the run, and its executor writes.
HELD = POINTS[POINTS.index("lock.end") :]
STARTED = POINTS[POINTS.index("start.begin") :]

STATE = "/var/lib/tether"
#: The state folder on a disk of its own, small, without the runs that are over.
SMALL_DISK = f"""
mkdir -p /run/small && mount -t tmpfs -o size=1536k none /run/small
cp -a {STATE}/. /run/small/ 2>/dev/null || true
rm -rf /run/small/runs/* && mount --bind /run/small {STATE}
"""
LARGE_DISK = f"umount {STATE} && umount /run/small"
FILL = f"dd if=/dev/zero of={STATE}/fill bs=4096 2>/dev/null; dd if=/dev/zero of={STATE}/fill2 bs=64 2>/dev/null; true"
#: A program that says no once: before it did anything, or though it did it.
ONCE = """#!/bin/sh
case "$*" in *{words}*) if rm /run/strike 2>/dev/null; then
  test {half} = 1 && {real} "$@"
  echo "RTNETLINK answers: Device or resource busy" >&2; exit 2
fi;; esac
exec {real} "$@"
"""


@dataclass
class Place:
    """The host, what is applied there, and what it was before."""

    fleet: Fleet
    before: dict[str, Facts]
    plan: Plan
    host: str
    folder: Path


class Strike(Case):
    """A case that says how it ended instead of asserting it."""

    def __init__(self, place: Place, point: str) -> None:
        super().__init__(place.fleet, place.plan, place.host, point, place.folder)
        self.place = place

    # How it ends

    def state(self) -> str:
        known = {entry["run"]: entry["state"] for entry in self.fleet.ask(self.host, "runs", {})["runs"]}
        return str(known.get(self.run, "unknown"))

    def left(self, wanted: str) -> list[str]:
        """What of the host does not fit."""
        now = self.fleet.facts(self.host)
        config = self.plan.hosts[self.host].expected() if wanted == CONFIGURED else self.place.before[self.host].config
        found = [f"{'.'.join(map(str, item['path']))}" for item in differences(config, now.config)]
        if now.status["pending"] is not None:
            found.append("a run holds the host")
        if wanted == AS_BEFORE and now.status["owned"]:
            found.append("something is owned")
        return found

    def end(self) -> str:
        """By the journal's state and the config facts; what was configured is taken back, and that is looked at."""
        state = self.state()
        if state == "confirmed":
            left = self.left(CONFIGURED)
            if left:
                return f"confirmed, but not configured: {', '.join(left)}"
            self.ask(runs.rollback)
            left = self.left(AS_BEFORE)
            return f"taken back, but not as before: {', '.join(left)}" if left else CONFIGURED
        if state not in ("rolled-back", "taken-back", "not-begun", "unknown"):
            return f"still {state}: {self.fleet.status(self.host, self.run)['why']}"
        left = self.left(AS_BEFORE)
        return f"{state}, but not as before: {', '.join(left)}" if left else AS_BEFORE

    def ask(self, work: Callable[..., list[dict[str, object]]]) -> dict[str, object]:
        return work(self.fleet.reach(), [self.host], self.run)[0]

    def out(self, way: str) -> str:
        self.ask(runs.resume if way == "resume" else runs.rollback)
        return self.end()

    def shell(self, script: str) -> None:
        self.fleet.run(self.host, "sh", "-c", script)

    def go_on_paused(self, pid: int) -> None:
        self.fleet.signal(self.host, pid, "CONT")

    # Kinds of faults that are no kill

    def disk_full(self) -> str:
        self.shell(SMALL_DISK)
        try:
            pid = self.until_paused()
            self.shell(FILL)
            self.go_on_paused(pid)
            self.join()
            self.shell(f"rm -f {STATE}/fill {STATE}/fill2")
            if self.state() not in ("confirmed", "rolled-back"):
                self.ask(runs.resume)
            return self.end()
        finally:
            self.shell(LARGE_DISK)

    def clock(self, seconds: int) -> str:
        pid = self.until_paused()
        self.shell(f"printf %s {seconds} > {CLOCK}")
        try:
            self.go_on_paused(pid)
            self.join()
            return self.end()
        finally:
            self.shell(f"rm -f {CLOCK}")

    def second_applies(self) -> str:
        pid = self.until_paused()
        second = self.fleet.apply(self.plan, self.host)
        self.go_on_paused(pid)
        self.join()
        end = self.end()
        refused = (Exit.LOCKED, Exit.FAILED)  # once the first is confirmed, the facts are not the plan's any more
        return end if second["exit"] in refused else f"the second was let in: {second['message']}"

    def second_asks(self, work: Callable[..., list[dict[str, object]]]) -> str:
        pid = self.until_paused()
        second = Background.of(lambda: self.ask(work))
        time.sleep(0.5)
        self.go_on_paused(pid)
        self.join()
        second.join()
        if self.state() not in ("confirmed", "rolled-back", "taken-back", "not-begun", "unknown"):
            self.ask(runs.resume)
        return self.end()

    def going_back(self, fault: str) -> str:
        """A confirmed run is taken back, and that is struck."""
        result = self.fleet.apply(self.plan, self.host, self.run)
        assert result["result"] == "confirmed", result
        self.fleet.gate(self.host, self.point)
        first = Background.of(lambda: self.ask(runs.rollback))
        pid = self.fleet.paused(self.host)
        if fault == "reboot":
            self.fleet.reboot(self.host)
        else:
            self.fleet.signal(self.host, pid, "KILL")
        first.join()
        if self.state() != "taken-back":
            self.ask(runs.rollback)
        return self.end()

    def says_no(self, words: str, half: bool) -> str:
        """words: of a program's command line, the program first."""
        program, _, rest = words.partition(" ")
        place = f"/usr/local/sbin/{program}"
        real = self.fleet.run(self.host, "sh", "-c", f"PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v {program}").strip()
        script = ONCE.format(words=f'"{rest}"', half=int(half), real=real)
        put = f'mkdir -p /usr/local/sbin; printf %s "$1" > {place}; chmod 755 {place}; touch /run/strike'
        self.fleet.run(self.host, "sh", "-c", put, "sh", script)
        try:
            self.outcome = self.fleet.apply(self.plan, self.host, self.run)
            struck = self.fleet.run(self.host, "sh", "-c", "test -e /run/strike && echo no || echo yes").strip()
            end = self.end()
            return end if struck == "yes" else f"{program} was not run: {self.outcome['message']}"
        finally:
            self.shell(f"rm -f {place} /run/strike")


@dataclass(frozen=True)
class Kind:
    """One row to be: what happens where, who goes on, and the work that ends in its end."""

    fault: str
    point: str
    then: str
    work: Callable[[Strike], str]

    @property
    def id(self) -> str:
        return f"netns/{self.fault}/{self.point}/{self.then}"


def _killed(cause: Callable[[Case], None], way: str) -> Callable[[Strike], str]:
    def work(strike: Strike) -> str:
        cause(strike)
        return strike.out(way)

    return work


def kinds() -> Iterator[Kind]:
    """All of them."""
    causes = {"controller killed": Case.controller_killed, "SSH cut": Case.ssh_cut, "agent killed": Case.agent_killed}
    for point in POINTS:
        for fault, cause in causes.items():
            for way in WAYS:
                yield Kind(fault, point, way, _killed(cause, way))
        yield Kind("power cut", point, "the boot check", _killed(Case.rebooted, "rollback"))
    for point in STARTED:
        yield Kind("disk full", point, "room again", Strike.disk_full)
    for point in HELD:
        yield Kind("clock 10 years ahead", point, "nobody", lambda strike: strike.clock(TEN_YEARS_S))
        yield Kind("clock 10 years back", point, "nobody", lambda strike: strike.clock(-TEN_YEARS_S))
        yield Kind("second controller", point, "applies as well", Strike.second_applies)
        yield Kind("second controller", point, "takes it back", lambda strike: strike.second_asks(runs.rollback))
        yield Kind("second controller", point, "resumes it", lambda strike: strike.second_asks(runs.resume))
    for point in BACK:
        yield Kind("agent killed", f"taken back, {point}", "rollback", lambda strike: strike.going_back("kill"))
        yield Kind("power cut", f"taken back, {point}", "the boot check", lambda strike: strike.going_back("reboot"))
    for words in ("ip  mtu 3000", "ethtool -L data0"):
        yield Kind("step refused", words, "the agent", lambda strike, w=words: strike.says_no(w, False))  # type: ignore[misc]
        yield Kind("step half done", words, "the agent", lambda strike, w=words: strike.says_no(w, True))  # type: ignore[misc]


def strike(place: Place, kind: Kind) -> Row:
    """One row. A host that is left between is put right for the next one."""
    began = time.monotonic()
    one = Strike(place, kind.point.removeprefix("taken back, "))
    try:
        place.fleet.run(place.host, "rm", "-f", PAUSED)
        end = kind.work(one)
    except Exception as error:  # noqa: BLE001 - it is a row like any other
        end = f"{type(error).__name__}: {error}"
    ok = end in (CONFIGURED, AS_BEFORE)
    if not ok:
        _mend(place)
    taken = time.monotonic() - began
    return Row("netns", "two hosts", kind.fault, kind.point, kind.then, end, ok, taken, kind.id)


def _mend(place: Place) -> None:
    fleet = place.fleet
    fleet.run(
        place.host, "sh", "-c", f"rm -f {CLOCK} /var/tmp/tether-test-gate /run/strike; pkill -CONT tether- || true"
    )
    time.sleep(2)
    for entry in reversed(fleet.ask(place.host, "runs", {})["runs"]):
        if entry["state"] not in ("rolled-back", "taken-back"):
            runs.rollback(fleet.reach(), [place.host], entry["run"])


def place_on(fleet: Fleet, host: str, folder: Path) -> Place:
    """A host of a fleet as it is now, and the fleet's plan for it."""
    before = {name: fleet.facts(name) for name in sorted(fleet.inventory.hosts)}
    plan = fleet.plan(before)
    assert not plan.refusals, plan.refusals
    return Place(fleet, before, plan, host, folder)


__all__ = ["Kind", "Place", "Strike", "kinds", "new_run", "place_on", "strike"]
