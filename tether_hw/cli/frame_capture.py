# SPDX-License-Identifier: Apache-2.0
"""`tether frame decode FILE`: the Tether frames of a capture file."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tether_hw.cli import output
from tether_hw.cli.exits import Exit
from tether_hw.errors import InputErrors, Problem, TetherError

if TYPE_CHECKING:
    from tether_hw.transport.protocol.keylog import KeyLog
    from tether_hw.transport.protocol.links import Found
    from tether_hw.transport.protocol.pcap import Packet

SCHEMA = "tether.frame.capture/1"
CAPTURE_MOST = 1 << 30


def run(args: argparse.Namespace, log: KeyLog | None) -> int:
    """Decode every frame, or explain one packet."""
    from tether_hw.cli.frame import open_with, opened_json
    from tether_hw.transport.protocol.explain import describe, summary
    from tether_hw.transport.protocol.links import LINK_NAMES

    packets, damage = read(args.hex[0])
    ports = frozenset(args.udp_port)
    found = [(packet, one) for packet in packets if (one := _find(packet, ports)) is not None]
    if args.number is not None:
        chosen = [pair for pair in found if pair[0].number == args.number]
        if not chosen:
            raise TetherError(f"packet {args.number} of {args.hex[0]} is no Tether frame")
        found = chosen
    frames, lines = [], []
    for packet, one in found:
        opened = open_with(log, one.capture) if one.capture else None
        if one.capture and args.number is not None:
            lines.append(f"Packet {packet.number}, {one.where}")
            lines.append(describe(one.capture, *((opened[1], opened[0]) if opened else ())))
        else:
            words = summary(one.capture, opened[1] if opened else None) if one.capture else f"refused, {one.problem}"
            lines.append(f"{packet.number:>5}  {_clock(packet.time_ns)}  {one.where}  {words}")
        frames.append(
            {
                "number": packet.number,
                "time_ns": packet.time_ns,
                "where": one.where,
                "problem": one.problem or None,
                "frame": {**one.capture.to_json(), **opened_json(opened)} if one.capture else None,
            }
        )
    kinds = sorted({packet.link_type for packet in packets})
    links = ", ".join(LINK_NAMES.get(kind, f"link type {kind} (not known)") for kind in kinds) or "no packets"
    lines.append(f"{len(frames)} Tether frames in {len(packets)} packets ({links})")
    if args.json:
        output.emit_json({"schema": SCHEMA, "file": args.hex[0], "packets": len(packets), "frames": frames})
    output.result("\n".join(lines), as_json=args.json)
    if damage is not None:
        raise InputErrors([damage])
    return Exit.DONE


def read(path: str) -> tuple[list[Packet], Problem | None]:
    """The packets of a file, and where it is damaged behind them."""
    from tether_hw.transport.protocol.pcap import CaptureError, packets

    if Path(path).is_dir():
        raise TetherError(f"{path}: is a directory", hint=f"name one capture in it, like {Path(path) / 'x.pcapng'}")
    try:
        if Path(path).stat().st_size > CAPTURE_MOST:
            raise TetherError(f"{path}: is larger than 1 GiB", hint="cut it with editcap or tcpdump -r")
        data = Path(path).read_bytes()
    except OSError as error:
        raise TetherError(f"{path}: {error.strerror}", hint="name a capture, or a frame in hexadecimal") from None
    found: list[Packet] = []
    try:
        for packet in packets(data):
            found.append(packet)
    except CaptureError as error:
        return found, Problem(path, 0, 0, f"byte {error.position}", error.message)
    return found, None


def _find(packet: Packet, ports: frozenset[int]) -> Found | None:
    from tether_hw.transport.protocol.links import find

    return find(packet, ports)


def _clock(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%H:%M:%S") + f".{time_ns % 10**9 // 1000:06d}"
