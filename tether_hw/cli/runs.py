# SPDX-License-Identifier: Apache-2.0
"""`tether runs`: the runs that the hosts know, and where each stands."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tether_hw.cli import output
from tether_hw.cli.common import add_inventory, add_json, add_limit, add_timeout
from tether_hw.cli.exits import worst


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("runs", help="the runs of the hosts", description=__doc__.split(": ", 1)[1])
    add_inventory(parser)
    add_limit(parser)
    add_timeout(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from tether_hw.fleet import state
    from tether_hw.fleet.cards import splits
    from tether_hw.fleet.inventory import load
    from tether_hw.fleet.patterns import select
    from tether_hw.fleet.progress import show
    from tether_hw.fleet.reach import Reach
    from tether_hw.fleet.runs import listing

    inventory = load(Path(args.inventory))
    hosts = select(inventory, args.limit)
    with show(hosts, quiet=True) as progress:
        entries = listing(Reach(inventory, args.timeout, progress=progress), hosts, args.parallel)
    code = worst(int(entry["exit"]) for entry in entries)
    records = state.known(inventory)
    split = splits(inventory.cards, {entry["host"]: entry for entry in entries if not entry["exit"]})
    told = [f"card {one['card']}: {one['message']}\n    hint: {one['hint']}" for one in split]
    text = "\n".join([*_lines(entries), *told]) or "no host knows a run"
    output.result(text, as_json=args.json)
    if args.json:
        output.emit_json(
            {
                "schema": "tether.runs/1",
                "exit": int(code),
                "hosts": entries,
                "split": split,
                "here": [record["run"] for record in records],
            }
        )
    return code


def _lines(entries: list[dict[str, Any]]) -> list[str]:
    """Runs for people: one line per run and host, newest last, and hosts that could not be asked."""
    rows = []
    for entry in entries:
        if entry["exit"]:
            rows.append(("~", f"{entry['host']}: {entry['result']}: {entry['message']}"))
        came = (entry.get("boot") or {}).get("result")
        if came is not None and not came["ok"]:
            rows.append(
                ("~", f"{entry['host']}: booted on unconfigured, the boot plan of {came['run']}: {came['why']}")
            )
        for known in entry.get("runs", []):
            left = f", taken back in {known['left_s']:.0f} s" if known["state"] == "awaiting" else ""
            words = f"{known['run']}  {entry['host']}: {known['state']}, {_steps(known)}{left}"
            rows.append((known["run"], f"{words}, by {known['holder']} at {known['began']}"))
    return [line for _, line in sorted(rows)]


def _steps(known: dict[str, Any]) -> str:
    """How many steps were carried out, and how many of them do not stand any more."""
    ran = sum(step["ran"] for step in known["steps"])
    back = ran - sum(step["done"] for step in known["steps"])
    text = f"{ran} of {len(known['steps'])} steps carried out"
    if back:
        text += f", {'all' if back == ran else back} of them taken back"
    return text
