# SPDX-License-Identifier: Apache-2.0
"""`tether schema`: JSON Schemas of the inventory, of the keys file, and of every JSON document that a verb prints."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from tether_hw.cli import output
from tether_hw.cli.common import add_json
from tether_hw.cli.exits import Exit


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("schema", help="JSON Schemas", description=__doc__.split(": ", 1)[1])
    parser.add_argument("name", nargs="?", metavar="NAME", help="inventory, keys, or the `schema` field of a document")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from tether_hw.errors import TetherError
    from tether_hw.fleet.inventory_checks import did_you_mean
    from tether_hw.fleet.schemas import SCHEMAS, json_schema

    if args.name is None:
        names = {name: entry.about for name, entry in SCHEMAS.items()}
        if args.json:
            output.emit_json({"schema": "tether.schema.list/1", "schemas": names})
        width = max(map(len, names))
        output.result("\n".join(f"{name:<{width}}  {about}" for name, about in names.items()), as_json=args.json)
        return Exit.DONE
    if args.name not in SCHEMAS:
        raise TetherError(
            f"no schema {args.name!r}", hint=did_you_mean(args.name, SCHEMAS) or "tether schema lists them"
        )
    import json

    sys.stdout.write(json.dumps(json_schema(args.name), indent=1) + "\n")
    return Exit.DONE
