# SPDX-License-Identifier: Apache-2.0
"""`tether frame decode | encode`: Tether frames as words, as JSON, and back as the same bytes."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tether_hw.cli import output
from tether_hw.cli.common import Parser, add_json
from tether_hw.cli.exits import Exit
from tether_hw.cli.hexadecimal import SEPARATORS, read_hex
from tether_hw.errors import InputErrors, Problem, TetherError, UsageError

if TYPE_CHECKING:
    from tether_hw.transport.protocol.capture import Capture
    from tether_hw.transport.protocol.keylog import KeyLog


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """tether frame"""
    parser = subparsers.add_parser("frame", help="decode and encode Tether frames")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    decode = actions.add_parser(
        "decode",
        help="explain a frame, or the frames of a capture (pcap, pcapng)",
        description="Print every header field by its name and what the frame says: of one frame in hexadecimal (bare, "
        "or Ethernet with 0-2 VLAN tags), or of the frames of a capture, one line each. The payload stays sealed "
        "unless a key log opens it.",
    )
    decode.add_argument("hex", metavar="HEX|FILE", nargs="+", help="a frame in hexadecimal (- reads it) or a capture")
    decode.add_argument("--keylog", metavar="FILE", help="open payloads with what `tether-engine serve --keylog` wrote")
    decode.add_argument("--number", type=int, metavar="N", help="capture: explain packet N in full")
    words = "capture: what goes to or from this port is Tether, also when it does not look like it"
    decode.add_argument("--udp-port", type=int, action="append", default=[], metavar="PORT", help=words)
    add_json(decode)
    encode = actions.add_parser(
        "encode",
        help="make the bytes of a frame from the JSON that decode prints",
        description="Read a tether.frame/1 document and print the frame in hexadecimal.",
    )
    encode.add_argument("file", metavar="FILE", nargs="?", default="-", help="the document; - or nothing reads stdin")
    add_json(encode)


def run(args: argparse.Namespace) -> int:
    """Decode or encode one frame."""
    return decode(args) if args.action == "decode" else encode(args)


def decode(args: argparse.Namespace) -> int:
    """Bytes -> words or JSON."""
    from tether_hw.transport.protocol.capture import Capture
    from tether_hw.transport.protocol.explain import describe
    from tether_hw.transport.protocol.reject import Reject

    log = keylog(args.keylog)
    if len(args.hex) == 1 and is_file(args.hex[0]):
        from tether_hw.cli import frame_capture

        return frame_capture.run(args, log)
    if args.number is not None or args.udp_port:
        raise UsageError("--number and --udp-port go with a capture")
    source, text = ("<stdin>", sys.stdin.read()) if args.hex == ["-"] else ("HEX", " ".join(args.hex))
    data, columns = read_hex(source, text)
    try:
        capture = Capture.decode(data)
    except Reject as reject:
        line, col = columns[reject.position] if reject.position < len(columns) else (0, 0)
        problem = Problem(source, line, col, f"byte {reject.position}", f"{reject.reason}: {reject.detail}")
        raise InputErrors([problem]) from None
    opened = open_with(log, capture)
    if args.json:
        output.emit_json({**capture.to_json(), **opened_json(opened)})
    output.result(describe(capture, *((opened[1], opened[0]) if opened else ())), as_json=args.json)
    return Exit.DONE


def is_file(word: str) -> bool:
    """Whether a word names a capture: it has a dot or slash, or another letter and is there."""
    odd = word.strip("0123456789abcdefABCDEFx" + SEPARATORS)
    return word != "-" and ("." in word or "/" in word or (bool(odd) and os.path.lexists(word)))


def keylog(path: str | None) -> KeyLog | None:
    """A key log, or none."""
    from tether_hw.transport.protocol.keylog import KeylogError, parse

    if path is None:
        return None
    try:
        return parse(Path(path).read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "is no text"
        raise TetherError(f"{path}: {words}") from None
    except KeylogError as error:
        raise InputErrors([Problem(path, error.line, 1, "", str(error))]) from None


def open_with(log: KeyLog | None, capture: Capture) -> tuple[str, bytes] | None:
    """Who sealed the frame, and its payload, if the log opens it."""
    if log is None or capture.missing:
        return None
    found = log.open(capture.header.encode() + capture.payload)
    return None if found is None else (found[0].sealer, found[1])


def opened_json(opened: tuple[str, bytes] | None) -> dict[str, Any]:
    """What is beside a frame's own fields when it was opened."""
    return {} if opened is None else {"opened": {"sealer": opened[0], "payload": opened[1].hex()}}


def encode(args: argparse.Namespace) -> int:
    """JSON -> bytes."""
    if args.file == "-":
        source, text = "<stdin>", sys.stdin.read()
    else:
        source = args.file
        try:
            text = Path(args.file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TetherError(f"{args.file}: {error}") from None
    encoded = _document(source, text).encode().hex()
    if args.json:
        output.emit_json({"schema": "tether.frame.bytes/1", "hex": encoded})
    else:
        output.result(encoded)
    return Exit.DONE


def _document(source: str, text: str) -> Capture:
    """Parse and check a document; every error names its line and column."""
    from tether_hw.transport.protocol.capture import Capture
    from tether_hw.transport.protocol.header import HeaderError

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, _value in pairs:
            if [name for name, _value in pairs].count(key) > 1:
                raise HeaderError(key, "stands here twice")
        return dict(pairs)

    try:
        return Capture.from_json(json.loads(text, object_pairs_hook=unique))
    except json.JSONDecodeError as error:
        raise InputErrors([Problem(source, error.lineno, error.colno, "", f"no JSON: {error.msg}")]) from None
    except RecursionError:
        raise InputErrors([Problem(source, 1, 1, "", "no JSON: nested too deeply")]) from None
    except HeaderError as error:
        found = re.search(rf'"{re.escape(error.field)}"\s*:', text) if error.field else None
        place = text[: found.start()] if found else ""
        line, col = place.count("\n") + 1, len(place) - (place.rfind("\n") + 1) + 1
        message = str(error).removeprefix(f"{error.field}: ")
        hint = "tether frame decode HEX --json prints such a document" if error.field == "schema" else None
        raise InputErrors([Problem(source, line, col, error.field, message, hint)]) from None
