#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the models in model/ with SPIN: each sound one must hold in every state, each broken one must be caught.

Usage: .venv/bin/python tools/model.py [--large] [NAME...]

Without --large: the runs of `make test`, and docs/proof/model.md must be of these sources. With --large (`make spin`)
the larger runs too, and the results in docs/proof/model.md are written anew.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "model"
PAGE = ROOT / "docs" / "proof" / "model.md"
MARK = "<!-- From here on written by tools/model.py (make spin). -->"
DEADLINE_S = {False: 240, True: 3600}
MEMORY_MB = {False: 3000, True: 10000}


@dataclass(frozen=True)
class Run:
    """One verification. `caught` names what must be violated (a part of the assertion, or 'cycle'); empty: it holds."""

    name: str
    model: str
    what: str
    claim: str = ""  # an LTL formula of the model; empty: the assertions and deadlocks
    options: tuple[str, ...] = ()
    caught: str = ""
    large: bool = False


@dataclass
class Result:
    """What pan said."""

    run: Run
    found: str = ""  # what was violated
    states: int = 0
    depth: int = 0
    megabytes: float = 0.0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def as_expected(self) -> bool:
        return not self.problems and (self.run.caught in self.found if self.run.caught else not self.found)


def tether(name: str, what: str, options: str, claim: str = "", caught: str = "", large: bool = False) -> Run:
    return Run(name, "tether", what, claim, tuple(options.split()), caught, large)


SMALL = "N=2 CELLS=1 DEPTH=2"
MEDIUM = "N=2 CELLS=2 DEPTH=3"
RUNS = (
    tether("assertions", "I1 to I5, any number of losses", f"{SMALL} EARLY=0 FREE LAMP CANCEL"),
    tether("i7", "progress: all is delivered and receipted", f"{SMALL} LOSES=1 CANCEL", "i7"),
    tether("i7-lamp", "progress from the Lamp on", "N=1 CELLS=1 DEPTH=2 LAMP CANCEL", "i7"),
    tether("i8", "credit comes back: only the standing amounts stay", f"{SMALL} LOSES=1 EARLY=0 CANCEL", "i8"),
    tether("sender-clock-alone", "progress without the receiver's clock", f"{SMALL} NO_RECEIVER_CLOCK", "i7"),
    tether("receiver-clock-alone", "delivery without the sender's clock", f"{SMALL} NO_SENDER_CLOCK KNOWN", "i7"),
    tether("purse", "progress though others empty the purse", "N=1 CELLS=1 DEPTH=2 LOSES=1 PURSE LAMP", "i7"),
    tether("break-i1", "data goes without credit", f"{SMALL} BREAK_I1", caught="s_next<="),
    tether("break-i2", "the sender's clock sends again on suspicion", f"{SMALL} BREAK_I2", caught="named&"),
    tether("break-i3", "GrantAmount is the room of the moment", f"{MEDIUM} BREAK_I3", caught="e>=told_grant"),
    tether("break-i4", "grants by demand alone", f"{SMALL} BREAK_I4", caught="a<=r_reserved"),
    tether("break-i5", "a Hail is answered for ever", f"{SMALL} LAMP BREAK_I5", caught="funded>0"),
    tether("break-i7", "clocks that do not see a lost tail", f"{SMALL} BREAK_I7", "i7", caught="cycle"),
    tether("break-i8", "a cancelled message is not skipped", f"{SMALL} CANCEL BREAK_I8", "i8", caught="cycle"),
    tether("break-purse", "no timer frame is always affordable", f"{SMALL} PURSE BREAK_PURSE", "i7", caught="cycle"),
    tether("break-first-frame", "the receiver's clock cannot know of demand that nobody told",
           f"{SMALL} NO_SENDER_CLOCK", "i7", caught="cycle"),
    tether("large-assertions", "I1 to I5, any number of losses", f"{MEDIUM} FREE CANCEL", large=True),
    tether("large-assertions-3", "the same with three frames", "N=3 CELLS=2 DEPTH=2 EARLY=0 FREE CANCEL", large=True),
    tether("large-i7", "progress", f"{MEDIUM} LOSES=1 CANCEL", "i7", large=True),
    tether("large-i7-lamp", "progress from the Lamp on", f"{SMALL} LOSES=1 LAMP CANCEL", "i7", large=True),
    tether("large-i8", "credit comes back", f"{SMALL} LOSES=1 LAMP CANCEL", "i8", large=True),
    tether("large-sender-clock-alone", "progress", f"{MEDIUM} NO_RECEIVER_CLOCK", "i7", large=True),
    tether("large-receiver-clock-alone", "delivery", "N=3 CELLS=2 EARLY=0 NO_SENDER_CLOCK KNOWN", "i7", large=True),
    tether("large-purse", "progress though others empty the purse", f"{SMALL} LOSES=1 PURSE", "i7", large=True),
)  # fmt: skip


def sources_digest() -> str:
    """Of the models and of this list: the page tells which it was made from."""
    sums = [path.read_bytes() for path in sorted(MODELS.glob("*.pml"))]
    return hashlib.sha256(b"\0".join([*sums, repr(RUNS).encode()])).hexdigest()


