# SPDX-License-Identifier: Apache-2.0
"""Flow 0 tags (RFC 0001 section 12): one dataclass per tag, strict parsing, and the reverse."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, TypeVar

ALIGNMENT = 8
FIRST_OPTIONAL = 0x80  # unknown types from here on are skipped, below it they are an error
ADDRESS_SIZES = {1: (8, 8), 2: (6, 6), 3: (18, 18)}  # kind -> smallest, largest
ADDRESS_MAX = 28
POOL_MAX = 1 << 24
_HEAD = struct.Struct("<BBH")
_T = TypeVar("_T", bound="_Fixed")
_P = TypeVar("_P", bound="_Plan")


class TagError(ValueError):
    """A payload that is not a sequence of tags. `position` is the byte offset of what is wrong."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(f"byte {position}: {message}")
        self.position = position


class Tag(Protocol):
    """What every tag can do."""

    TYPE: ClassVar[int]

    def value(self) -> bytes:
        """The bytes after the tag's head, without padding."""
        ...


@dataclass
class _Fixed:
    """A tag whose value is one fixed struct.

    Reserved fields are `x` in the format: written as zero, ignored on receipt. A longer value comes from a later
    version, and is read as its known beginning.
    """

    TYPE: ClassVar[int]
    FORMAT: ClassVar[struct.Struct]

    def value(self) -> bytes:
        return self.FORMAT.pack(*self.__dict__.values())

    @classmethod
    def parse(cls: type[_T], value: bytes, position: int) -> _T:
        if len(value) < cls.FORMAT.size:
            raise TagError(position, f"{cls.__name__.upper()} of {len(value)} bytes, it has {cls.FORMAT.size}")
        return cls(*cls.FORMAT.unpack_from(value))


@dataclass
class Hail(_Fixed):
    """Who hails which lane, with which counter, and what it can seal with. Only inside a Hail and its reply."""

    TYPE = 0x01
    FORMAT = struct.Struct("<QHHHH")
    counter: int
    lane: int
    target_lane: int
    ciphers: int  # bit 0 ChaCha20-Poly1305, bit 1 AES-256-GCM
    status: int = 0  # 0 ok, 1 stale, 2 gone


@dataclass
class Define(_Fixed):
    """Open a flow."""

    TYPE = 0x02
    FORMAT = struct.Struct("<HBBBB2xQQQQ")
    flow: int
    kind: int  # 0 bytes, 1 message
    reliability: int = 0  # 0 reliable, 1 expiring
    order: int = 0  # 0 ordered, 1 unordered
    scale: int = 0  # a slot is 64 << scale bytes
    bound: int = 0  # bytes of the largest message
    latency_ns: int = 0
    budget: int = 0  # bytes per second
    deadline_ns: int = 0  # expiring flows: age at which data is skipped


@dataclass
class Skip(_Fixed):
    """Slots [first, first + count) of `flow` will not be used."""

    TYPE = 0x04
    FORMAT = struct.Struct("<H6xQQ")
    flow: int
    first: int
    count: int


@dataclass
class Close(_Fixed):
    """The sender's direction of `flow` ends before slot `final`."""

    TYPE = 0x05
    FORMAT = struct.Struct("<H2xIQ")
    flow: int
    reason: int
    final: int


@dataclass
class Bye(_Fixed):
    """The channel ends now."""

    TYPE = 0x06
    FORMAT = struct.Struct("<I4x")
    reason: int


@dataclass
class Rekey(_Fixed):
    """The responder's index of the channel that gets new keys. Only inside a Hail."""

    TYPE = 0x09
    FORMAT = struct.Struct("<I4x")
    channel: int


@dataclass
class Warm(_Fixed):
    """How many bytes of early data its sender takes in a Lamp after this channel has ended."""

    TYPE = 0x0A
    FORMAT = struct.Struct("<I4x")
    early_bytes: int


