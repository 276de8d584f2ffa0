# SPDX-License-Identifier: Apache-2.0
"""`tether rollback RUN`: take a run back, from whichever machine; each host undoes what is still as the run left it."""

from __future__ import annotations

import argparse
from typing import Any

from tether_hw.cli.run_verb import add_run_parser, carry_out


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    add_run_parser(subparsers, "rollback", "take a run back", __doc__.split(": ", 1)[1])


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from tether_hw.fleet.runs import rollback

    return carry_out(args, "rollback", "Take back", rollback)
