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
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402

from tests.drivers.common.law import Account, hold  # noqa: E402
from tests.drivers.common.mutants import judge  # noqa: E402
from tests.drivers.common.rules import rules  # noqa: E402
from tests.drivers.ice import draws as ice_draws  # noqa: E402
from tests.drivers.ice import mutants_list as ice_list  # noqa: E402
from tests.drivers.mlx5 import draws as mlx5_draws  # noqa: E402
from tests.drivers.mlx5 import mutants_list as mlx5_list  # noqa: E402

MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "ice": (ice_draws, ice_list.MUTANTS),
    "mlx5": (mlx5_draws, mlx5_list.MUTANTS),
}
WORDS = {
    "ice": "E810 cards under ice (kernel, package, mode, VFs, queues, MTU, rules of others, how late devices show)",
    "mlx5": "ConnectX-7 cards under mlx5_core (kernel, modes, VFs and their drivers, addresses, SFs, queues, MTU, "
    "rules of others, how late devices show)",
}

BATCH = 40


def batch(model: str, number: int, folder: Path, account: Account) -> list[str]:
    """One batch of machines; the failures in words."""
    names, draws = itertools.count(), MODELS[model][0]
    failures: list[str] = []

    @seed(number)
    @settings(
        max_examples=BATCH,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(begin=draws.begins(), first=draws.wishes(), second=draws.wishes())
    def check(begin: Any, first: Any, second: Any) -> None:
        place = folder / f"{model}-{number}-{next(names)}"
        try:
            hold(draws.FAMILY, place, begin, [first, second], account)
        except Exception as error:  # noqa: BLE001 - all of them are told at the end
            failures.append(f"{begin}\n{first}\n{second}\n{type(error).__name__}: {error}")

    check()
    return failures


def mutants(model: str, folder: Path) -> tuple[str, list[str]]:
    """A table of what noticed each mutant, and those that nothing did."""
    rows, failures = "", []
    for rule, mutant in MODELS[model][1].items():
        verdict = judge(MODELS[model][0].FAMILY, folder / f"{model} {rule}", mutant, mutated=True)
        if verdict.outcome not in ("fails", "wrong") or not verdict.bites[rule]:
            failures.append(f"mutant of {rule}: {verdict.outcome}, {verdict.why}")
        by = "the run was taken back" if verdict.outcome == "fails" else "only the model knows"
        one = rules(model)[rule]
        rows += f"| `{rule}` | {one.source} | {one.text} | {one.mutant} | {by} |\n"
    for rule, one in rules(model).items():
        if rule not in MODELS[model][1]:
            rows += f"| `{rule}` | {one.source} | {one.text} | | no plan of ours comes near it |\n"
    return rows, failures


HEAD = """\
# Plans on models of drivers: the record

Written by `make driver-models` at commit {commit}. A model stands behind the real planner and the real agent; it proves
how we plan, apply and take back, and nothing about hardware.
"""


def commit() -> str:
    git = ["git", "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def part(model: str, account: Account, machines: int, first: int, seconds: float, caught: str) -> str:
    """One model's part of the page."""
    kinds = "".join(f"| `{kind}` | {count} |\n" for kind, count in sorted(account.steps.items()))
    texts = {rule: one.text for rule, one in rules(model).items()}
    traps = "".join(f"| `{rule}` | {count} | {texts[rule]} |\n" for rule, count in account.traps.most_common())
    reasons = "".join(f"| {count} | ... {words} ... |\n" for words, count in account.reasons.most_common(12))
    return f"""
## {model}

Seed {first}: {machines} random machines with {WORDS[model]}, two wishes for each, one over the other.
{account.applied} plans were applied, {account.refused} refused before anything was touched, {account.empty} were empty
already. For every applied plan: the driver refused nothing, the wish holds in the model, the second plan is empty, and
taken back the machine is as it was. {seconds:.0f} s.

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


def one_model(model: str, applied: int, first: int) -> tuple[str, list[str]]:
    """Its machines, then its mutants; its part of the page, and what failed."""
    failures: list[str] = []
    account, machines, began, caught = Account(), 0, time.monotonic(), ""
    with tempfile.TemporaryDirectory() as folder:
        for number in itertools.count(first):
            failures += batch(model, number, Path(folder), account)
            machines += BATCH
            print(f"{model}: {account.applied} applied, {len(failures)} failed", flush=True)
            if account.applied >= applied or failures:
                break
        caught, missed = mutants(model, Path(folder))
    failures += missed
    print(f"{model}: {len(MODELS[model][1]) - len(missed)} mutants caught, {len(missed)} not", flush=True)
    return part(model, account, machines, first, time.monotonic() - began, caught), failures


def main() -> int:
    parser = argparse.ArgumentParser(description="Random machines of the driver models.")
    parser.add_argument("--applied", type=int, default=200, help="plans to apply for each model, default 200")
    parser.add_argument("--seed", type=int, help="of the first batch; a random one when left out")
    parser.add_argument("--record", type=Path, help="file to write")
    arguments = parser.parse_args()
    first = arguments.seed if arguments.seed is not None else random.randrange(1 << 31)
    parts = [one_model(model, arguments.applied, first) for model in MODELS]
    failures = [failure for _, failed in parts for failure in failed]
    for failure in failures:
        print(f"\n{failure}")
    print(f"{len(failures)} failures")
    if arguments.record is not None and not failures:
        arguments.record.write_text(HEAD.format(commit=commit()) + "".join(text for text, _ in parts), encoding="utf-8")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
