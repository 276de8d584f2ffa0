# SPDX-License-Identifier: Apache-2.0
"""Many seeds, over all cores: which held, which did not, and the command that repeats each of those."""

from __future__ import annotations

import multiprocessing
import shlex
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tether_hw.sim import load, run
from tether_hw.sim.run import Fault

WORKERS = 2


@dataclass(frozen=True)
class Job:
    """One scenario in its scaled form, and one seed."""

    scenario: str
    seed: int
    variant: str | None = None
    changes: tuple[str, ...] = ()
    scaled: bool = True
    library: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What came of a job."""

    job: Job
    verdict: str
    invariant: str
    message: str
    frames: int
    checks: int
    faults: int
    seconds: float

    @property
    def good(self) -> bool:
        return self.verdict == "done"


def judge(job: Job) -> Verdict:
    """Run one job."""
    scenario = load.read(job.scenario, scaled=job.scaled, variant=job.variant, changes=job.changes)
    outcome = run.run(scenario, job.seed, library=Path(job.library) if job.library else None)
    result = outcome.result
    return Verdict(
        job,
        outcome.verdict,
        outcome.invariant,
        outcome.message,
        result.frames,
        result.checks,
        result.fault_count,
        outcome.seconds,
    )


def _quiet() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def judge_all(jobs: Iterable[Job], workers: int = WORKERS) -> Iterator[Verdict]:
    """The verdicts, in the order of the jobs."""
    if workers == 1:
        yield from map(judge, jobs)
        return
    # Not spawned: that would run the caller's script again, which need not be made for it. Nothing has threads yet.
    with multiprocessing.get_context("fork").Pool(workers, _quiet) as pool:
        yield from pool.imap(judge, jobs, chunksize=4)


def spread(seeds: Iterable[int], forms: list[tuple[str, str | None]]) -> list[Job]:
    """Seed after seed, each with one of the scenarios and variants in turn."""
    picked = ((seed, forms[seed % len(forms)]) for seed in seeds)
    return [Job(scenario, seed, variant) for seed, (scenario, variant) in picked]


def command(job: Job, only: list[Fault] | None = None, changes: tuple[str, ...] = ()) -> str:
    """The one line that repeats a run."""
    words = ["tether", "sim", "run", job.scenario, "--seed", str(job.seed)]
    words += ["--scaled"] if job.scaled else []
    words += ["--variant", job.variant] if job.variant else []
    for change in (*job.changes, *changes):
        words += ["--set", change]
    if only is not None:
        words += ["--only", ",".join(":".join(map(str, fault)) for fault in only) or "none"]
    return shlex.join(words)


def parse_faults(text: str) -> list[Fault]:
    """The faults of `--only`. Raises ValueError."""
    if text == "none":
        return []
    faults = []
    for word in text.split(","):
        kind, where, which = word.split(":")
        faults.append((int(kind), int(where), int(which)))
    return faults
