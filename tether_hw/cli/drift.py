# SPDX-License-Identifier: Apache-2.0
"""`tether drift [PATTERN]`: what is no longer as the last kept run left it, and why where that is known. Only reads."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tether_hw.cli import output
from tether_hw.cli.common import add_inventory, add_json, add_limit, add_timeout
from tether_hw.cli.exits import Exit, worst

_MOST_STEPS = 12


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("drift", help="show what others changed", description=__doc__.split(": ", 1)[1])
    parser.add_argument("pattern", nargs="*", metavar="PATTERN", help="only these hosts")
    add_inventory(parser)
    add_limit(parser)
    add_timeout(parser)
    add_json(parser)
    parser.add_argument(
        "--detailed-exitcode",
        action="store_true",
        help="end in 2 when there is drift that the inventory does not ignore",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from datetime import UTC, datetime

    from tether_hw.cli.read_facts import warn_of_stale_bundles
    from tether_hw.fleet import drift
    from tether_hw.fleet.inventory import load
    from tether_hw.fleet.patterns import select
    from tether_hw.fleet.planner import make_plan
    from tether_hw.fleet.planning import setting
    from tether_hw.fleet.progress import show
    from tether_hw.fleet.reach import Reach
    from tether_hw.fleet.runs import split_runs
    from tether_hw.fleet.words import result_of

    inventory = load(Path(args.inventory))
    names = select(inventory, [*args.limit, *args.pattern])
    warn_of_stale_bundles()
    today = datetime.now(UTC).date()
    with show(names, quiet=args.json) as progress:
        reach = Reach(inventory, args.timeout, progress=progress)
        results = drift.collect(reach, names, args.parallel)
        split = split_runs(reach, results.done, args.parallel)
    seen = {name: results.done[name] for name in sorted(results.done)}
    plan = make_plan(inventory, {name: one.facts for name, one in seen.items()}, setting(inventory))
    entries = [
        _entry(name, one, drift.judge(inventory, name, one, plan.hosts.get(name), today)) for name, one in seen.items()
    ]
    for entry in entries:
        entry["refusals"] = [refusal["reason"] for refusal in plan.refusals if refusal["host"] == entry["host"]]
    for name in sorted(results.failed):
        output.report(results.failed[name])
        entries.append(
            {**result_of(results.failed[name]), "kept": None, "drift": [], "not_applied": [], "refusals": []}
        )
    entries.sort(key=lambda entry: str(entry["host"]))
    counts = {
        "drift": sum(item["ignored"] is None for entry in entries for item in entry["drift"]),
        "ignored": sum(item["ignored"] is not None for entry in entries for item in entry["drift"]),
        "not_applied": sum(len(entry["not_applied"]) for entry in entries),
    }
    orphans = sorted(set(inventory.keys) - set(inventory.hosts))
    old = drift.expired(inventory, today)
    codes = [int(entry["exit"]) for entry in entries]
    codes += [int(Exit.FAILED)] if split else []
    if args.detailed_exitcode and counts["drift"]:
        codes.append(Exit.CHANGES)
    code = worst(codes)
    text = [line for entry in entries if not entry["exit"] for line in _lines(entry)]
    text += [
        f"{name}: is in {inventory.keys_file.name} and no longer in the inventory: tether retire {name}"
        for name in orphans
    ]
    text += [f"card {one['card']}: {one['message']}\n    hint: {one['hint']}" for one in split]
    text += [*old, _summary(counts, len(seen), len(results.failed))]
    output.result("\n".join(text), as_json=args.json)
    if args.json:
        output.emit_json(
            {
                "schema": "tether.drift/1",
                "exit": int(code),
                **counts,
                "split": split,
                "hosts": entries,
                "orphans": orphans,
                "expired": old,
            }
        )
    return code


def _entry(name: str, seen: Any, judged: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> dict[str, Any]:
    from tether_hw.fleet.words import result_ok

    found, left = judged
    told = [item for item in found if item["ignored"] is None]
    if seen.kept is None:
        result, message = "no-record", "no run was kept here yet, so nothing can have drifted"
    elif told:
        result, message = "drifted", f"{len(told)} values are not as run {seen.kept['run']} left them"
    else:
        result, message = "as-kept", f"as run {seen.kept['run']} left it"
    kept = None if seen.kept is None else {name: seen.kept[name] for name in ("run", "state", "at")}
    return {**result_ok(name, result, message), "kept": kept, "drift": found, "not_applied": left}


def _lines(entry: dict[str, Any]) -> list[str]:
    from tether_hw.plan.difference_words import brief

    lines = [f"{entry['host']}: {entry['message']}"]
    for item in entry["drift"]:
        words = f"  {'.'.join(item['path'])}: was {brief(item['was'])}, is {brief(item['is'])}"
        if item["ignored"] is not None:
            lines.append(f"{words} (ignored until {item['ignored']['until']}: {item['ignored']['reason']})")
            continue
        lines.append(words)
        lines += [f"      {cause['what']}: {cause['words']}" for cause in item["causes"]]
        if not item["causes"]:
            lines.append("      cause unknown")
        if not item["planned"]:
            lines.append("      the plan would not change it")
    steps = entry["not_applied"]
    if steps:
        lines.append(f"  not applied yet: {len(steps)} steps of the plan have nothing to do with drift")
        lines += [f"      {step['step']}: {step['summary']}" for step in steps[:_MOST_STEPS]]
    lines += [f"  cannot be planned: {reason}" for reason in entry["refusals"]]
    return lines


def _summary(counts: dict[str, int], hosts: int, not_read: int) -> str:
    text = f"{counts['drift'] or 'no'} drift on {hosts} host{'' if hosts == 1 else 's'}"
    if counts["ignored"]:
        text += f", {counts['ignored']} known and ignored"
    if counts["not_applied"]:
        text += f"; {counts['not_applied']} steps not applied yet"
    if not_read:
        text += f"; {not_read} host{'' if not_read == 1 else 's'} not read"
    return text