def call(command: list[str], folder: Path, deadline_s: int) -> tuple[int, str]:
    try:
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=deadline_s)  # fmt: skip
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired:
        return -1, f"{command[0]}: {deadline_s} s are over"


def verify(run: Run) -> Result:
    result = Result(run)
    with tempfile.TemporaryDirectory(prefix="tether-model-") as name:
        folder = Path(name)
        defines = [f"-D{option}" for option in run.options]
        shutil.copy(MODELS / f"{run.model}.pml", folder)
        how = ["-DNOREDUCE", "-DNFAIR=3"] if run.claim else ["-DSAFETY", "-DNOCLAIM"]
        search = ["-a", "-f", "-N", run.claim] if run.claim else []
        limits = [f"-DMEMLIM={MEMORY_MB[run.large]}"]
        for command, deadline_s in (
            (["spin", "-a", *defines, f"{run.model}.pml"], 60),
            (["gcc", "-O2", "-w", *how, *limits, "-o", "pan", "pan.c"], 120),
        ):
            code, text = call(command, folder, deadline_s)
            if code != 0:
                result.problems.append(text.strip()[-1000:])
                return result
        began = time.monotonic()
        code, text = call(["./pan", "-m4000000", "-w24", *search], folder, DEADLINE_S[run.large])
        result.seconds = time.monotonic() - began
        read(result, code, text)
    return result


def read(result: Result, code: int, text: str) -> None:
    """Takes pan's report apart. What is not a whole search is a problem, never a result."""
    violated = re.search(r"^pan:\d+: (.*?) \(at depth \d+\)$", text, re.MULTILINE)
    found = re.search(r"depth reached (\d+), errors: (\d+)", text)
    states = re.search(r"^ *([\d.e+]+) states, stored", text, re.MULTILINE)
    memory = re.search(r"^ *([\d.]+)\s+total actual memory usage", text, re.MULTILINE)
    if violated:
        result.found = violated[1]
    if found is None or states is None or code != 0:
        result.problems.append(text.strip()[-1000:] or f"pan ended with {code}")
        return
    result.depth = int(found[1])
    result.states = int(float(states[1]))
    result.megabytes = float(memory[1]) if memory else 0.0
    if "max search depth too small" in text or ("Search not completed" in text and not violated):
        result.problems.append("the search was not completed")
    if int(found[2]) != bool(violated):
        result.problems.append(f"{found[2]} errors, and no word about them")


def line(result: Result) -> str:
    verdict = f"caught: {result.found}" if result.found else "holds"
    mark = "ok  " if result.as_expected() else "FAIL"
    text = (
        f"{mark} {result.run.name}: {verdict}; {result.states:,} states, depth {result.depth}, {result.seconds:.1f} s"
    )
    return "\n".join([text, *result.problems])


def table(results: list[Result]) -> list[str]:
    rows = ["| run | what | options | result | states | depth | MB | s |", "|---|---|---|---|---|---|---|---|"]
    for result in results:
        run = result.run
        how = " ".join(run.options) + (f", LTL {run.claim}" if run.claim else "")
        verdict = f"caught: `{result.found.replace('|', chr(92) + '|')}`" if run.caught else "holds"
        rows.append(
            f"| {run.name} | {run.what} | {how} | {verdict} | {result.states:,} | {result.depth} "
            f"| {result.megabytes:.0f} | {result.seconds:.1f} |"
        )
    return rows


def page(results: list[Result]) -> str:
    _, version = call(["spin", "-V"], ROOT, 10)
    words = PAGE.read_text().partition(MARK)[0]
    parts = [
        words + MARK,
        "",
        f"Checked with {version.strip()}. Sources: `{sources_digest()}`.",
        "",
        "## Runs of `make test`: sound",
        "",
        *table([r for r in results if not r.run.large and not r.run.caught]),
        "",
        "## Runs of `make test`: one rule broken",
        "",
        *table([r for r in results if r.run.caught]),
        "",
        "## Larger runs, by `make spin`",
        "",
        *table([r for r in results if r.run.large]),
    ]
    return "\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks the models with SPIN.")
    parser.add_argument("--large", action="store_true", help="the larger runs too, and write docs/proof/model.md")
    parser.add_argument("name", nargs="*", help=f"of {', '.join(run.name for run in RUNS)}")
    arguments = parser.parse_args()
    unknown = set(arguments.name) - {run.name for run in RUNS}
    if unknown:
        parser.error(f"no run {', '.join(sorted(unknown))}")
    chosen = [
        run for run in RUNS if run.name in arguments.name or (not arguments.name and (arguments.large or not run.large))
    ]
    os.nice(5)
    results = []
    for run in chosen:
        results.append(verify(run))
        print(line(results[-1]), flush=True)
    good = sum(result.as_expected() for result in results)
    bad = len(results) - good
    if not arguments.name and arguments.large and bad == 0:
        PAGE.write_text(page(results))
        print(f"written: {PAGE.relative_to(ROOT)}")
    elif not arguments.name:
        fresh = PAGE.exists() and sources_digest() in PAGE.read_text()
        good, bad = good + fresh, bad + (not fresh)
        print("ok   page: docs/proof/model.md is of these sources" if fresh else
              "FAIL page: docs/proof/model.md is of other sources: make spin")  # fmt: skip
    print(f"model: {good} as expected, {bad} not")
    return 0 if bad == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