@dataclass
class LaneAddress:
    """One lane of the sender and the address that reaches it."""

    lane: int
    kind: int  # 1 MAC + VLAN, 2 UDP over IPv4, 3 UDP over IPv6, 4 in memory
    address: bytes

    def value(self) -> bytes:
        """4-byte head and address, padded as a tag is."""
        return _pad(struct.pack("<HBB", self.lane, self.kind, len(self.address)) + self.address)


@dataclass
class Manifest:
    """What the sender can take, how its link behaves and, outside a Hail, where its lanes are."""

    TYPE: ClassVar[int] = 0x03
    FORMAT: ClassVar[struct.Struct] = struct.Struct("<HHIIHHQQQQ")
    floor: int  # slots that every data frame uses at least
    frame_blocks: int  # payload blocks that one frame may have
    pool_slots: int  # standing grant of Flow 0
    ring_frames: int
    ember_frames: int
    max_message: int  # bytes
    rtt_ns: int
    rate_bps: int
    silence_ns: int
    lanes: list[LaneAddress] = field(default_factory=list)

    def value(self) -> bytes:
        """Constants, then the lanes."""
        head = self.FORMAT.pack(
            self.floor, self.frame_blocks, self.pool_slots, self.ring_frames, self.ember_frames, len(self.lanes),
            self.max_message, self.rtt_ns, self.rate_bps, self.silence_ns,
        )  # fmt: skip
        return head + b"".join(lane.value() for lane in self.lanes)

    @classmethod
    def parse(cls, value: bytes, position: int) -> Manifest:
        """Read a value whose first byte stands at `position`."""
        if len(value) < cls.FORMAT.size:
            raise TagError(position, f"MANIFEST of {len(value)} bytes, it has at least {cls.FORMAT.size}")
        floor, blocks, pool, ring, ember, count, *rest = cls.FORMAT.unpack_from(value)
        tag = cls(floor, blocks, pool, ring, ember, *rest)
        if not (1 <= floor <= 1023 and 1 <= blocks <= 1023):
            raise TagError(position, f"MANIFEST with floor {floor} and {blocks} blocks per frame")
        if ember == 0:
            raise TagError(position, "MANIFEST without an ember")
        if not floor <= pool <= POOL_MAX:
            raise TagError(position, f"MANIFEST with a pool of {pool} slots")
        offset = cls.FORMAT.size
        for _ in range(count):
            lane, offset = _parse_lane(value, offset, position)
            tag.lanes.append(lane)
        if offset != len(value):
            raise TagError(position + offset, f"MANIFEST with {len(value) - offset} bytes after its {count} lanes")
        return tag


@dataclass
class _Plan:
    """Pairs of times, on the sender's clock, with a reading of it and the Timestamp of that moment."""

    TYPE: ClassVar[int]
    FORMAT: ClassVar[struct.Struct] = struct.Struct("<QQH6x")
    PAIR: ClassVar[struct.Struct] = struct.Struct("<QQ")
    clock_ns: int
    stamp: int
    pairs: list[tuple[int, int]] = field(default_factory=list)

    def value(self) -> bytes:
        """Reading, count, pairs."""
        head = self.FORMAT.pack(self.clock_ns, self.stamp, len(self.pairs))
        return head + b"".join(self.PAIR.pack(*pair) for pair in self.pairs)

    @classmethod
    def parse(cls: type[_P], value: bytes, position: int) -> _P:
        """Read a value whose first byte stands at `position`."""
        if len(value) < cls.FORMAT.size:
            raise TagError(position, f"{cls.__name__.upper()} of {len(value)} bytes, it has at least {cls.FORMAT.size}")
        clock_ns, stamp, count = cls.FORMAT.unpack_from(value)
        end = cls.FORMAT.size + count * cls.PAIR.size
        if len(value) < end:
            raise TagError(position, f"{cls.__name__.upper()} of {len(value)} bytes for {count} pairs")
        return cls(clock_ns, stamp, list(cls.PAIR.iter_unpack(value[cls.FORMAT.size : end])))


