#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many seeds over all scenarios of the simulator, and broken cores that it must catch.

Usage: .venv/bin/python tools/simulate.py [--seeds N] [--first N] [--breaks] [--record FILE]

Without --breaks: seeds only, in turn over the scenarios, in their scaled form. The last line counts what held.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tether_hw.sim import load, native, seeds  # noqa: E402

INVARIANTS = (*(f"I{number}" for number in range(1, 9)), "UNKNOWN")
SEEDS_TO_CATCH = 80


def build_broken(invariant: str) -> Path:
    """The simulator around a core that breaks this invariant."""
    folder = ROOT / "build" / f"break-{invariant}"
    options = [f"-DTETHER_BREAK={invariant}", "-DCMAKE_BUILD_TYPE=None", "-DCMAKE_C_FLAGS=-O1", "--log-level=WARNING"]
    if not (folder / "build.ninja").is_file():
        run(["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja", *options])
    run(["nice", "ninja", "-C", str(folder), "--quiet", "tether-sim"])
    return folder / native.NAME


def run(command: list[str]) -> None:
    """A command whose words matter only when it fails."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"{' '.join(command)}\n{result.stdout}{result.stderr}")


def catch(invariant: str) -> tuple[int, seeds.Verdict | None]:
    """How many seeds it took until a run of this broken core broke its invariant; None: none of them did."""
    library = build_broken(invariant)
    assert native.load(library).tether_sim_broken_build() == invariant.encode()
    forms = load.forms()
    for seed in range(SEEDS_TO_CATCH):
        scenario, variant = forms[seed % len(forms)]
        job = seeds.Job(scenario, seed, variant, library=str(library))
        verdict = seeds.judge(job)
        if verdict.invariant.upper() == invariant:
            return seed + 1, verdict
    return SEEDS_TO_CATCH, None


def breaks() -> int:
    """Every broken core is caught, or how many are not."""
    missed = 0
    for invariant in INVARIANTS:
        count, verdict = catch(invariant)
        if verdict is None:
            missed += 1
            print(f"{invariant}: not caught by {count} seeds", flush=True)
        else:
            job = verdict.job
            print(f"{invariant}: caught by seed {count}, {job.scenario}: {verdict.message}", flush=True)
    print(f"{len(INVARIANTS) - missed} broken cores caught, {missed} not")
    return missed


def label(scenario: str, variant: str | None) -> str:
    """What a form is called in the record."""
    return scenario if variant is None else f"{scenario} ({variant})"


def commit() -> str:
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def run_seeds(first: int, count: int, record: Path | None) -> int:
    """All of them; every one that does not hold with the command that repeats it. How many did not."""
    began = time.monotonic()
    forms = load.forms()
    per: dict[str, Counter[str]] = {label(*form): Counter() for form in forms}
    bad: list[seeds.Verdict] = []
    for verdict in seeds.judge_all(seeds.spread(range(first, first + count), forms)):
        tally = per[label(verdict.job.scenario, verdict.job.variant)]
        tally.update(seeds=1, frames=verdict.frames, checks=verdict.checks, faults=verdict.faults)
        tally["most"] = max(tally["most"], verdict.frames)
        if not verdict.good:
            bad.append(verdict)
            print(f"{verdict.verdict} {verdict.invariant}: {verdict.message}", flush=True)
            print(f"    {seeds.command(verdict.job)}", flush=True)
    lasted = time.monotonic() - began
    total: Counter[str] = Counter()
    for tally in per.values():
        total.update(tally)
    if record is not None:
        record.write_text(page(per, total, bad, first, count, lasted), encoding="utf-8")
    print(
        f"{total['seeds'] - len(bad)} seeds held, {len(bad)} not; {len(forms)} scenarios and variants, "
        f"{total['frames']} frames, {total['checks']} checks, {total['faults']} faults, {lasted:.0f} s"
    )
    return len(bad)


def page(
    per: dict[str, Counter[str]], total: Counter[str], bad: list[seeds.Verdict], first: int, count: int, lasted: float
) -> str:
    """The record of a long run."""
    lines = [
        "# Simulated seeds",
        "",
        f"`make sim` of commit {commit()}, {time.strftime('%Y-%m-%d', time.gmtime())}: seeds {first} to "
        f"{first + count - 1} in turn over all scenarios and variants in their scaled form, on 2 "
        f"processes, {lasted:.0f} s.",
        f"{total['seeds'] - len(bad)} held, {len(bad)} did not. After every receive, transmit and timer of an endpoint "
        "its whole state was checked.",
        "",
        "| scenario | seeds | frames delivered | most in one | checks | faults |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, tally in per.items():
        numbers = " | ".join(str(tally[key]) for key in ("seeds", "frames", "most", "checks", "faults"))
        lines.append(f"| {name} | {numbers} |")
    lines.append(f"| all | {total['seeds']} | {total['frames']} | | {total['checks']} | {total['faults']} |")
    for verdict in bad:
        lines.append(f"\n- {verdict.verdict} {verdict.invariant}: {verdict.message}: `{seeds.command(verdict.job)}`")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Seeds of the simulator, and broken cores that it must catch.")
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many (default %(default)s)")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="the first one (default %(default)s)")
    parser.add_argument("--breaks", action="store_true", help="build a core for each invariant that breaks it")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the page of the run")
    arguments = parser.parse_args()
    bad = run_seeds(arguments.first, arguments.seeds, arguments.record) if arguments.seeds else 0
    bad += breaks() if arguments.breaks else 0
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
