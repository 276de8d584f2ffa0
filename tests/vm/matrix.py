# SPDX-License-Identifier: Apache-2.0
"""Faults on virtual machines, each from the snapshot: it ends as configured or as before, never between.

Usage: .venv/bin/python -m tests.vm.matrix [--kernel 6.1] [--record build/faults/vm.jsonl]      needs root
One power cut behind the first step of each kind (8 at most), one SIGKILL of the agent and one cut of all sessions in
each phase, one clock that jumps. A line per fault on standard output and in the record. Ends in 1 when one is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from tests.support.fleets import ROOT, Background, Fleet, new_run
from tests.support.guests import Guests, guests
from tether_hw.fleet import runs
from tether_hw.lab.vm.recipe import DEFAULT_KERNEL
from tether_hw.plan.facts import Facts, differences
from tether_hw.plan.plan import Plan

POWER, KILLED, CUT, CLOCK = "power cut", "agent killed", "SSH cut", "clock jump"
CONFIGURED, AS_BEFORE = "configured", "as before"
MOST_KINDS = 8
SAME_FORM = {"engine_roster"}  # a file like the one that the step before it writes
TEN_YEARS_S = 10 * 365 * 86400


@dataclass(frozen=True)
class Fault:
    """`then` is what is asked of the host after it: nothing, resume or rollback."""

    fault: str
    point: str
    then: str


@dataclass(frozen=True)
class Row:
    """One line of the record; `end` is CONFIGURED, AS_BEFORE or what the host was between."""

    tier: str
    machine: str
    fault: str
    point: str
    then: str
    end: str
    ok: bool
    seconds: float


def faults(plan: Plan, host: str) -> list[Fault]:
    """What is tried on a host with this plan."""
    steps = plan.hosts[host].steps
    first = {step.kind: step.id for step in reversed(steps) if step.kind not in SAME_FORM}
    kinds = [step.id for step in steps if first.get(step.kind) == step.id][:MOST_KINDS]
    middle = next((step.id for step in steps if step.kind == "nic_vfs"), steps[len(steps) // 2].id)
    phases = ("lock.end", f"step.begin {middle}", "verify.begin", "confirm.begin")
    found = [Fault(POWER, f"step.end {step}", "") for step in kinds]
    for number, point in enumerate(phases):
        found.append(Fault(KILLED, point, ("resume", "rollback")[number % 2]))
        found.append(Fault(CUT, point, ("rollback", "resume")[number % 2]))
    return [*found, Fault(CLOCK, f"step.end {middle}", "")]


class Case:
    """One fault on one host that is at its snapshot."""

    def __init__(self, lab: Guests, host: str, plan: Plan, before: Facts, fault: Fault) -> None:
        self.lab, self.host, self.plan, self.before, self.fault = lab, host, plan, before, fault
        self.fleet: Fleet = lab.fleet(stopping=True)
        self.run = new_run()

    def carry_out(self) -> str:
        """How it ended; raises AssertionError where the suite itself does not come to an end."""
        try:
            self.fleet.gate(self.host, self.fault.point)
            background = Background(self.fleet, self.plan, self.host, self.run)
            pid = self.fleet.paused(self.host)
            self._break(pid)
            background.join()
            if self.fault.then:
                work = runs.resume if self.fault.then == "resume" else runs.rollback
                work(self.fleet.reach(), [self.host], self.run)
            return self._end()
        finally:
            self.fleet.close()

    def _break(self, pid: int) -> None:
        if self.fault.fault == POWER:
            self.fleet.close()
            self.fleet.fault(self.host, "power-cut", "")
            self.fleet.heal(self.host)
        elif self.fault.fault == KILLED:
            self.fleet.signal(self.host, pid, "KILL")
        elif self.fault.fault == CUT:
            self.fleet.cut_sessions(self.host)
            self.fleet.signal(self.host, pid, "CONT")
        else:
            self.fleet.run(self.host, "date", "-s", f"@{int(time.time()) + TEN_YEARS_S}")
            self.fleet.signal(self.host, pid, "CONT")

    def _end(self) -> str:
        now = self.fleet.facts(self.host)
        expected = self.plan.hosts[self.host].expected()
        from_before, from_expected = (differences(one, now.config) for one in (self.before.config, expected))
        if not from_expected and now.status["pending"] is None:
            return CONFIGURED
        if not from_before and now.status["pending"] is None and not now.status["owned"]:
            return AS_BEFORE
        return f"between: pending {now.status['pending']}, from before {from_before}, from the plan {from_expected}"


def allowed(fault: Fault, end: str) -> bool:
    """A boot that nobody asked for takes an open run back; a clock changes nothing at all."""
    if fault.fault == POWER:
        return end == AS_BEFORE
    return end == CONFIGURED if fault.fault == CLOCK else end in (CONFIGURED, AS_BEFORE)


def carried_out(lab: Guests, kernel: str) -> Iterator[Row]:
    """Every fault, on as many hosts at once as there are."""
    fleet = lab.fleet(stopping=True)
    facts = {host: fleet.facts(host) for host in lab.names}
    plan = fleet.plan(facts)
    fleet.close()
    assert not plan.refusals, plan.refusals
    waiting: queue.Queue[Fault] = queue.Queue()
    done: queue.Queue[Row] = queue.Queue()
    wanted = faults(plan, lab.names[0])
    for fault in wanted:
        waiting.put(fault)

    def work(host: str) -> None:
        while True:
            try:
                fault = waiting.get_nowait()
            except queue.Empty:
                return
            began = time.monotonic()
            try:
                lab.back(host)
                end = Case(lab, host, plan, facts[host], fault).carry_out()
            except Exception:  # noqa: BLE001 - a row like the others
                end = traceback.format_exc(limit=-4).replace("\n", " ")
            seconds = round(time.monotonic() - began, 1)
            done.put(
                Row("vm", f"guest kernel {kernel}", **asdict(fault), end=end, ok=allowed(fault, end), seconds=seconds)
            )

    for host in lab.names:
        threading.Thread(target=work, args=(host,), daemon=True).start()
    for _ in wanted:
        yield done.get()


@contextlib.contextmanager
def own_state() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tether-matrix-") as folder:
        os.environ["TETHER_STATE"] = str(Path(folder) / "told")
        yield Path(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description="Faults on virtual machines.")
    parser.add_argument("--kernel", default=DEFAULT_KERNEL)
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--record", type=Path, default=ROOT / "build/faults/vm.jsonl")
    asked = parser.parse_args()
    asked.record.parent.mkdir(parents=True, exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    begun = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    how = f".venv/bin/python -m tests.vm.matrix --kernel {asked.kernel}"
    head = {"tier": "vm", "commit": commit.strip(), "begun": begun, "how": how}
    good = True
    with (
        own_state() as folder,
        guests(folder, asked.hosts, kernel=asked.kernel) as lab,
        asked.record.open("w") as record,
    ):
        record.write(json.dumps(head) + "\n")
        for row in carried_out(lab, asked.kernel):
            good = good and row.ok
            words = f"{row.fault} at {row.point}" + (f", then {row.then}" if row.then else "")
            print(f"{'ok ' if row.ok else 'BAD'} {row.seconds:6.1f} s  {words}: {row.end}", flush=True)
            record.write(json.dumps(asdict(row)) + "\n")
            record.flush()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
