# SPDX-License-Identifier: Apache-2.0
"""`tether validate`: every mistake of an inventory at once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tether_hw.cli import output
from tether_hw.cli.common import add_inventory, add_json
from tether_hw.cli.exits import Exit
from tether_hw.errors import InputErrors, Problem


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("validate", help="check an inventory", description=__doc__.split(": ", 1)[1])
    parser.add_argument("file", nargs="?", metavar="FILE", help="the inventory, instead of -i")
    add_inventory(parser)
    add_json(parser)
    parser.add_argument(
        "--format",
        choices=("text", "github"),
        default="text",
        help="text: file:line:col: path: message; github: annotations of a workflow run (%(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from tether_hw.fleet.inventory import load

    path = Path(args.file or args.inventory)
    problems: list[Problem] = []
    inventory = None
    try:
        inventory = load(path)
    except InputErrors as errors:
        problems = errors.problems
    if args.json:
        output.emit_json(
            {
                "schema": "tether.validate/1",
                "inventory": str(path),
                "valid": not problems,
                "problems": [problem.to_dict() for problem in problems],
            }
        )
    if problems:
        if args.format == "github":
            for problem in problems:
                output.result(github(problem), as_json=args.json)
        else:
            output.report(InputErrors(problems))
        return Exit.ERROR
    assert inventory is not None
    counts = (
        f"{len(inventory.hosts)} hosts, {len(inventory.links)} links, {sum(map(len, inventory.lanes.values()))} lanes"
    )
    output.result(f"{path}: valid: {counts}", as_json=args.json)
    return Exit.DONE


def github(problem: Problem) -> str:
    """A problem as a workflow command (https://docs.github.com/actions/reference/workflow-commands-for-github-actions)."""
    message = f"{problem.path}: {problem.message}" if problem.path else problem.message
    if problem.hint:
        message += f" ({problem.hint})"
    text = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    file = problem.file.replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    place = f"file={file}" + (f",line={problem.line},col={problem.col}" if problem.line else "")
    return f"::error {place},title=tether::{text}"
