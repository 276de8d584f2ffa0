# SPDX-License-Identifier: Apache-2.0
"""Capture files, pcap and pcapng, as packets. What a packet holds is for links.py to say."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# magic number of a pcap file as its first four bytes -> (byte order, ns in a unit of its fractions)
_MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
_SECTION = 0x0A0D0D0A
_INTERFACE, _OLD_PACKET, _SIMPLE, _PACKET = 1, 2, 3, 6
_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_OPTION_RESOLUTION = 9
PACKET_MOST = 1 << 20


class CaptureError(ValueError):
    """A file that is no capture, or a damaged one. `position` is the byte at which it stops being one."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(f"byte {position}: {message}")
        self.position = position
        self.message = message


@dataclass(frozen=True)
class Packet:
    """One captured packet: its number from 1, time since 1970, link type, bytes, and its length on the wire."""

    number: int
    time_ns: int
    link_type: int
    data: bytes
    length: int


@dataclass(frozen=True)
class _Interface:
    link_type: int
    units_per_s: int  # of its time stamps
    snap_length: int


def packets(data: bytes) -> Iterator[Packet]:
    """Every packet of a capture file; CaptureError where it is damaged, after the packets before."""
    if data[:4] in _MAGIC:
        yield from _pcap(data)
    elif data[:4] == _SECTION.to_bytes(4, "big"):
        yield from _pcapng(data)
    elif not data:
        raise CaptureError(0, "the file is empty")
    else:
        raise CaptureError(0, f"neither pcap nor pcapng begins with {data[:4].hex()}")


def _pcap(data: bytes) -> Iterator[Packet]:
    order, unit = _MAGIC[data[:4]]
    if len(data) < 24:
        raise CaptureError(len(data), "the file ends inside its header")
    link_type = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF
    offset, number = 24, 0
    while offset < len(data):
        if len(data) - offset < 16:
            raise CaptureError(offset, "the file ends inside a packet's header")
        seconds, fraction, kept, length = struct.unpack_from(order + "IIII", data, offset)
        if kept > PACKET_MOST:
            raise CaptureError(offset + 8, f"a packet of {kept} bytes")
        if offset + 16 + kept > len(data):
            raise CaptureError(offset + 16, f"the file ends inside a packet of {kept} bytes")
        number += 1
        yield Packet(
            number, seconds * 10**9 + fraction * unit, link_type, data[offset + 16 : offset + 16 + kept], length
        )
        offset += 16 + kept


def _pcapng(data: bytes) -> Iterator[Packet]:
    offset, number, order = 0, 0, "<"
    interfaces: list[_Interface] = []
    while offset < len(data):
        if data[offset : offset + 4] == _SECTION.to_bytes(4, "big"):
            found = _ORDERS.get(data[offset + 8 : offset + 12])
            if found is None:
                raise CaptureError(offset + 8, "a section without a byte order")
            order, interfaces = found, []
        if len(data) - offset < 12:
            raise CaptureError(offset, "the file ends inside a block's header")
        kind, total = struct.unpack_from(order + "II", data, offset)
        if total < 12 or total % 4 or offset + total > len(data):
            raise CaptureError(offset + 4, f"a block of {total} bytes, {len(data) - offset} are left")
        body = data[offset + 8 : offset + total - 4]
        if struct.unpack_from(order + "I", data, offset + total - 4)[0] != total:
            raise CaptureError(offset + total - 4, "a block whose two lengths differ")
        if kind == _INTERFACE:
            interfaces.append(_interface(body, order, offset))
        elif kind in (_PACKET, _OLD_PACKET, _SIMPLE):
            number += 1
            yield _packet(kind, body, order, offset, interfaces, number)
        offset += total


def _interface(body: bytes, order: str, offset: int) -> _Interface:
    if len(body) < 8:
        raise CaptureError(offset, "an interface without a link type")
    link_type, _reserved, snap_length = struct.unpack_from(order + "HHI", body)
    units, at = 10**6, 8
    while at + 4 <= len(body):
        option, length = struct.unpack_from(order + "HH", body, at)
        if option == 0:
            break
        if option == _OPTION_RESOLUTION and length == 1 and at + 5 <= len(body):
            value = body[at + 4]
            units = 2 ** (value & 0x7F) if value & 0x80 else 10**value
        at += 4 + length + -length % 4
    return _Interface(link_type, units, snap_length)


def _packet(kind: int, body: bytes, order: str, offset: int, interfaces: list[_Interface], number: int) -> Packet:
    time, index, head = 0, 0, 20
    if kind == _SIMPLE:
        if len(body) < 4 or not interfaces:
            raise CaptureError(offset, "a packet without its length or its interface")
        length, head = struct.unpack_from(order + "I", body)[0], 4
        kept = min(length, interfaces[0].snap_length or length)
    else:
        if len(body) < 20:
            raise CaptureError(offset, "a packet without its lengths")
        if kind == _PACKET:
            index, high, low, kept, length = struct.unpack_from(order + "IIIII", body)
        else:
            index, _drops, high, low, kept, length = struct.unpack_from(order + "HHIIII", body)
        time = high << 32 | low
    if index >= len(interfaces):
        raise CaptureError(offset + 8, f"a packet of interface {index}, {len(interfaces)} are described")
    if kept > len(body) - head or kept > PACKET_MOST:
        raise CaptureError(offset + 8 + head, f"a packet of {kept} bytes in a block with room for {len(body) - head}")
    interface = interfaces[index]
    time_ns = time * 10**9 // interface.units_per_s
    return Packet(number, time_ns, interface.link_type, body[head : head + kept], length)
