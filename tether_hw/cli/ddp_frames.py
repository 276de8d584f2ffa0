# SPDX-License-Identifier: Apache-2.0
"""`tether ddp simulate | graph`: the parser of a package on frames."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tether_hw.cli import output
from tether_hw.cli.ddp_packages import read_file, read_package, refused, write_file
from tether_hw.cli.exits import Exit
from tether_hw.cli.hexadecimal import read_hex
from tether_hw.errors import InputErrors, TetherError, UsageError
from tether_hw.nic.e810.ddp.errors import DdpError
from tether_hw.nic.e810.ddp.parser.machine import NO_PTYPE, Machine, Result, Round
from tether_hw.nic.e810.ddp.parser.memo import Memo
from tether_hw.nic.e810.ddp.parser.reads import Frame
from tether_hw.nic.e810.ddp.source.decompile import Describer

MOST_FRAME_BYTES = 65_535
MOST_CAPTURE_BYTES = 1 << 30
ETHERNET = 1


def frame_bytes(text: str) -> bytes:
    """A frame in hexadecimal with any usual separators."""
    try:
        data, _places = read_hex("--frame", text)
    except InputErrors as error:
        raise UsageError(str(error.problems[0]), hint="tether ddp simulate --help") from None
    if len(data) > MOST_FRAME_BYTES:
        raise UsageError(f"--frame: {len(data)} bytes, a frame has at most {MOST_FRAME_BYTES}")
    return data


def simulate(args: argparse.Namespace) -> int:
    """Run frames through the parser. With --json one document; a capture's frames are counted by result in words."""
    package = read_package(args.package)
    try:
        describer = Describer(package)
    except DdpError as error:
        raise refused(args.package, error) from None
    dvm = None if args.vlan_mode is None else args.vlan_mode == "dvm"
    memo = Memo(Machine(describer.tables, dvm=dvm))
    results = []
    for number, data in enumerate(_frames(args), 1):
        rounds: list[Round] = []
        result = memo.machine.run(Frame(data), rounds.append) if args.trace else memo.run(data)
        results.append((number, len(data), result, rounds))
    if args.json:
        frames = [_document(describer, *item) for item in results]
        mode = args.vlan_mode or "package"
        output.emit_json(
            {"schema": "tether.ddp.simulate/1", "package": args.package, "vlan_mode": mode, "frames": frames}
        )
    words = (line for item in results for line in _words(describer, *item))
    output.result("\n".join(words) if results else "no frames", as_json=args.json)
    return Exit.DONE


def _frames(args: argparse.Namespace) -> Iterator[bytes]:
    if args.frame is not None:
        yield frame_bytes(args.frame)
        return
    from tether_hw.transport.protocol.pcap import CaptureError, packets

    data = read_file(args.pcap, MOST_CAPTURE_BYTES)
    try:
        for packet in packets(data):
            if packet.link_type != ETHERNET:
                kind = f"link type {packet.link_type}, not Ethernet (1)"
                raise TetherError(f"{args.pcap}: packet {packet.number} has {kind}")
            yield packet.data[:MOST_FRAME_BYTES]
    except CaptureError as error:
        raise TetherError(f"{args.pcap}: {error}") from None


def _document(describer: Describer, number: int, length: int, result: Result, rounds: list[Round]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "frame": number,
        "bytes": length,
        "ptype": None if result.ptype == NO_PTYPE else result.ptype,
        "ptype_name": None if result.ptype == NO_PTYPE else describer.name("ptype", result.ptype),
        "protocols": [
            {"id": name, "name": describer.name("protocol", name), "offset": at} for name, at in result.protocols
        ],
        "flags": result.flags,
        "packet_flags": result.packet_flags,
        "block_flags": result.block_flags,
        "stopped": result.stopped,
        "rounds": result.rounds,
    }
    if rounds:
        document["trace"] = [_round(describer, step) for step in rounds]
    return document


def _round(describer: Describer, step: Round) -> dict[str, Any]:
    return {
        "node": describer.name("node", step.node),
        "program": describer.name("program", step.program),
        "offset": step.offset,
        "boost": None if step.boost is None else describer.boost_name(step.boost),
        "next": step.next,
        "table": step.table or None,
        "entry": None if step.entry < 0 else step.entry,
        "protocols": [
            {"id": name, "name": describer.name("protocol", name), "offset": at}
            for name, at in step.protocols
            if name < 255
        ],
        "markers": [describer.name("marker", marker) for marker in step.markers],
    }


def _words(describer: Describer, number: int, length: int, result: Result, rounds: list[Round]) -> Iterator[str]:
    ptype = "no PTYPE" if result.ptype == NO_PTYPE else f"PTYPE {result.ptype} {describer.name('ptype', result.ptype)}"
    protocols = ", ".join(f"{describer.name('protocol', name)} at {at}" for name, at in result.protocols)
    yield f"{number}: {length} bytes: {ptype}; {protocols or 'no protocol'}; {STOPS[result.stopped]}"
    for place, step in enumerate(rounds, 1):
        document = _round(describer, step)
        found = ", ".join(f"{item['name']} at {item['offset']}" for item in document["protocols"])
        entry = f"{step.table} {step.entry}" if step.table else "nothing matches"
        boost = f", boost {document['boost']}" if document["boost"] else ""
        yield (
            f"    {place}. {document['node']} at {step.offset}, program {document['program']}{boost},"
            f" next {step.next:#x}:"
            f" {entry}"
            + (f"; {found}" if found else "")
            + (f"; sets {', '.join(document['markers'])}" if step.markers else "")
        )


STOPS = {
    "last": "the graph ended",
    "end": "the frame ended",
    "no-match": "stopped: nothing in the graph matches",
    "bound": "stopped: the graph goes round without an end",
}


def graph(args: argparse.Namespace) -> int:
    """The picture."""
    from tether_hw.nic.e810.ddp.graph import html, svg

    kind = Path(args.output).suffix
    if kind not in (".svg", ".html"):
        raise UsageError(f"{args.output}: a picture's name ends in .svg or .html")
    package = read_package(args.package)
    rounds: list[Round] = []
    result = None
    try:
        if args.frame is not None:
            dvm = None if args.vlan_mode is None else args.vlan_mode == "dvm"
            result = Machine(Describer(package).tables, dvm=dvm).run(Frame(frame_bytes(args.frame)), rounds.append)
        text = (svg if kind == ".svg" else html)(package, rounds or None, result)
    except DdpError as error:
        raise refused(args.package, error) from None
    write_file(args.output, text.encode(), force=args.force)
    output.say(f"{args.output}: {len(text)} bytes")
    return Exit.DONE
