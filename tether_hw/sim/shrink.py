# SPDX-License-Identifier: Apache-2.0
"""From a run that broke to a small one that breaks the same way: less traffic first, then fewer faults.

Every draw of the simulator belongs to its own frame, so a fault that is switched off moves no other one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tether_hw.sim import load, run
from tether_hw.sim.run import Fault, Outcome
from tether_hw.sim.seeds import Job

FRAMES_TOO_MANY = 2_000_000


@dataclass
class Small:
    """What is left: the job, and the only faults that happen."""

    job: Job
    only: list[Fault]
    outcome: Outcome
    runs: int


class Shrinker:
    """Tries smaller runs until the time is over or nothing smaller breaks."""

    def __init__(self, job: Job, first: Outcome, seconds: float) -> None:
        self.invariant = first.invariant
        self.until = time.monotonic() + seconds
        self.runs = 0
        self.best = Small(job, list(first.faults), first, 0)

    def attempt(self, job: Job, only: list[Fault]) -> bool:
        """True when it still breaks the same invariant; then it is the best one so far."""
        if time.monotonic() > self.until:
            return False
        self.runs += 1
        scenario = load.read(job.scenario, scaled=job.scaled, variant=job.variant, changes=job.changes)
        outcome = run.run(scenario, job.seed, only, Path(job.library) if job.library else None)
        if outcome.good or outcome.invariant != self.invariant:
            return False
        self.best = Small(job, only, outcome, self.runs)
        return True

    def traffic(self) -> None:
        """Fewer bytes and messages, flow by flow."""
        job = self.best.job
        scenario = load.read(job.scenario, scaled=job.scaled, variant=job.variant, changes=job.changes)
        for index, flow in enumerate(scenario.flows):
            field, most = ("messages", flow.messages.high) if flow.kind == "messages" else ("size", flow.size.high)
            value = most // 2
            while value >= 1:
                change = f"flows.{index}.{field}={value if field == 'messages' else f'{value}B'}"
                changes = tuple(c for c in self.best.job.changes if not c.startswith(f"flows.{index}.{field}="))
                if not self.attempt(replace(job, changes=(*changes, change)), self.best.outcome.faults):
                    break
                value //= 2

    def kinds(self) -> None:
        """All faults of a kind and place at once."""
        for kind, where in sorted({fault[:2] for fault in self.best.only}):
            left = [fault for fault in self.best.only if fault[:2] != (kind, where)]
            self.attempt(self.best.job, left)

    def faults(self) -> None:
        """Delta debugging on the list of faults."""
        pieces = 2
        while self.best.only:
            only = self.best.only
            size = max(1, -(-len(only) // pieces))
            smaller = False
            for begin in range(0, len(only), size):
                left = only[:begin] + only[begin + size :]
                if self.attempt(self.best.job, left):
                    smaller = True
                    break
            if smaller:
                pieces = max(2, pieces - 1)
            elif size == 1:
                return
            else:
                pieces = min(len(only), pieces * 2)
            if time.monotonic() > self.until:
                return


def shrink(job: Job, first: Outcome, seconds: float = 60, say: Callable[[str], None] | None = None) -> Small:
    """The smallest run that was found to break the same invariant."""
    shrinker = Shrinker(job, first, seconds)
    if not shrinker.attempt(job, list(first.faults)):
        return shrinker.best  # more faults than are kept: only all of them together are sure to break it
    shrinker.traffic()
    if say:
        say(f"smaller traffic: {len(shrinker.best.only)} faults after {shrinker.runs} runs")
    shrinker.kinds()
    shrinker.faults()
    shrinker.best.runs = shrinker.runs
    return shrinker.best
