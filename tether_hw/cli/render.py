# SPDX-License-Identifier: Apache-2.0
"""`tether render`: the files that the hosts would get, written to a folder: engine file, roster, unit, user."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tether_hw.cli import output
from tether_hw.cli.common import add_inventory, add_json, add_limit
from tether_hw.cli.exits import Exit
from tether_hw.errors import TetherError


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("render", help="write the hosts' files", description=__doc__.split(": ", 1)[1])
    add_inventory(parser)
    add_limit(parser)
    add_json(parser)
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True, help="the folder to write to")
    parser.add_argument(
        "--facts",
        metavar="DIR",
        type=Path,
        help="recorded facts: devices that are named by MAC or PCI address are looked up there",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from tether_hw.fleet import facts_record
    from tether_hw.fleet.files import host_files
    from tether_hw.fleet.inventory import load
    from tether_hw.fleet.patterns import select
    from tether_hw.fleet.planning import setting

    inventory = load(Path(args.inventory))
    names = select(inventory, args.limit)
    facts = facts_record.read(args.facts, names) if args.facts else {}
    with_setting = setting(inventory)
    rendered = {name: host_files(inventory, name, facts.get(name), with_setting) for name in names}
    written: dict[str, list[str]] = {}
    for name, files in rendered.items():
        for file, text in files.items():
            path = args.output / name / file
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            except OSError as error:
                raise TetherError(f"{path}: {error.strerror}") from None
            written.setdefault(name, []).append(str(path))
        unmade = sorted({peer for peer, _ in inventory.peers(name) if peer not in inventory.keys})
        if unmade:
            output.say(f"{name}: its roster lacks the keys of {', '.join(unmade)}: tether key enroll makes them")
    if args.json:
        output.emit_json({"schema": "tether.render/1", "hosts": written})
    output.result("\n".join(path for paths in written.values() for path in paths), as_json=args.json)
    return Exit.DONE
