# SPDX-License-Identifier: Apache-2.0
"""`tether show`: a saved plan explained: every step with its command, conditions, deadline and undo."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tether_hw.cli import output
from tether_hw.cli.common import add_json
from tether_hw.cli.exits import Exit
from tether_hw.cli.plan_text import plan_lines
from tether_hw.errors import InputErrors, Problem, TetherError
from tether_hw.plan.plan import Plan
from tether_hw.plan.shape import ShapeError


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("show", help="explain a saved plan", description=__doc__.split(": ", 1)[1])
    parser.add_argument("file", metavar="FILE", type=Path, help="a plan that `tether plan -o FILE` saved")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    plan = read_plan(args.file)
    if args.json:
        output.emit_json(plan.to_dict())
    head = f"plan {plan.id[:12]}, made {plan.made} by tether {plan.suite} for {plan.inventory}"
    output.result("\n".join([head, *plan_lines(plan, full=True)]), as_json=args.json)
    return Exit.DONE


def read_plan(path: Path) -> Plan:
    """A saved plan, read strictly. Raises TetherError."""
    try:
        return Plan.load(path.read_bytes())
    except OSError as error:
        raise TetherError(f"{path}: {error.strerror}", hint="tether plan -o FILE saves a plan") from None
    except ShapeError as error:
        problem = Problem(str(path), 0, 0, error.where, error.message, "plan again: tether plan -o FILE")
        raise InputErrors([problem]) from None
