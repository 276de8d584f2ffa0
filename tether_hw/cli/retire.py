# SPDX-License-Identifier: Apache-2.0
"""`tether retire HOST`: a host leaves: off its peers' rosters, then all that is ours off the host, then its key."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tether_hw.cli import output
from tether_hw.cli.common import add_inventory, add_json, add_timeout, add_yes
from tether_hw.cli.exits import Exit, worst
from tether_hw.errors import TetherError


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("retire", help="take a host out of service", description=__doc__.split(": ", 1)[1])
    parser.add_argument("host", metavar="HOST", help="a host of the inventory, or one that only the keys file knows")
    parser.add_argument(
        "--without",
        metavar="PEER",
        action="append",
        default=[],
        help="go on although this peer keeps the host in its roster until it is planned again",
    )
    add_inventory(parser)
    add_timeout(parser)
    add_yes(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from tether_hw.cli.read_facts import warn_of_stale_bundles
    from tether_hw.fleet.inventory import load
    from tether_hw.fleet.inventory_checks import did_you_mean
    from tether_hw.fleet.progress import show
    from tether_hw.fleet.reach import Reach
    from tether_hw.fleet.retire import Retirement, peers_of

    inventory = load(Path(args.inventory))
    host = args.host
    known = {*inventory.hosts, *inventory.keys}
    if host not in known:
        raise TetherError(f"no host {host!r} in {args.inventory} or its keys", hint=did_you_mean(host, known))
    peers = peers_of(inventory, host)
    for name in args.without:
        if name not in peers:
            raise TetherError(f"--without {name}: it is no peer of {host}", hint=did_you_mean(name, peers))
    warn_of_stale_bundles()
    asked = [peer for peer in peers if peer not in args.without]
    question = f"Take {host} off the rosters of {', '.join(asked) or 'nobody'}, undo all that is ours on it"
    if not output.agreed(f"{question}, and delete its key?", yes=args.yes):
        raise TetherError("not agreed, nothing was done")
    with show([*asked, host], quiet=args.json) as progress:
        one = Retirement(Reach(inventory, args.timeout, progress=progress), host, args.without, args.parallel)
        one.leave_peers()
        if one.outcome.peers_done:
            if host in inventory.hosts:
                one.leave_host()
            one.forget_key()
    return _told(args, inventory, one.outcome)


def _told(args: argparse.Namespace, inventory: Any, outcome: Any) -> int:
    host = args.host
    results = [*outcome.peers, *([] if outcome.host is None else [outcome.host])]
    after = []
    if not outcome.peers_done:
        names = [result["host"] for result in outcome.peers if result["exit"]]
        options = " ".join(f"--without {name}" for name in names)
        after.append(f"nothing was done on {host}; again when {', '.join(names)} answers, or with {options}")
    elif host not in inventory.hosts:
        after.append(f"{host} is in no inventory: what it carries stays as it is; retire it with -i of one that had it")
    else:
        if outcome.host["exit"]:
            after.append(f"its peers know {host} no more; what it carries is still there: tether retire {host} again")
        after.append(f"take {host} out of {inventory.path}")
    text = []
    for result in results:
        text.append(f"{result['host']}: {result['result']}: {result['message']}")
        if result.get("hint"):
            text.append(f"    hint: {result['hint']}")
    if outcome.key_removed:
        text.append(f"{host}: its key is out of {inventory.keys_file.name}")
    output.result("\n".join([*text, *(f"next: {line}" for line in after)]), as_json=args.json)
    code = worst(int(result["exit"]) for result in results)
    if args.json:
        document = {
            "schema": "tether.retire/1",
            "exit": int(code),
            "host": host,
            "key_removed": outcome.key_removed,
            "runs": outcome.runs,
            "hosts": results,
            "next": after,
        }
        output.emit_json(document)
    return int(code) if results else int(Exit.DONE)
