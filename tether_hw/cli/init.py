# SPDX-License-Identifier: Apache-2.0
"""`tether init`: a folder with an inventory of two hosts, recorded facts to plan from, and a schema for editors."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tether_hw.cli import output
from tether_hw.cli.common import add_json
from tether_hw.cli.exits import Exit
from tether_hw.errors import TetherError

KEYS_TEXT = """\
# Public identity keys of the hosts, written by `tether key enroll`. Commit this file, as you would known_hosts.
hosts: {}
"""


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("init", help="make an example folder", description=__doc__.split(": ", 1)[1])
    parser.add_argument("folder", nargs="?", metavar="DIR", type=Path, default=Path(), help="the folder (this one)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    files = contents()
    there = [name for name in files if (args.folder / name).exists()]
    if there:
        raise TetherError(f"{args.folder / there[0]} exists: nothing was written", hint="name a new folder")
    try:
        for name, text in files.items():
            path = args.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise TetherError(f"{error.filename}: {error.strerror}") from None
    written = [str(args.folder / name) for name in files]
    if args.json:
        output.emit_json({"schema": "tether.init/1", "files": written})
    output.result("\n".join(written), as_json=args.json)
    where = "" if args.folder == Path() else f"cd {args.folder}, then "
    output.say(f"next: {where}tether validate, tether plan --facts facts")
    return Exit.DONE


def contents() -> dict[str, str]:
    """File name -> text of a new folder."""
    from tether_hw.data import data_path
    from tether_hw.fleet.schemas import json_schema

    examples = data_path("inventory")
    files = {
        "inventory.yaml": (examples / "example-pair.yaml").read_text(encoding="utf-8"),
        "inventory.keys.yaml": KEYS_TEXT,
        "inventory.schema.json": json.dumps(json_schema("inventory"), indent=1) + "\n",
    }
    for path in sorted((examples / "example-facts").glob("*.json")):
        files[f"facts/{path.name}"] = path.read_text(encoding="utf-8")
    return files
