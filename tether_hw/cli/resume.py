# SPDX-License-Identifier: Apache-2.0
"""`tether resume RUN`: go on with a run that was interrupted, from the hosts' journals."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from tether_hw.cli.run_verb import add_run_parser, carry_out


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = add_run_parser(subparsers, "resume", "go on with a run that was interrupted", __doc__.split(": ", 1)[1])
    parser.add_argument("--no-confirm", action="store_true", help="leave it waiting for `tether confirm RUN`")


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from tether_hw.fleet.runs import resume

    return carry_out(args, "resume", "Go on with", partial(resume, keep=not args.no_confirm))
