# SPDX-License-Identifier: Apache-2.0
"""`tether host bootstrap`: set hosts up once as root, so that a login user needs nothing but the helper."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tether_hw.cli import output
from tether_hw.cli.common import Parser, add_inventory, add_json, add_limit, add_timeout, add_yes
from tether_hw.cli.exits import Exit
from tether_hw.errors import TetherError, UsageError


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("host", help="set hosts up", description=__doc__.split(": ", 1)[1])
    verbs = parser.add_subparsers(dest="host_verb", metavar="VERB", required=True, parser_class=Parser)
    one = verbs.add_parser(
        "bootstrap",
        help="place the helper, its line for sudo and the keys of operators",
        description="Once as root (by login or sudo); afterwards again by an operator's signature, to renew them.",
    )
    one.add_argument("pattern", nargs="*", metavar="PATTERN", help="these hosts")
    one.add_argument(
        "--print", action="store_true", dest="print_", help="print a script that does it, for hosts or an image"
    )
    one.add_argument(
        "--arch", choices=("x86_64", "aarch64"), default="x86_64", help="of the script's hosts (%(default)s)"
    )
    add_inventory(one)
    add_limit(one)
    add_timeout(one)
    add_yes(one)
    add_json(one)


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from tether_hw.cli.read_facts import warn_of_stale_bundles
    from tether_hw.cli.results import give
    from tether_hw.fleet.bootstrap import bootstrap, script, wanted
    from tether_hw.fleet.inventory import load
    from tether_hw.fleet.patterns import select
    from tether_hw.fleet.progress import show
    from tether_hw.fleet.reach import Reach

    if args.print_ and args.json:
        raise UsageError("tether host bootstrap: --print prints a script, no document")
    if not args.pattern and not args.limit:
        raise UsageError("tether host bootstrap: which hosts?", hint="name them; '*' means all")
    inventory = load(Path(args.inventory))
    hosts = select(inventory, [*args.limit, *args.pattern])
    warn_of_stale_bundles()
    if args.print_:
        sys.stdout.write(script(inventory, hosts, args.arch))
        return Exit.DONE
    keys = {host: wanted(inventory, host) for host in hosts}
    operators = ", ".join(comment or key[:12] for key, comment in keys[hosts[0]].keys.items())
    question = f"Set up {', '.join(hosts)}, to be changed by {operators} only?"
    if not output.agreed(question, yes=args.yes):
        raise TetherError("not agreed, nothing was done")
    with show(hosts, quiet=args.json) as progress:
        results = bootstrap(Reach(inventory, args.timeout, progress=progress), hosts, args.parallel)
    after = sorted(host for host in hosts if not inventory.hosts[host].helper and keys[host].user != "root")
    more = [f"say helper: true of {', '.join(after)} in {inventory.path}"] if after else []
    return give("tether.host.bootstrap/1", results, as_json=args.json, next=more)
