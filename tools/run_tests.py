#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the tiers of the test suite one after another, each with its count, and closes with the sum.

Usage: .venv/bin/python tools/run_tests.py [--fuzz-seconds N] [TIER...]     without a tier: all
Ends in 1 when one fails, or when CI=true and one was skipped.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "test"
PYTEST_NO_TESTS = 5
SIM_SEEDS = 1000


@dataclass
class Outcome:
    """What one tier came to. `missing` names the capability that it lacks here."""

    tier: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    missing: str = ""


@dataclass(frozen=True)
class Tier:
    """One pytest run: what is collected, the marker expression, and the deadline in seconds."""

    name: str
    folders: tuple[str, ...]
    markers: str
    deadline_s: int
    needs_root: bool = False


# name, what it proves, and what runs it
Step = tuple[str, str, Callable[[], Optional[Outcome]]]

TIERS = (
    Tier("unit", ("tests/unit", "tests/protocol"), "unit and not wheel and not soak", 900),
    Tier("cases", ("tests/cases",), "cases", 600),
    Tier("drivers", ("tests/drivers",), "drivers and not soak", 960),
    Tier("netns", ("tests/netns",), "netns and not soak", 1800, needs_root=True),
    Tier("wheel", ("tests",), "wheel", 900),
    Tier("soak", ("tests",), "soak", 600),
)
# What has threads: nothing else can race, and everything runs many times slower.
CHOSEN = {"tsan": ("-R", "engine|carrier|ledger|bench")}
# build folders of the C unit tests, and what each run proves
CORE = {
    "native": "as shipped",
    "asan": "AddressSanitizer, UndefinedBehaviorSanitizer",
    "tsan": "ThreadSanitizer",
    "aarch64": "ARM64 under qemu",
}


def run(command: list[str], deadline_s: int, capture: bool = False) -> tuple[int, str]:
    """Runs one command in a process group of its own, which is ended at the deadline."""
    output, error = (subprocess.PIPE, subprocess.STDOUT) if capture else (None, None)
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=output, stderr=error, text=True) as process:
        try:
            text, _ = process.communicate(timeout=deadline_s)
            return process.returncode, text or ""
        except subprocess.TimeoutExpired:
            print(f"run_tests: {deadline_s} s are over, ending {command[0]}", flush=True)
            os.killpg(process.pid, signal.SIGKILL)
            return 1, process.communicate()[0] or ""
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGINT)
            raise


def lint(environment: Path) -> Outcome:
    outcome = Outcome("lint")
    for command in (["ruff", "check", "."], ["mypy"]):
        code, _ = run([str(environment / command[0]), *command[1:]], 300)
        outcome.passed += code == 0
        outcome.failed += code != 0
    return outcome


def core(folder: str) -> Outcome | None:
    """The C unit tests of one build folder, by ctest."""
    outcome = Outcome(f"core-{folder}")
    command = ["ctest", "--test-dir", f"build/{folder}", "--output-on-failure", "--no-tests=ignore"]
    command += CHOSEN.get(folder, ())
    code, text = run(command, 900, capture=True)
    found = re.search(r"\d+% tests passed, (\d+) tests failed out of (\d+)", text)
    if found is None:
        if code == 0:
            return None
        print(text[-8000:])
        outcome.failed = 1
        return outcome
    outcome.failed = int(found[1])
    outcome.skipped = len(re.findall(r"\*\*\*Skipped", text))
    outcome.passed = int(found[2]) - outcome.failed - outcome.skipped
    print("\n".join(line for line in text.splitlines() if "skipped: needs" in line))
    if code != 0:
        print(text[-8000:])
        outcome.failed = max(outcome.failed, 1)
    return outcome


def fuzz(seconds: int) -> Outcome | None:
    """Every fuzz target for a while, on the seeds of the tree and the corpus of earlier runs."""
    outcome = Outcome("fuzz")
    targets = sorted(path for path in (ROOT / "build" / "fuzz" / "fuzz").glob("*") if os.access(path, os.X_OK))
    for target in targets:
        corpus = ROOT / "build" / "fuzz" / "corpus" / target.name
        corpus.mkdir(parents=True, exist_ok=True)
        options = [f"-max_total_time={seconds}", "-rss_limit_mb=2048", "-timeout=10"]
        options += [f"-artifact_prefix={corpus.parent}/"]
        seeds = ROOT / "tests" / "protocol" / "fuzz" / target.name
        folders = [str(folder) for folder in (corpus, seeds) if folder.is_dir()]
        code, text = run([str(target), *options, *folders], seconds + 120, capture=True)
        outcome.passed += code == 0
        outcome.failed += code != 0
        lines = text.splitlines()
        print("\n".join(lines if code else [f"{target.name}: {lines[-1] if lines else 'done'}"]), flush=True)
    return outcome if targets else None


