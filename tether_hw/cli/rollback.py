# SPDX-License-Identifier: Apache-2.0
"""`tether rollback RUN`: take a run back, from whichever machine; each host undoes what is still as the run left it."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from tether_hw.cli.run_verb import add_run_parser, carry_out
from tether_hw.errors import UsageError


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    description = __doc__.split(": ", 1)[1]
    parser = add_run_parser(subparsers, "rollback", "take a run back", description, optional=True)
    parser.add_argument(
        "--allow", action="append", choices=("reboot",), default=[], help="what it may do to the hosts beside the rest"
    )
    parser.add_argument(
        "--to", metavar="RUN", dest="to", help="take back all runs after this one, the newest first, and then this one"
    )


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from tether_hw.fleet.runs import rollback, rollback_to

    if (args.run_name is None) == (args.to is None):
        raise UsageError("tether rollback: a RUN is wanted, or --to RUN", hint="tether rollback --help")
    boots = "reboot" in args.allow
    if args.to is None:
        return carry_out(args, "rollback", "Take back", partial(rollback, boots=boots))
    args.run_name = args.to
    return carry_out(args, "rollback", "Take back all runs from the newest to", partial(rollback_to, boots=boots))
