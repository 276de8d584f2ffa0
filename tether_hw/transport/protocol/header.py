# SPDX-License-Identifier: Apache-2.0
"""The 64-byte header (RFC 0001 section 3): bytes <-> fields <-> JSON. Field names are the RFC's, letter by letter."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from tether_hw.transport.protocol import float16
from tether_hw.transport.protocol.reject import Reject

HEADER_SIZE = 64
BLOCK_SIZE = 64
AAD_SIZE = 48  # what the tag authenticates of the header: all that stands before the tag
TAG_SIZE = 16
VERSION = 1

LAMP = 0x01
GRANT = 0x02
NACK = 0x04
ECHO = 0x08
BLOCKED = 0x10
BUSY = 0x20
END = 0x40
FIRST = 0x80
FLAGS = {
    "LAMP": LAMP, "GRANT": GRANT, "NACK": NACK, "ECHO": ECHO,
    "BLOCKED": BLOCKED, "BUSY": BUSY, "END": END, "FIRST": FIRST,
}  # fmt: skip

# name, offset, size in bytes; little-endian, in wire order
LAYOUT = (
    ("version", 0, 1), ("flags", 1, 1), ("length", 2, 2), ("channel", 4, 4), ("sequence", 8, 6), ("want", 14, 2),
    ("flow", 16, 2), ("GrantAmount", 18, 6), ("slot", 24, 4), ("NackSlot", 28, 4), ("NackCount", 32, 2),
    ("pace", 34, 2), ("Timestamp", 36, 6), ("echo", 42, 6), ("tag", 48, 16),
)  # fmt: skip
FLOATS = ("want", "pace")


class HeaderError(ValueError):
    """A JSON header that cannot become bytes. `field` names the culprit."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


@dataclass
class Header:
    """One header. Numbers are wire values; `want` and `pace` are 16-bit floats, see float16."""

    version: int = VERSION
    flags: int = 0
    length: int = 0
    channel: int = 0
    sequence: int = 0
    want: int = 0
    flow: int = 0
    GrantAmount: int = 0
    slot: int = 0
    NackSlot: int = 0
    NackCount: int = 0
    pace: int = 0
    Timestamp: int = 0
    echo: int = 0
    tag: bytes = bytes(TAG_SIZE)

    def encode(self) -> bytes:
        """Return the 64 bytes. OverflowError when a field does not fit."""
        parts = []
        for name, _offset, size in LAYOUT[:-1]:
            parts.append(int(getattr(self, name)).to_bytes(size, "little"))
        return b"".join(parts) + self.tag

    @classmethod
    def decode(cls, frame: bytes) -> Header:
        """Read the first 64 bytes; Reject("short") when there are fewer. Nothing else is judged here."""
        if len(frame) < HEADER_SIZE:
            raise Reject("short", f"{len(frame)} bytes, a header has {HEADER_SIZE}", len(frame))
        values: dict[str, Any] = {
            name: int.from_bytes(frame[offset : offset + size], "little") for name, offset, size in LAYOUT[:-1]
        }
        return cls(**values, tag=frame[AAD_SIZE:HEADER_SIZE])

    @property
    def blocks(self) -> int:
        """Payload blocks that `length` asks for."""
        return -(-self.length // BLOCK_SIZE)

    @property
    def lane(self) -> int:
        """The lane of the frame's receiver: the low bits of its channel index."""
        return self.channel & 0xFF

    @property
    def epoch(self) -> int:
        """Which epoch key sealed the frame."""
        return self.sequence >> 22

    def flag_names(self) -> list[str]:
        """Names of the set flags, lowest bit first."""
        return [name for name, bit in FLAGS.items() if self.flags & bit]

    def to_json(self) -> dict[str, Any]:
        """Fields by name: flags as names, want and pace as slots and slots/s, tag as hex.

        A float that is not in canonical form has its wire value under `noncanonical`, so that nothing is lost.
        """
        document: dict[str, Any] = {}
        odd = {}
        for name, _offset, _size in LAYOUT:
            value = getattr(self, name)
            if name in FLOATS:
                document[name] = float16.decode(value)
                if float16.encode(document[name]) != value:
                    odd[name] = value
            else:
                document[name] = value
        document["flags"] = self.flag_names()
        document["tag"] = self.tag.hex()
        if odd:
            document["noncanonical"] = odd
        return document

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Header:
        """The reverse of to_json(); HeaderError names the field that is missing, unknown or out of range."""
        names = {field.name for field in fields(cls)}
        for name in document:
            if name not in names and name != "noncanonical":
                raise HeaderError(name, "no such field in the header")
        odd = document.get("noncanonical", {})
        if not isinstance(odd, dict):
            raise HeaderError("noncanonical", "not an object")
        for name, wire in odd.items():
            if name not in FLOATS:
                raise HeaderError("noncanonical", f"{name!r} is no float; want and pace are")
            if not _is_integer(wire) or not 0 <= wire <= 0xFFFF:
                raise HeaderError("noncanonical", f"{name}: {wire!r} is not a number from 0 to 65535")
        values: dict[str, Any] = {}
        for name, _offset, size in LAYOUT:
            if name not in document:
                raise HeaderError(name, "missing")
            if name not in odd:
                values[name] = _field(name, document[name], size)
            elif document[name] == float16.decode(odd[name]):
                values[name] = odd[name]
            else:
                raise HeaderError(
                    name, f"{document[name]} is not what noncanonical {odd[name]} means; drop one of the two"
                )
        return cls(**values)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _field(name: str, value: object, size: int) -> int | bytes:
    """Check one JSON value and turn it into the field's wire value."""
    if name == "tag":
        try:
            tag = bytes.fromhex(value) if isinstance(value, str) else b""
        except ValueError:
            tag = b""
        if len(tag) != TAG_SIZE:
            raise HeaderError(name, f"{value!r} is not {TAG_SIZE} bytes of hexadecimal")
        return tag
    if name == "flags" and isinstance(value, list):
        unknown = [flag for flag in value if not isinstance(flag, str) or flag not in FLAGS]
        if unknown:
            raise HeaderError(name, f"unknown {unknown[0]!r}; known: {' '.join(FLAGS)}")
        return sum(FLAGS[flag] for flag in set(value))
    if not isinstance(value, int) or isinstance(value, bool):
        raise HeaderError(name, f"{value!r} is not a number" + (" or a list of names" if name == "flags" else ""))
    if name in FLOATS:
        wire = float16.encode(value) if value >= 0 else 0
        if float16.decode(wire) != value:
            raise HeaderError(name, f"{value} has no exact 16-bit float; the nearest below is {float16.decode(wire)}")
        return wire
    if not 0 <= value < 1 << (8 * size):
        raise HeaderError(name, f"{value} does not fit {8 * size} bits")
    return value
