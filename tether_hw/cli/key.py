# SPDX-License-Identifier: Apache-2.0
"""`tether key`: identity keys, made on the hosts; their public halves lie in the inventory's keys file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tether_hw.cli import output
from tether_hw.cli.common import Parser, add_inventory, add_json, add_limit, add_timeout


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("key", help="identity keys of the hosts", description=__doc__.split(": ", 1)[1])
    verbs = parser.add_subparsers(dest="key_verb", metavar="VERB", required=True, parser_class=Parser)
    enroll = verbs.add_parser("enroll", help="make the keys that are missing, record the public halves")
    enroll.add_argument("pattern", nargs="*", metavar="PATTERN", help="only these hosts")
    enroll.add_argument("--replace", action="store_true", help="record the key that a host shows now as its only one")
    add_timeout(enroll)
    show = verbs.add_parser("show", help="the recorded keys and their fingerprints")
    show.add_argument("pattern", nargs="*", metavar="PATTERN", help="only these hosts")
    for one in (enroll, show):
        add_inventory(one)
        add_limit(one)
        add_json(one)


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from tether_hw.fleet.inventory import load
    from tether_hw.fleet.patterns import select

    inventory = load(Path(args.inventory))
    hosts = select(inventory, [*args.limit, *args.pattern])
    if args.key_verb == "enroll":
        return _enroll(args, inventory, hosts)
    return _show(args, inventory, hosts)


def _enroll(args: argparse.Namespace, inventory: Any, hosts: list[str]) -> int:
    from tether_hw.cli.results import give
    from tether_hw.fleet.enroll import enroll
    from tether_hw.fleet.progress import show
    from tether_hw.fleet.reach import Reach

    with show(hosts, quiet=args.json) as progress:
        results = enroll(Reach(inventory, args.timeout, progress=progress), hosts, args.parallel, args.replace)
    return give("tether.key.enroll/1", results, as_json=args.json, keys_file=str(inventory.keys_file))


def _show(args: argparse.Namespace, inventory: Any, hosts: list[str]) -> int:
    from tether_hw.fleet.fingerprint import fingerprint

    entries: list[dict[str, Any]] = [
        {"host": host, "keys": [{"key": key, "fingerprint": fingerprint(key)} for key in inventory.keys.get(host, ())]}
        for host in hosts
    ]
    lines = []
    for entry in entries:
        shown = ", ".join(f"{key['key']} {key['fingerprint']}" for key in entry["keys"])
        lines.append(f"{entry['host']}: {shown or 'not enrolled'}")
    output.result("\n".join(lines), as_json=args.json)
    if args.json:
        document = {"schema": "tether.key.show/1", "keys_file": str(inventory.keys_file), "hosts": entries}
        output.emit_json(document)
    return 0