@dataclass
class Windows(_Plan):
    """When the sender can be reached: (start, length) in ns."""

    TYPE: ClassVar[int] = 0x07


@dataclass
class Table(_Plan):
    """Round trips: (from, RTT) in ns."""

    TYPE: ClassVar[int] = 0x0B


@dataclass
class Unknown:
    """An optional tag of a later version: skipped, kept here so that tools can show it."""

    TYPE: ClassVar[int] = -1
    type: int
    content: bytes

    def value(self) -> bytes:
        """As it came."""
        return self.content


AnyTag = Hail | Define | Manifest | Skip | Close | Bye | Windows | Rekey | Warm | Table | Unknown
_KNOWN: dict[int, type[Hail | Define | Manifest | Skip | Close | Bye | Windows | Rekey | Warm | Table]] = {
    tag.TYPE: tag for tag in (Hail, Define, Manifest, Skip, Close, Bye, Windows, Rekey, Warm, Table)
}


def encode(tags: list[AnyTag]) -> bytes:
    """Return the payload that carries these tags, in order."""
    parts = []
    for tag in tags:
        kind = tag.type if isinstance(tag, Unknown) else tag.TYPE
        value = tag.value()
        parts.append(_pad(_HEAD.pack(kind, 0, len(value)) + value))
    return b"".join(parts)


def parse(payload: bytes) -> list[AnyTag]:
    """Return the tags of a whole payload; TagError says where it stops being one."""
    return list(walk(payload))


def walk(payload: bytes) -> Iterator[AnyTag]:
    """The tags one by one: those before an error can be acted on (T-TAG-5)."""
    offset = 0
    while offset < len(payload):
        if payload[offset] == 0:
            if any(payload[offset:]):
                raise TagError(offset, "bytes that are not zero after the end of tags")
            break
        if len(payload) - offset < _HEAD.size:
            raise TagError(offset, "the payload ends inside a tag's head")
        kind, reserved, length = _HEAD.unpack_from(payload, offset)
        start, end = offset + _HEAD.size, offset + _HEAD.size + length
        stop = end + -end % ALIGNMENT  # offset is aligned, so the whole tag is
        if stop > len(payload):
            raise TagError(offset, f"a tag of {length} bytes that goes beyond the payload")
        if reserved:
            raise TagError(offset + 1, "a tag whose reserved byte is not zero")
        if any(payload[end:stop]):
            raise TagError(end, "a tag whose padding is not zero")
        if kind in _KNOWN:
            yield _KNOWN[kind].parse(payload[start:end], start)
        elif kind >= FIRST_OPTIONAL:
            yield Unknown(kind, payload[start:end])
        else:
            raise TagError(offset, f"unknown tag {kind:#04x}")
        offset = stop


def _parse_lane(value: bytes, offset: int, position: int) -> tuple[LaneAddress, int]:
    if len(value) - offset < 4:
        raise TagError(position + offset, "MANIFEST that ends inside a lane")
    lane, kind, length = struct.unpack_from("<HBB", value, offset)
    end = offset + 4 + length
    stop = end + -(4 + length) % ALIGNMENT
    if stop > len(value):
        raise TagError(position + offset, "MANIFEST that ends inside a lane's address")
    if lane > 0xFF:
        raise TagError(position + offset, f"lane {lane}, a channel index has room for 0..255")
    smallest, largest = ADDRESS_SIZES.get(kind, (0, ADDRESS_MAX))
    if not smallest <= length <= largest:
        raise TagError(position + offset, f"lane address of kind {kind} and {length} bytes")
    if any(value[end:stop]):
        raise TagError(position + end, "a lane address whose padding is not zero")
    return LaneAddress(lane, kind, value[offset + 4 : end]), stop


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT)
