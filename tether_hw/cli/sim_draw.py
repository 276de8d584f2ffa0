# SPDX-License-Identifier: Apache-2.0
"""`tether sim draw`: the picture of a trace, whether the simulator or an engine wrote it."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any

from tether_hw.cli import output
from tether_hw.cli.common import add_json
from tether_hw.cli.exits import Exit
from tether_hw.errors import TetherError, UsageError

SCHEMA = "tether.sim.draw/1"
_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "min": 60_000_000_000}


def _time(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|min)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 40ms, 1.5s or 3min")
    return round(float(match[1]) * _UNITS[match[2]])


def add_parser(actions: Any) -> None:
    """Adds `draw` to the actions of a verb."""
    parser = actions.add_parser(
        "draw",
        help="draw a trace: slots, grants, losses and repairs over time",
        description="Draw traces that `tether sim run --trace` or `tether-engine serve --trace` wrote. Traces of both "
        "ends on one clock, given together, show both ends, what was lost between them, and how long it took.",
    )
    parser.add_argument("traces", metavar="TRACE", nargs="+", help="tether.trace/1 files")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the picture: FILE.svg or FILE.html")
    parser.add_argument("--flow", type=int, metavar="N", help="only this flow")
    parser.add_argument("--node", metavar="NAME", help="only flows of this node")
    parser.add_argument("--control", action="store_true", help="Flow 0 too")
    parser.add_argument("--begin", type=_time, metavar="T", help="from this time of the trace on, such as 40ms")
    parser.add_argument("--end", type=_time, metavar="T", help="up to this time of the trace")
    parser.add_argument("--title", metavar="TEXT", help="the title (the names of the files)")
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Read, draw, write."""
    from tether_hw.trace.events import read
    from tether_hw.trace.picture import Choice, draw, page

    target = Path(args.output)
    makers = {".svg": draw, ".html": page}
    if target.suffix not in makers:
        raise UsageError(f"-o {args.output}: the name must end in .svg or .html")
    trace = read([(name, _lines(name)) for name in args.traces])
    title = args.title or " and ".join(Path(name).name for name in args.traces)
    choice = Choice(args.flow, args.node, args.control, args.begin, args.end)
    picture = makers[target.suffix](trace, title, choice)
    try:
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if args.force else os.O_EXCL)
        with os.fdopen(os.open(target, flags, 0o666), "w", encoding="utf-8") as file:
            file.write(picture)
    except FileExistsError:
        raise TetherError(f"{target}: exists", hint="--force replaces it") from None
    except OSError as error:
        raise TetherError(f"{target}: {error.strerror}") from None
    if args.json:
        output.emit_json({"schema": SCHEMA, "file": str(target), "events": len(trace.events), "nodes": trace.nodes()})
    output.result(f"{target}: {len(trace.events)} events of {', '.join(trace.nodes())}", as_json=args.json)
    return Exit.DONE


def _lines(name: str) -> list[str]:
    try:
        return Path(name).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "is no text in UTF-8"
        raise TetherError(f"{name}: {words}") from None