def model() -> Outcome:
    """The protocol's model, sound and with each rule broken."""
    outcome = Outcome("model")
    if shutil.which("spin") is None:
        outcome.missing = "spin"
        return outcome
    code, text = run([sys.executable, "tools/model.py"], 900, capture=True)
    print(text, end="", flush=True)
    found = re.search(r"^model: (\d+) as expected, (\d+) not$", text, re.MULTILINE)
    if found:
        outcome.passed, outcome.failed = int(found[1]), int(found[2])
    if code != 0:
        outcome.failed = max(outcome.failed, 1)
    return outcome


def simulate(seeds: int) -> Outcome:
    """Seeds over all scenarios of the simulator, and a broken core for each invariant, which it must catch."""
    outcome = Outcome("sim")
    code, text = run([sys.executable, "tools/simulate.py", "--seeds", str(seeds), "--breaks"], 900, capture=True)
    print(text[-8000:], end="", flush=True)
    for held, failed in re.findall(r"^(\d+) (?:seeds held|broken cores caught), (\d+) not", text, re.MULTILINE):
        outcome.passed += int(held)
        outcome.failed += int(failed)
    if code != 0 or outcome.passed < seeds:
        outcome.failed = max(outcome.failed, 1)
    return outcome


def pytest(tier: Tier) -> Outcome | None:
    folders = [folder for folder in tier.folders if (ROOT / folder).is_dir()]
    if not folders:
        return None
    outcome = Outcome(tier.name)
    if tier.needs_root and os.geteuid() != 0:
        outcome.missing = "root"
        return outcome
    report = RESULTS / f"{tier.name}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-m", tier.markers, f"--junitxml={report}", *folders]
    code, _ = run(command, tier.deadline_s)
    if code == PYTEST_NO_TESTS:
        return None
    if not report.exists():
        outcome.failed = 1
        return outcome
    suite = next(ElementTree.parse(report).getroot().iter("testsuite")).attrib
    outcome.failed = int(suite["failures"]) + int(suite["errors"])
    outcome.skipped = int(suite["skipped"])
    outcome.passed = int(suite["tests"]) - outcome.failed - outcome.skipped
    if code != 0:
        outcome.failed = max(outcome.failed, 1)
    return outcome


def verdict(outcomes: list[Outcome], in_ci: bool) -> tuple[list[str], bool]:
    """One line per tier and a last one with the sum, and whether the whole run is good.

    Not good: a failure, no passed test at all, or in CI a tier that was not run or of which everything was skipped.
    """
    lines = []
    good = any(outcome.passed for outcome in outcomes)
    for outcome in outcomes:
        counts = f"{outcome.passed} passed, {outcome.failed} failed, {outcome.skipped} skipped"
        line = f"{outcome.tier:14} " + (
            f"not run: needs {outcome.missing}" if outcome.missing else f"{counts}, {outcome.seconds:.0f} s"
        )
        if in_ci and outcome.passed == 0 and (outcome.missing or outcome.skipped):
            line += " (a failure in CI)"
            good = False
        good = good and outcome.failed == 0
        lines.append(line)
    passed, failed, skipped = (sum(getattr(o, field) for o in outcomes) for field in ("passed", "failed", "skipped"))
    return [*lines, f"{passed} passed, {failed} failed, {skipped} skipped"], good


def main() -> int:
    known = ["lint", *(f"core-{folder}" for folder in CORE), "model", "sim", "fuzz", *(tier.name for tier in TIERS)]
    parser = argparse.ArgumentParser(description="Runs the tiers of the test suite.")
    parser.add_argument("--fuzz-seconds", type=int, default=10, metavar="N", help="per target, default 10")
    parser.add_argument("tier", nargs="*", help=f"of {', '.join(known)}")
    arguments = parser.parse_args()
    wanted = arguments.tier or known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        parser.error(f"no tier {', '.join(unknown)}; there are {', '.join(known)}")
    # A shell's background job ignores interrupts, and so would everything that is started here; tests send some.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    RESULTS.mkdir(parents=True, exist_ok=True)
    steps: list[Step] = [("lint", "ruff, mypy", partial(lint, Path(sys.executable).parent))]
    steps += [(f"core-{folder}", proof, partial(core, folder)) for folder, proof in CORE.items()]
    steps += [("model", "SPIN", model)]
    steps += [("sim", f"{SIM_SEEDS} seeds, broken cores", partial(simulate, SIM_SEEDS))]
    steps += [("fuzz", "libFuzzer", partial(fuzz, arguments.fuzz_seconds))]
    steps += [(tier.name, tier.markers, partial(pytest, tier)) for tier in TIERS]
    outcomes = []
    for name, what, step in steps:
        if name not in wanted:
            continue
        print(f"\n== {name}: {what}", flush=True)
        began = time.monotonic()
        outcome = step()
        if outcome is not None:
            outcome.seconds = time.monotonic() - began
            outcomes.append(outcome)

    lines, good = verdict(outcomes, in_ci=os.environ.get("CI") == "true")
    print("\n== tiers")
    print("\n".join(lines))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
