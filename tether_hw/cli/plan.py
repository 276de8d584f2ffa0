# SPDX-License-Identifier: Apache-2.0
"""`tether plan`: what would change, in which order, what it disturbs, and how it is undone. Changes nothing."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tether_hw.cli import output
from tether_hw.cli.common import add_inventory, add_json, add_limit, add_timeout
from tether_hw.cli.exits import Exit, worst
from tether_hw.cli.plan_text import plan_lines
from tether_hw.errors import TetherError


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("plan", help="show what would change", description=__doc__.split(": ", 1)[1])
    add_inventory(parser)
    add_limit(parser)
    add_timeout(parser)
    add_json(parser)
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="save the plan, for `tether apply FILE`")
    parser.add_argument(
        "--facts", metavar="DIR", type=Path, help="plan from recorded facts; such a plan is not applied"
    )
    parser.add_argument("--detailed-exitcode", action="store_true", help="end in 2 when there are changes")


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from tether_hw.cli.read_facts import read_facts
    from tether_hw.fleet.inventory import load
    from tether_hw.fleet.patterns import select
    from tether_hw.fleet.planner import make_plan
    from tether_hw.fleet.planning import setting

    inventory = load(Path(args.inventory))
    names = select(inventory, args.limit)
    facts, failed = read_facts(inventory, names, args)
    plan = make_plan(inventory, facts, setting(inventory, recorded=args.facts is not None))
    if args.output is not None:
        save(plan.text(), plan.not_for_apply, args.output)
    if args.json:
        document = plan.to_dict()
        document["failed"] = failed
        output.emit_json(document)
    output.result("\n".join(plan_lines(plan, unread=len(failed))), as_json=args.json)
    codes: list[int] = [failure["exit"] for failure in failed]
    if plan.refusals:
        codes.append(Exit.FAILED)
    if args.detailed_exitcode and plan.changes:
        codes.append(Exit.CHANGES)
    return worst(codes)


def save(text: str, not_for_apply: tuple[str, ...], path: Path) -> None:
    """Save a plan. One that names what is not there yet (a key, a bundle) cannot be saved."""
    missing = [reason for reason in not_for_apply if reason != "made from recorded facts"]
    if missing:
        hint = "tether key enroll makes the keys, make bundle the bundles; --limit leaves out hosts"
        raise TetherError(f"this plan cannot be saved: {'; '.join(missing)}", hint=hint)
    try:
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
    except OSError as error:
        raise TetherError(f"{path}: {error.strerror}") from None
