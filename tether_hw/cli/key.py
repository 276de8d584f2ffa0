# SPDX-License-Identifier: Apache-2.0
"""`tether key`: identity keys, made on hosts, their public halves in the keys file; and the keys of operators."""

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
    operator = verbs.add_parser("operator", help="who may change hosts; --make makes such a key")
    operator.add_argument("--make", metavar="FILE", type=Path, help="make a private key and print its public line")
    operator.add_argument("--comment", metavar="TEXT", default="", help="whose it is, behind the public key")
    operator.add_argument(
        "--passphrase", metavar="REFERENCE", help="protect it: env:NAME, file:PATH or keyring:SERVICE/USER"
    )
    add_inventory(operator)
    add_json(operator)
    for one in (enroll, show):
        add_inventory(one)
        add_limit(one)
        add_json(one)


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from tether_hw.fleet.inventory import load
    from tether_hw.fleet.patterns import select

    if args.key_verb == "operator":
        return _operator(args)
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


def _operator(args: argparse.Namespace) -> int:
    from tether_hw.errors import TetherError, UsageError
    from tether_hw.fleet import operator, secrets
    from tether_hw.fleet.inventory import load

    if args.make is None:
        if args.passphrase or args.comment:
            raise UsageError("tether key operator: --comment and --passphrase go with --make")
        inventory = load(Path(args.inventory))
        signer = operator.signer(inventory)
        entries = [
            {"line": line, "fingerprint": operator.print_of(operator.public_bytes(line))}
            for line in inventory.operators
        ]
        own = None if signer is None else operator.print_of(signer.key.public)
        lines = [f"{entry['fingerprint']} {' '.join(entry['line'].split(' ')[2:])}".strip() for entry in entries]
        named = own in {entry["fingerprint"] for entry in entries}
        lines.append(f"signs here: {own or 'nobody'}{'' if named or own is None else ', who is none of them'}")
    else:
        if not args.comment.isprintable() or len(args.comment) > 100:
            raise TetherError("--comment: expected up to 100 printable characters")
        if args.passphrase is not None and not secrets.is_reference(args.passphrase):
            raise TetherError("--passphrase is a reference: env:NAME, file:PATH or keyring:SERVICE/USER")
        line = operator.make(args.make, args.comment, args.passphrase)
        own = operator.print_of(operator.public_bytes(line))
        entries = [{"line": line, "fingerprint": own}]
        lines = [line]
        output.say(f"{args.make}: made, {own}; the line goes into `operators` of the inventory, the file stays yours")
    output.result("\n".join(lines), as_json=args.json)
    if args.json:
        output.emit_json({"schema": "tether.key.operator/1", "operators": entries, "signs": own})
    return 0
