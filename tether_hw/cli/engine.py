# SPDX-License-Identifier: Apache-2.0
"""`tether engine`: the transport engine: on this machine, or, with hosts of the inventory, on them over SSH.

On this machine the sub-verbs are those of `tether-engine`. Over SSH:
    tether engine send HOST:FILE HOST:PATH     a file from one host to another, by their engines
    tether engine ping HOST HOST               round trips from the first host to the second, over every lane
    tether engine stats HOST                   counters of a host's engine
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tether_hw.cli.common import Parser, add_inventory
from tether_hw.transport.commands import add_engine_verbs
from tether_hw.transport.commands import run as run_here


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "engine",
        help="run and use the transport engine",
        description=__doc__.split(": ", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="engine_verb", metavar="VERB", required=True, parser_class=Parser)
    add_engine_verbs(verbs)
    send, ping, stats = (verbs.choices[name] for name in ("send", "ping", "stats"))
    for remote in (send, ping, stats):
        add_inventory(remote)
    send.add_argument("--overwrite", action="store_true", help="between hosts: replace a file that exists")
    ping.add_argument("to", nargs="?", metavar="HOST", help="between hosts: ping from PEER to HOST")
    stats.add_argument("host", nargs="?", metavar="HOST", help="a host of the inventory; this machine without it")


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from tether_hw.cli import engine_remote

    if args.engine_verb == "send" and between_hosts(args.file, args.peer):
        return engine_remote.send(args)
    if args.engine_verb == "ping" and args.to is not None:
        return engine_remote.ping(args)
    if args.engine_verb == "stats" and args.host is not None:
        return engine_remote.stats(args)
    return run_here(args)


def between_hosts(source: str, destination: str) -> bool:
    """Whether `send` was told two HOST:PATH; a file that exists here, or a slash before the colon, says no."""
    host, colon, path = source.partition(":")
    return bool(colon and host and path and ":" in destination and "/" not in host and not Path(source).exists())
