# SPDX-License-Identifier: Apache-2.0
"""A captured frame in words: every field by its name, then what the frame says."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from tether_hw.transport.protocol import float16, tags
from tether_hw.transport.protocol.capture import VLAN_TYPES, Capture
from tether_hw.transport.protocol.cookie import TAG_LENGTH as COOKIE_LENGTH
from tether_hw.transport.protocol.header import BLOCK_SIZE, BLOCKED, BUSY, ECHO, END, FIRST, LAMP, Header

if TYPE_CHECKING:
    from collections.abc import Iterator

DUMP_MOST = 256
CLOSE_REASONS = {0: "end", 1: "closed", 2: "refused"}
BYE_REASONS = {
    0: "closed",
    1: "protocol error",
    2: "credit held and not used",
    3: "not in the roster any more",
    4: "the path carries its frames no more",
}
TAG_WORDS: dict[str, dict[int, str]] = {
    "kind": {0: "bytes", 1: "messages"},
    "reliability": {0: "reliable", 1: "expiring"},
    "order": {0: "ordered", 1: "unordered"},
    "status": {0: "ok", 1: "stale", 2: "gone"},
    "ciphers": {1: "ChaCha20-Poly1305", 2: "AES-256-GCM", 3: "ChaCha20-Poly1305, AES-256-GCM"},
}

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


def describe(capture: Capture, opened: bytes | None = None, sealer: str = "") -> str:
    """The whole text, lines joined. `opened` is the payload where a key log could open it, `sealer` who sealed it."""
    return "\n".join(_lines(capture, opened, sealer))


def _lines(capture: Capture, opened: bytes | None, sealer: str) -> Iterator[str]:
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
    state = ", sealed" if opened is None else f", opened: the {sealer} sealed it"
    yield f"  {'payload':<13}{len(capture.payload)} bytes" + (state if capture.payload or opened is not None else "")
    if capture.missing:
        yield f"  incomplete   {capture.missing} bytes of the payload are not in this capture"
    if capture.trailer:
        yield f"  {'trailer':<13}{len(capture.trailer)} bytes after the last block, ignored by a receiver"
    yield "It says:"
    for sentence in says(header):
        yield f"  - {sentence}"
    if opened:
        yield "Its payload:"
        yield from (f"  {line}" for line in content(header, opened))


def content(header: Header, payload: bytes) -> Iterator[str]:
    """An opened payload: the tags of Flow 0, or the first bytes of data."""
    if header.flow:
        for at in range(0, min(len(payload), DUMP_MOST), 16):
            piece = payload[at : at + 16]
            shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in piece)
            yield f"{at:06x}  {piece.hex(' '):<47}  {shown}"
        if len(payload) > DUMP_MOST:
            yield f"... and {len(payload) - DUMP_MOST} bytes more"
        return
    try:
        found = tags.parse(payload)
    except tags.TagError as error:
        yield f"no tags: {error}"
        return
    for tag in found:
        name, values = tag_words(tag)
        yield f"{name} " + ", ".join(f"{key} {value}" for key, value in values.items())


def tag_words(tag: tags.AnyTag) -> tuple[str, dict[str, object]]:
    """A tag's name and its fields in words."""
    if isinstance(tag, tags.Unknown):
        return f"tag {tag.type:#04x} (not known, may be skipped)", {"value": tag.content.hex() or "empty"}
    values: dict[str, object] = dict(vars(tag))
    for key, words in TAG_WORDS.items():
        value = values.get(key)
        if isinstance(value, int) and value in words:
            values[key] = f"{value} ({words[value]})"
    if isinstance(tag, tags.Close):
        values["reason"] = f"{tag.reason} ({CLOSE_REASONS.get(tag.reason, 'read as closed')})"
    if isinstance(tag, tags.Bye):
        values["reason"] = f"{tag.reason} ({BYE_REASONS.get(tag.reason, 'unassigned')})"
    if isinstance(tag, tags.Manifest):
        values["lanes"] = "[" + "; ".join(f"lane {one.lane} at {address_words(one)}" for one in tag.lanes) + "]"
    return type(tag).__name__.upper(), {
        key: value.hex() if isinstance(value, bytes) else value for key, value in values.items()
    }


def address_words(lane: tags.LaneAddress) -> str:
    """An address as people write it."""
    data = lane.address
    if lane.kind == 1:
        vlan = int.from_bytes(data[6:8], "little")
        return data[:6].hex(":") + (f" VLAN {vlan}" if vlan != 0xFFFF else "")
    if lane.kind in (2, 3):
        host = str(ipaddress.ip_address(data[:-2]))
        return f"UDP {host if lane.kind == 2 else f'[{host}]'}:{int.from_bytes(data[-2:], 'big')}"
    return f"kind {lane.kind} {data.hex()}"


def summary(capture: Capture, opened: bytes | None = None) -> str:
    """A frame in one line."""
    header = capture.header
    parts = [kind(header)]
    if header.flags & LAMP:
        return parts[0] + (f", counter {header.sequence}" if header.channel == 0 else f", to {header.channel:#010x}")
    parts.append(f"channel {header.channel:#010x}, sequence {header.sequence}")
    parts.append(f"slot {header.slot}" + (f", {header.length} bytes" if header.length else ""))
    parts += [name for name in ("FIRST", "END", "BUSY") if name in header.flag_names()]
    parts.append(f"grant {header.GrantAmount}")
    if header.NackCount:
        parts.append(f"NACK [{header.NackSlot}, +{header.NackCount})")
    else:
        parts.append(f"arrived {header.NackSlot}")
    if header.want:
        parts.append(f"want {float16.decode(header.want)}")
    if opened and header.flow == 0:
        parts.append(" + ".join(line.split(" ")[0] for line in content(header, opened)))
    return ", ".join(parts)


def kind(header: Header) -> str:
    """One phrase for what sort of frame this is."""
    if header.flags & LAMP:
        if header.channel == 0:
            return "a Hail"
        if header.sequence:
            return "a warm Lamp: early data" if header.GrantAmount else "the answer to a warm Lamp"
        return "a cookie instead of a reply to a Hail" if header.length == COOKIE_LENGTH else "the reply to a Hail"
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
    elif header.sequence:
        yield f"counter {header.sequence}, about the channel {header.channel:#010x} that has ended"
        yield "sealed under a key of that channel and this counter"
        return
    elif header.length == COOKIE_LENGTH:
        yield f"under load: hail again from index {header.channel:#010x}, with a mac2 by this cookie"
        yield "tag: whoever sent this has seen the Hail"
        return
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
