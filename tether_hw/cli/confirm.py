# SPDX-License-Identifier: Apache-2.0
"""`tether confirm RUN`: keep a run that waits for it, over a new connection to each host."""

from __future__ import annotations

import argparse
from typing import Any

from tether_hw.cli.run_verb import add_run_parser, carry_out


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    add_run_parser(subparsers, "confirm", "keep a run that waits for it", __doc__.split(": ", 1)[1])


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from tether_hw.fleet.runs import confirm

    args.yes = True  # it keeps what is there; there is nothing to ask
    return carry_out(args, "confirm", "Confirm", confirm)
