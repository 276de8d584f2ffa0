#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Faults at every journal point of runs on hosts of a lab, and at random points of runs on the driver models.

Usage: .venv/bin/python tools/faults.py [--seed N] [--only ROW] [--tier netns|models]... [--record FILE]
Rows of the VM tier are taken from build/faults/vm.jsonl. Ends in 1 when a host was left between.
"""

from __future__ import annotations

import argparse
import os
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.faults import fleets, models, page, rows  # noqa: E402
from tests.netns.fleet.conftest import own_inventory  # noqa: E402
from tests.support.fleets import Fleet  # noqa: E402
from tests.support.gated import gated  # noqa: E402
from tests.support.labs import Lab  # noqa: E402

RESULTS = ROOT / "build" / "faults"
TIERS = ("models", "netns", "vm")


def commit() -> str:
    argv = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def fleet(folder: Path) -> Iterator[Fleet]:
    """Two enrolled hosts of a lab of its own, with a gate around their journals."""
    lab = Lab(folder / "lab")
    lab.up(hosts=2, queues=2)
    try:
        made = Fleet(own_inventory(lab, folder), gated(folder), lab.reboot, lab.fault, lab.heal)
        made.enroll()
        yield made
        made.close()
    finally:
        lab.down()


def on_hosts(seed: int, only: str, done: set[str], take: Callable[[rows.Row], None]) -> None:
    """Every kind of fault, on two hosts at once; in no order, so that what ran before an end is a fair part."""
    todo: queue.Queue[fleets.Kind] = queue.Queue()
    kinds = [kind for kind in fleets.kinds() if (not only or fnmatch(kind.id, only)) and kind.id not in done]
    random.Random(seed).shuffle(kinds)
    for kind in kinds:
        todo.put(kind)
    if todo.empty():
        return
    with tempfile.TemporaryDirectory() as name, fleet(Path(name)) as hosts:
        os.environ["TETHER_STATE"] = str(Path(name) / "another")

        def work(host: str) -> None:
            place = fleets.place_on(hosts, host, Path(name))
            while True:
                try:
                    kind = todo.get_nowait()
                except queue.Empty:
                    return
                take(fleets.strike(place, kind))

        threads = [threading.Thread(target=work, args=(host,), daemon=True) for host in ("a", "b")]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            with suppress(queue.Empty):
                while True:
                    todo.get_nowait()
            for thread in threads:
                thread.join()  # each ends its row
            raise


def on_models(seed: int, points: int, only: str, take: Callable[[rows.Row], None]) -> None:
    """So many points of each model."""
    chosen = only.split("/")
    if len(chosen) > 1:
        seed = int(chosen[1])
    for model in models.MODELS:
        if not only or chosen[0] == model:
            with tempfile.TemporaryDirectory() as name:
                for row in models.rows(model, seed, Path(name), points, only):
                    take(row)


class Account:
    """Takes rows, says each, and keeps them in a file of their tier."""

    def __init__(self, tier: str, head: dict[str, Any], keep: bool, go_on: bool) -> None:
        self.rows: list[rows.Row] = []
        self.lock = threading.Lock()
        RESULTS.mkdir(parents=True, exist_ok=True)
        path = RESULTS / f"{tier}.jsonl"
        former, found = rows.read(path) if go_on else ({}, [])
        self.done = {row.id for row in found if row.ok}
        self.file = path.open("a" if former else "w", encoding="utf-8") if keep else None
        if self.file is not None and not former:
            self.file.write(rows.head_line(tier, head))

    def take(self, row: rows.Row) -> None:
        with self.lock:
            self.rows.append(row)
            print(f"{len(self.rows):4} {row.seconds:6.1f} s  {row.id} | {row.point}: {row.end}", flush=True)
            if self.file is not None:
                self.file.write(row.line())
                self.file.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description="Faults in the middle of runs.")
    parser.add_argument("--seed", type=int, help="of the points of the driver models; a random one when left out")
    parser.add_argument("--points", type=int, default=models.POINTS, help="of each model, default 20")
    parser.add_argument(
        "--only", default="", metavar="ROW", help="rows by their name in the record; * stands for anything"
    )
    parser.add_argument("--tier", action="append", choices=("models", "netns"), help="default: both")
    parser.add_argument(
        "--go-on", action="store_true", help="keep the rows of an earlier run on hosts, make the others"
    )
    parser.add_argument("--no-rows", action="store_true", help="make no rows, only the record of those that are there")
    parser.add_argument("--record", type=Path, help="file to write, from the newest rows of each tier")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 31)
    print(f"seed {seed}", flush=True)
    head = {"commit": commit(), "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "seed": seed}
    wrong: list[rows.Row] = []
    for tier in () if arguments.no_rows else arguments.tier or ("models", "netns"):
        whole = len(models.MODELS) * arguments.points * len(models.FAULTS)
        head["of"] = len(list(fleets.kinds())) if tier == "netns" else whole
        account = Account(tier, head, not arguments.only, arguments.go_on and tier == "netns")
        if tier == "netns" and (not arguments.only or arguments.only.startswith("netns/")):
            on_hosts(seed, arguments.only, account.done, account.take)
        elif tier == "models" and not arguments.only.startswith("netns/"):
            on_models(seed, arguments.points, arguments.only, account.take)
        if account.file is not None:
            account.file.close()
        wrong += [row for row in account.rows if not row.ok]
    for row in wrong:
        print(f"\nleft between: {row.id}\n{row.point}, {row.then}: {row.end}")
    if arguments.record is not None:
        found = {tier: rows.read(RESULTS / f"{tier}.jsonl") for tier in TIERS}
        arguments.record.write_text(page.page(found), encoding="utf-8")
    print(f"{len(wrong)} left between")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
