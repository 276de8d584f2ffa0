# SPDX-License-Identifier: Apache-2.0
"""A captured frame in words: every field by its name, then what the frame says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tether_hw.transport.protocol import float16
from tether_hw.transport.protocol.capture import VLAN_TYPES, Capture
from tether_hw.transport.protocol.header import BLOCK_SIZE, BLOCKED, BUSY, ECHO, END, FIRST, LAMP, Header

if TYPE_CHECKING:
    from collections.abc import Iterator

FINE_PRINT = {
    "LAMP": "sent without a channel, pays for its own reply",
    "GRANT": "raises a grant",
    "NACK": "names a gap or a receipt",
    "ECHO": "echo holds a value",
    "BLOCKED": "asks for a receipt",
    "BUSY": "the sender's uplink is contended",
    "END": "last frame of a message, or of a byte flow",
    "FIRST": "first frame of a message",
}


def describe(capture: Capture) -> str:
    """The whole text, lines joined."""
    return "\n".join(_lines(capture))


def _lines(capture: Capture) -> Iterator[str]:
    header = capture.header
    yield f"Tether frame of {len(capture.encode())} bytes: {kind(header)}"
    if capture.destination:
        yield f"  {'Ethernet':<13}{capture.source.hex(':')} -> {capture.destination.hex(':')}"
        for tag in capture.vlans:
            dropped = ", may be dropped first" if tag.drop_eligible else ""
            yield f"  {'VLAN':<13}{tag.id} ({VLAN_TYPES[tag.type]}, priority {tag.priority}{dropped})"
    for name, value, words in _fields(header):
        yield f"  {name:<13}{value:<17}{words}".rstrip()
    for flag in header.flag_names():
        yield f"    {flag:<9}{FINE_PRINT[flag]}"
    yield f"  {'payload':<13}{len(capture.payload)} bytes" + (", sealed" if capture.payload else "")
    if capture.missing:
        yield f"  incomplete   {capture.missing} bytes of the payload are not in this capture"
    if capture.trailer:
        yield f"  {'trailer':<13}{len(capture.trailer)} bytes after the last block, ignored by a receiver"
    yield "It says:"
    for sentence in says(header):
        yield f"  - {sentence}"


def kind(header: Header) -> str:
    """One phrase for what sort of frame this is."""
    if header.flags & LAMP:
        return "a Hail" if header.channel == 0 else "the reply to a Hail"
    if header.channel == 0:
        return "channel 0 without LAMP: no receiver accepts it"
    if header.length:
        return "Flow 0 tags" if header.flow == 0 else f"data of flow {header.flow}"
    return f"header-only, flow {header.flow}" + (", BLOCKED" if header.flags & BLOCKED else "")


def says(header: Header) -> Iterator[str]:
    """What the frame tells its receiver, one sentence each."""
    if header.flags & LAMP:
        yield from _lamp(header)
        return
    if header.length:
        last = max(1, header.blocks)
        yield f"carries {header.length} bytes: {last} block(s) of payload that begin at slot {header.slot}"
        if header.flow and header.flags & (FIRST | END):
            yield {
                FIRST: "a message begins here",
                END: "a message, or the byte flow, ends here",
                FIRST | END: "this is a whole message",
            }[header.flags & (FIRST | END)]
    else:
        yield f"flow {header.flow} was sent up to slot {header.slot}"
    want = float16.decode(header.want)
    yield f"{want} more slots wait to be sent on this flow" if want else "nothing more waits to be sent on this flow"
    yield f"the peer may send below slot {header.GrantAmount} of this flow (modulo 2^48)"
    if header.NackCount:
        end = (header.NackSlot + header.NackCount) & 0xFFFFFFFF
        yield f"please repair slots {header.NackSlot} to {end} (exclusive, modulo 2^32)"
    else:
        yield f"everything of the peer below slot {header.NackSlot} (modulo 2^32) has arrived"
    if header.pace:
        yield f"the peer may send {float16.decode(header.pace)} slots a second"
    if header.flags & BLOCKED:
        yield "the sender has data without credit, or without receipt, and asks for a header"
    if header.flags & BUSY:
        yield "lend the sender's credit elsewhere for now"


def _lamp(header: Header) -> Iterator[str]:
    if header.channel == 0:
        yield f"a peer asks for a channel; Hail counter {header.sequence} (modulo 2^48)"
        yield f"the reply may have {header.GrantAmount} blocks, its header counted"
    else:
        yield f"the peer answers the Hail that the initiator sent under index {header.channel:#010x}"
    yield "tag is mac1: whoever sent this knows the receiver's public key"


def _fields(header: Header) -> Iterator[tuple[str, str, str]]:
    padding = BLOCK_SIZE * header.blocks - header.length
    yield "version", str(header.version), ""
    yield "flags", f"{header.flags:#04x}", " ".join(header.flag_names()) or "none"
    yield "length", str(header.length), f"{header.blocks} block(s), {padding} bytes of padding"
    yield (
        "channel",
        f"{header.channel:#010x}",
        f"lane {header.lane}, slot and generation {header.channel >> 8:#x}" if header.channel else "no channel yet",
    )
    yield "sequence", str(header.sequence), f"epoch {header.epoch}"
    yield "want", str(float16.decode(header.want)), _float(header.want, "slots")
    yield "flow", str(header.flow), _flow(header.flow)
    yield "GrantAmount", str(header.GrantAmount), "blocks of the reply" if header.flags & LAMP else "slots"
    yield "slot", str(header.slot), "first slot carried" if header.length else "high-water slot"
    yield "NackSlot", str(header.NackSlot), ""
    yield "NackCount", str(header.NackCount), "slots to repair" if header.NackCount else "receipt"
    yield (
        "pace",
        str(float16.decode(header.pace)),
        _float(header.pace, "slots/s") if header.pace else "no statement",
    )
    yield "Timestamp", str(header.Timestamp), "ns"
    yield "echo", str(header.echo), "ns" if header.flags & ECHO else "none"
    yield "tag", header.tag.hex(), ""


def _float(wire: int, unit: str) -> str:
    form = "" if float16.is_canonical(wire) else ", not in canonical form"
    return f"{unit} ({wire & 1023} * 2^{wire >> 10}{form})"


def _flow(flow: int) -> str:
    if flow == 0:
        return "control"
    return "opened by the initiator" if flow % 2 == 0 else "opened by the responder"
