# SPDX-License-Identifier: Apache-2.0
"""A captured frame as a document and back: Ethernet with 0-2 VLAN tags, or the bare frame as UDP carries it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tether_hw.transport.protocol.header import BLOCK_SIZE, HEADER_SIZE, LAMP, VERSION, Header, HeaderError
from tether_hw.transport.protocol.reject import Reject

SCHEMA = "tether.frame/1"
ETHERTYPE = 0x88B5
VLAN_TYPES = {0x8100: "802.1Q", 0x88A8: "802.1ad"}
_OUTSIDE_HEADER = ("schema", "ethernet", "payload", "trailer", "opened")
_TAG_KEYS = {"type", "id", "priority", "drop_eligible"}


@dataclass
class VlanTag:
    """One VLAN tag."""

    type: int
    id: int
    priority: int
    drop_eligible: bool

    def to_json(self) -> dict[str, Any]:
        """Fields by name."""
        return {"type": self.type, "id": self.id, "priority": self.priority, "drop_eligible": self.drop_eligible}

    def encode(self) -> bytes:
        """Type and control information, 4 bytes."""
        control = self.priority << 13 | int(self.drop_eligible) << 12 | self.id
        return self.type.to_bytes(2, "big") + control.to_bytes(2, "big")


@dataclass
class Capture:
    """One frame as it was on the wire. `payload` is still sealed; `trailer` is what follows the last block."""

    header: Header
    payload: bytes = b""
    trailer: bytes = b""
    destination: bytes = b""  # 6 bytes, or empty for a bare frame
    source: bytes = b""
    vlans: list[VlanTag] = field(default_factory=list)

    @classmethod
    def decode(cls, data: bytes) -> Capture:
        """Read a frame; Reject (with a byte position) when it is no Tether frame of version 1."""
        link = _link_header(data)
        start = 14 + 4 * len(link[2]) if link else 0
        frame = data[start:]
        try:
            header = Header.decode(frame)
        except Reject as reject:
            raise Reject(reject.reason, reject.detail, start + reject.position) from None
        if header.version != VERSION:
            hint = "" if link else f"; as an Ethernet frame it does not lead to EtherType {ETHERTYPE:#06x} either"
            raise Reject("version", f"version {header.version}, this tool knows version {VERSION}{hint}", start)
        end = HEADER_SIZE + BLOCK_SIZE * header.blocks
        if header.flags == LAMP:  # a Hail and its reply are all whole blocks that came
            end = max(end, len(frame) - len(frame) % BLOCK_SIZE)
        capture = cls(header, frame[HEADER_SIZE:end], frame[end:])
        if link:
            capture.destination, capture.source, capture.vlans = link
        return capture

    def encode(self) -> bytes:
        """The reverse of decode()."""
        data = self.header.encode() + self.payload + self.trailer
        if not self.destination:
            return data
        tags = b"".join(tag.encode() for tag in self.vlans)
        return self.destination + self.source + tags + ETHERTYPE.to_bytes(2, "big") + data

    @property
    def missing(self) -> int:
        """Payload bytes that `length` promises and the capture does not have."""
        return max(0, BLOCK_SIZE * self.header.blocks - len(self.payload))

    def to_json(self) -> dict[str, Any]:
        """The document `tether.frame/1`: header fields at the top, bytes as hex."""
        ethernet = None
        if self.destination:
            ethernet = {
                "destination": self.destination.hex(":"),
                "source": self.source.hex(":"),
                "vlans": [tag.to_json() for tag in self.vlans],
            }
        return {
            "schema": SCHEMA,
            "ethernet": ethernet,
            **self.header.to_json(),
            "payload": self.payload.hex(),
            "trailer": self.trailer.hex(),
        }

    @classmethod
    def from_json(cls, document: object) -> Capture:
        """The reverse of to_json(); HeaderError names the key that is wrong. `ethernet` and `trailer` may be absent."""
        if not isinstance(document, dict):
            raise HeaderError("", "not a JSON object")
        if document.get("schema") != SCHEMA:
            raise HeaderError("schema", f"{document.get('schema')!r} is not {SCHEMA!r}")
        header = Header.from_json({key: value for key, value in document.items() if key not in _OUTSIDE_HEADER})
        capture = cls(header, _hex(document, "payload"), _hex(document, "trailer"))
        if capture.trailer and capture.missing:
            raise HeaderError("trailer", f"follows a payload that lacks {capture.missing} bytes")
        ethernet = document.get("ethernet")
        if ethernet is not None:
            if not isinstance(ethernet, dict) or set(ethernet) != {"destination", "source", "vlans"}:
                raise HeaderError("ethernet", "has exactly destination, source and vlans")
            capture.destination = _mac(ethernet, "destination")
            capture.source = _mac(ethernet, "source")
            capture.vlans = _vlans(ethernet["vlans"])
        if cls.decode(capture.encode()) != capture:
            raise HeaderError("payload", f"{len(capture.payload)} bytes do not fit length {header.length}")
        return capture


def _link_header(data: bytes) -> tuple[bytes, bytes, list[VlanTag]] | None:
    """Destination, source and VLAN tags, or None when this is no Ethernet frame that carries Tether."""
    tags: list[VlanTag] = []
    offset = 12
    while len(data) >= offset + 2:
        kind = int.from_bytes(data[offset : offset + 2], "big")
        if kind == ETHERTYPE:
            return data[:6], data[6:12], tags
        if kind not in VLAN_TYPES or len(tags) == 2:
            return None
        control = int.from_bytes(data[offset + 2 : offset + 4], "big")
        tags.append(VlanTag(kind, control & 0xFFF, control >> 13, bool(control >> 12 & 1)))
        offset += 4
    return None


def _hex(document: dict[str, Any], key: str) -> bytes:
    value = document.get(key, "")
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        raise HeaderError(key, f"{value!r} is not hexadecimal") from None


def _mac(document: dict[str, Any], key: str) -> bytes:
    value = document[key]
    try:
        address = bytes.fromhex(value.replace(":", ""))
    except (AttributeError, ValueError):
        address = b""
    if len(address) != 6:
        raise HeaderError(key, f"{value!r} is not a MAC address")
    return address


def _vlans(value: object) -> list[VlanTag]:
    if not isinstance(value, list) or len(value) > 2:
        raise HeaderError("vlans", "not a list of at most two tags")
    tags = []
    for entry in value:
        if not isinstance(entry, dict) or set(entry) != _TAG_KEYS:
            raise HeaderError("vlans", f"a tag has exactly {', '.join(sorted(_TAG_KEYS))}")
        for key, largest in (("id", 4095), ("priority", 7)):
            number = entry[key]
            if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= largest:
                raise HeaderError("vlans", f"{key} {number!r} is not a number from 0 to {largest}")
        if entry["type"] not in VLAN_TYPES or not isinstance(entry["drop_eligible"], bool):
            raise HeaderError("vlans", f"type is one of {', '.join(map(str, VLAN_TYPES))}, drop_eligible true or false")
        tags.append(VlanTag(**entry))
    return tags
