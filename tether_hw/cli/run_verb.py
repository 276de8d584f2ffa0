# SPDX-License-Identifier: Apache-2.0
"""What confirm, rollback and resume have in common: a run, hosts that may know it, one result per host."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tether_hw.cli import output
from tether_hw.cli.common import add_inventory, add_json, add_limit, add_timeout, add_yes
from tether_hw.errors import TetherError

if TYPE_CHECKING:
    from tether_hw.fleet.reach import Reach

LAST = "last"  # in place of a run's name

Work = Callable[["Reach", list[str], str, int], list[dict[str, Any]]]


def add_run_parser(
    subparsers: Any, verb: str, help_text: str, description: str, *, optional: bool = False
) -> argparse.ArgumentParser:
    """The options of a verb that is about one run; `optional`: an option may name it instead."""
    parser: argparse.ArgumentParser = subparsers.add_parser(verb, help=help_text, description=description)
    run_help = "the run, as `tether runs` lists it, or last: the newest that is not taken back"
    parser.add_argument("run_name", metavar="RUN", help=run_help, nargs="?" if optional else None)
    add_inventory(parser)
    add_limit(parser)
    add_timeout(parser)
    add_yes(parser)
    add_json(parser)
    return parser


def carry_out(args: argparse.Namespace, verb: str, question: str, work: Work) -> int:
    """Ask, do it on every host, print what came of it."""
    from tether_hw.agent.run import RUN_NAME
    from tether_hw.cli.results import give
    from tether_hw.fleet.cards import check_whole, outcomes
    from tether_hw.fleet.inventory import load
    from tether_hw.fleet.patterns import select
    from tether_hw.fleet.progress import show
    from tether_hw.fleet.reach import Reach
    from tether_hw.fleet.runs import newest

    run = args.run_name
    if run != LAST and not RUN_NAME.match(run):
        raise TetherError(f"{run!r} is not the name of a run", hint="tether runs")
    inventory = load(Path(args.inventory))
    hosts = select(inventory, args.limit)
    check_whole(inventory.cards, hosts)
    if run == LAST:
        with show(hosts, quiet=True) as progress:
            run = newest(Reach(inventory, args.timeout, progress=progress), hosts, args.parallel)
        if run is None:
            raise TetherError("no host knows a run that is not taken back", hint="tether runs")
    if not output.agreed(f"{question} {run} on {', '.join(hosts)}?", yes=args.yes):
        raise TetherError("not agreed, nothing was done")
    with show(hosts, quiet=args.json) as progress:
        results = work(Reach(inventory, args.timeout, progress=progress), hosts, run, args.parallel)
    results = [result for result in results if result["result"] != "unknown"]
    return give(f"tether.{verb}/1", results, as_json=args.json, run=run, cards=outcomes(results))
