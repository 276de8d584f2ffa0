#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random machines of the driver models until enough plans were applied, and the planner's mutants; writes the record.

Usage: .venv/bin/python tools/driver_models.py [--applied N] [--seed N] [--record FILE]
Ends in 1 when a wish was not met, a second plan was not empty, or a start did not come back.
"""

from __future__ import annotations

import argparse
import itertools
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402

from tests.drivers.common.law import Account, hold  # noqa: E402
from tests.drivers.common.rules import rules  # noqa: E402
from tests.drivers.ice.draws import FAMILY, Begin, Wish, begins, wishes  # noqa: E402
from tests.drivers.ice.mutants import judge  # noqa: E402
from tests.drivers.ice.mutants_list import MUTANTS  # noqa: E402

BATCH = 40


def batch(number: int, folder: Path, account: Account) -> list[str]:
    """One batch of machines; the failures in words."""
    names = itertools.count()
    failures: list[str] = []

    @seed(number)
    @settings(
        max_examples=BATCH,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(begin=begins(), first=wishes(), second=wishes())
    def check(begin: Begin, first: Wish, second: Wish) -> None:
        place = folder / f"{number}-{next(names)}"
        try:
            hold(FAMILY, place, begin, [first, second], account)
        except Exception as error:  # noqa: BLE001 - all of them are told at the end
            failures.append(f"{begin}\n{first}\n{second}\n{type(error).__name__}: {error}")

    check()
    return failures


def mutants(folder: Path) -> tuple[str, list[str]]:
    """A table of what noticed each mutant, and those that nothing did."""
    rows, failures = "", []
    for rule, mutant in MUTANTS.items():
        verdict = judge(folder / rule, mutant, mutated=True)
        if verdict.outcome not in ("fails", "wrong") or not verdict.bites[rule]:
            failures.append(f"mutant of {rule}: {verdict.outcome}, {verdict.why}")
        by = "the run was taken back" if verdict.outcome == "fails" else "only the model knows"
        one = rules("ice")[rule]
        rows += f"| `{rule}` | {one.source} | {one.text} | {one.mutant} | {by} |\n"
    return rows, failures


def record(account: Account, machines: int, first: int, seconds: float, caught: str) -> str:
    """The page."""
    git = ["git", "rev-parse", "--short=12", "HEAD"]
    commit = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    kinds = "".join(f"| `{kind}` | {count} |\n" for kind, count in sorted(account.steps.items()))
    texts = {rule: one.text for rule, one in rules("ice").items()}
    traps = "".join(f"| `{rule}` | {count} | {texts[rule]} |\n" for rule, count in account.traps.most_common())
    reasons = "".join(f"| {count} | ... {words} ... |\n" for words, count in account.reasons.most_common(12))
    return f"""\
# Plans on models of drivers: the record

Written by `make driver-models` at commit {commit}. A model stands behind the real planner and the real agent; it proves
how we plan, apply and take back, and nothing about hardware.

Seed {first}: {machines} random machines (kernel, package, mode, VFs, queues, MTU, somebody else's rules, how late
devices show), two wishes for each, one over the other. {account.applied} plans were applied, {account.refused} refused
before anything was touched, {account.empty} were empty already. For every applied plan: the driver refused nothing, the
wish holds in the model, the second plan is empty, and taken back the machine is as it was. {seconds:.0f} s.

| kind of step | carried out |
|---|---|
{kinds}
| trap that closed | times | what it is |
|---|---|---|
{traps}
| refused plans | reason |
|---|---|
{reasons}
Every refusal and trap of the model, where it is from, and a planner or agent that is wrong in just that way:

| rule | source | what it says | mutant | noticed |
|---|---|---|---|---|
{caught}"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Random machines of the driver models.")
    parser.add_argument("--applied", type=int, default=200, help="plans to apply, default 200")
    parser.add_argument("--seed", type=int, help="of the first batch; a random one when left out")
    parser.add_argument("--record", type=Path, help="file to write")
    arguments = parser.parse_args()
    first = arguments.seed if arguments.seed is not None else random.randrange(1 << 31)
    account, machines, began = Account(), 0, time.monotonic()
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in itertools.count(first):
            failures += batch(number, Path(folder), account)
            machines += BATCH
            print(f"driver models: {account.applied} applied, {len(failures)} failed", flush=True)
            if account.applied >= arguments.applied or failures:
                break
        caught, missed = mutants(Path(folder))
    failures += missed
    print(f"driver models: {len(MUTANTS) - len(missed)} mutants caught, {len(missed)} not")
    for failure in failures:
        print(f"\n{failure}")
    print(f"{account.applied} plans held, {len(failures)} did not")
    if arguments.record is not None and not failures:
        page = record(account, machines, first, time.monotonic() - began, caught)
        arguments.record.write_text(page, encoding="utf-8")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
