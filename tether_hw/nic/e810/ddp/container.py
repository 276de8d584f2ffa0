# SPDX-License-Identifier: Apache-2.0
"""A DDP package file: header, segments, buffers of 4096 bytes, sections (ice_ddp.h, ice_ddp.c).

Raw bytes are the truth. Every segment keeps its prefix, every buffer its 4096 bytes with whatever lies between and
behind its sections, and what is not understood stays as it came; so an unchanged package is written back byte for byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from tether_hw.nic.e810.ddp.errors import DdpError

BUFFER_SIZE = 4096
SEGMENT_HEADER_SIZE = 44
FORMAT_VERSION = (1, 0, 0, 0)
METADATA_BIT = 0x8000_0000
MOST_SEGMENTS = 256
MOST_FILE_BYTES = 32 << 20

METADATA, CONFIG_E810, CONFIG_E830, SIGNING, RUNTIME = 0x1, 0x10, 0x17, 0x1001, 0x20
CONFIGS = (CONFIG_E810, CONFIG_E830)
SEGMENT_NAMES = {
    METADATA: "metadata",
    CONFIG_E810: "configuration (E810)",
    CONFIG_E830: "configuration (E830)",
    SIGNING: "signing",
    RUNTIME: "run-time configuration",
}
SIGN_TYPES = {1: "RSA2K", 2: "RSA3K", 3: "RSA3K, secure boot block", 5: "RSA3K, E825"}

Version = tuple[int, int, int, int]


def version_text(version: Version) -> str:
    """major.minor.update.draft"""
    return ".".join(str(part) for part in version)


@dataclass(frozen=True)
class Section:
    """One section of a buffer: its type word, and where its bytes lie in the buffer."""

    type: int
    offset: int
    size: int

    @property
    def metadata(self) -> bool:
        """Labels and the like: in the file, never downloaded."""
        return bool(self.type & METADATA_BIT)


@dataclass
class Buffer:
    """One buffer as it is downloaded: `data` is all of its 4096 bytes."""

    data: bytearray
    sections: tuple[Section, ...]

    @classmethod
    def read(cls, data: bytes, offset: int, where: str) -> Buffer:
        """Read the buffer at a file offset; DdpError when a count or a section leaves it."""
        raw = data[offset : offset + BUFFER_SIZE]
        if len(raw) < BUFFER_SIZE:
            raise DdpError(f"the file ends inside it, {len(raw)} of {BUFFER_SIZE} bytes", offset=offset, where=where)
        count, end = struct.unpack_from("<HH", raw)
        if not 1 <= count <= 511:
            raise DdpError(f"{count} sections, 1 to 511 can be", offset=offset, where=where)
        if not 12 <= end <= BUFFER_SIZE:
            raise DdpError(f"its data ends at {end}, 12 to {BUFFER_SIZE} can be", offset=offset + 2, where=where)
        sections = []
        for index in range(count):
            place = offset + 4 + 8 * index
            if 4 + 8 * index + 8 > BUFFER_SIZE:
                raise DdpError(f"its table of {count} sections leaves the buffer", offset=place, where=where)
            section = Section(*struct.unpack_from("<IHH", raw, 4 + 8 * index))
            spot = f"{where}, section {index} (type {section.type:#x})"
            if section.offset < 4 + 8 * count or section.size < 1:
                message = f"{section.size} bytes at {section.offset}: data begins behind the table of sections"
                raise DdpError(message, offset=place, where=spot)
            if section.offset + section.size > BUFFER_SIZE:
                message = f"{section.size} bytes at {section.offset} leave the buffer of {BUFFER_SIZE}"
                raise DdpError(message, offset=place, where=spot)
            if section.offset % 4:
                raise DdpError(f"starts at {section.offset}, no multiple of 4", offset=place, where=spot)
            sections.append(section)
        _no_overlap(sections, offset, where)
        return cls(bytearray(raw), tuple(sections))

    def content(self, section: Section) -> bytes:
        """The bytes of one of its sections."""
        return bytes(self.data[section.offset : section.offset + section.size])

    @property
    def ends_download(self) -> bool:
        """True when its first section is metadata: a driver stops before it."""
        return self.sections[0].metadata

    @property
    def data_end(self) -> int:
        """Where the driver believes that its data ends."""
        return int(struct.unpack_from("<H", self.data, 2)[0])


def _no_overlap(sections: list[Section], offset: int, where: str) -> None:
    ordered = sorted(sections, key=lambda section: section.offset)
    for before, after in zip(ordered, ordered[1:], strict=False):
        if before.offset + before.size > after.offset:
            message = (
                f"sections {before.type:#x} ({before.size} bytes at {before.offset}) and {after.type:#x}"
                f" ({after.size} at {after.offset}) overlap"
            )
            raise DdpError(message, offset=offset + 4, where=where)


@dataclass
class Segment:
    """One segment. `prefix` is everything before its buffers, header included; `suffix` what follows them."""

    prefix: bytes
    buffers: list[Buffer] = field(default_factory=list)
    suffix: bytes = b""

    @property
    def type(self) -> int:
        return int(struct.unpack_from("<I", self.prefix)[0])

    @property
    def format_version(self) -> Version:
        major, minor, update, draft = self.prefix[4:8]
        return major, minor, update, draft

    @property
    def size(self) -> int:
        """Bytes, header included."""
        return len(self.prefix) + BUFFER_SIZE * len(self.buffers) + len(self.suffix)

    @property
    def identifier(self) -> str:
        return self.prefix[12:44].split(b"\0")[0].decode("latin-1")

    @property
    def name(self) -> str:
        """What kind of segment it is, for people."""
        return SEGMENT_NAMES.get(self.type, f"unknown ({self.type:#x})")

    def to_bytes(self) -> bytes:
        """As it stands in the file."""
        return self.prefix + b"".join(bytes(buffer.data) for buffer in self.buffers) + self.suffix

    def add_buffer(self, buffer: Buffer) -> None:
        """Append a buffer and raise the counts that the prefix holds."""
        self.buffers.append(buffer)
        prefix = bytearray(self.prefix)
        struct.pack_into("<I", prefix, 8, self.size)
        struct.pack_into("<I", prefix, len(prefix) - 4, len(self.buffers))
        self.prefix = bytes(prefix)

    @property
    def devices(self) -> list[tuple[int, int, int]]:
        """Device, vendor and subdevice that a configuration segment is for; empty = all."""
        (count,) = struct.unpack_from("<I", self.prefix, 44)
        return [struct.unpack_from("<HHI", self.prefix, 48 + 8 * index) for index in range(count)]

    @property
    def nvm_versions(self) -> list[int]:
        """NVM versions that a configuration segment names."""
        (devices,) = struct.unpack_from("<I", self.prefix, 44)
        at = 48 + 8 * devices
        (count,) = struct.unpack_from("<I", self.prefix, at)
        return [int(word) for word in struct.unpack_from(f"<{count}I", self.prefix, at + 4)]

    def signing(self) -> dict[str, int]:
        """The fields of a signing segment."""
        names = ("segment_id", "sign_type", "signed_segment", "signed_start", "signed_count", "flags")
        return dict(zip(names, struct.unpack_from("<6I", self.prefix, 44), strict=True))


@dataclass
class Package:
    """A package file. `gaps[i]` are the bytes before the i-th segment of the file, the last what follows it."""

    format_version: Version
    segments: list[Segment]  # as the header lists them
    order: list[int]  # their indexes, as they lie in the file
    gaps: list[bytes]

    @classmethod
    def read(cls, data: bytes) -> Package:
        """Read a file; DdpError names the byte at fault. At most 32 MiB."""
        if len(data) > MOST_FILE_BYTES:
            raise DdpError(f"{len(data)} bytes are more than a package can have ({MOST_FILE_BYTES})")
        if len(data) < 8:
            raise DdpError(f"{len(data)} bytes are too few for a file header", offset=0)
        version = (data[0], data[1], data[2], data[3])
        if version != FORMAT_VERSION:
            raise DdpError(
                f"file format {version_text(version)}, only 1.0.0.0 is known", offset=0, hint=_no_package(data)
            )
        (count,) = struct.unpack_from("<I", data, 4)
        if not 1 <= count <= MOST_SEGMENTS:
            raise DdpError(f"{count} segments, 1 to {MOST_SEGMENTS} can be", offset=4)
        head = 8 + 4 * count
        if head > len(data):
            raise DdpError(f"the table of {count} segments leaves the file", offset=4)
        offsets = struct.unpack_from(f"<{count}I", data, 8)
        order = sorted(range(count), key=lambda index: offsets[index])
        segments: dict[int, Segment] = {}
        gaps = []
        end = head
        for index in order:
            start = offsets[index]
            if start < end:
                raise DdpError(
                    f"segment {index} begins at {start:#x}, inside what stands before it", offset=8 + 4 * index
                )
            gaps.append(data[end:start])
            segments[index] = _read_segment(data, start, f"segment {index}")
            end = start + segments[index].size
        gaps.append(data[end:])
        return cls(version, [segments[index] for index in range(count)], order, gaps)

    def to_bytes(self) -> bytes:
        """The file. Offsets are those of the segments as they are now."""
        at = 8 + 4 * len(self.segments)
        offsets = [0] * len(self.segments)
        body = []
        for gap, index in zip(self.gaps, self.order, strict=False):
            offsets[index] = at + len(gap)
            body += [gap, self.segments[index].to_bytes()]
            at = offsets[index] + self.segments[index].size
        head = bytes(self.format_version) + struct.pack(f"<I{len(offsets)}I", len(offsets), *offsets)
        return head + b"".join(body) + self.gaps[-1]

    @property
    def signing_segments(self) -> list[Segment]:
        return [segment for segment in self.segments if segment.type == SIGNING]

    def configuration(self) -> Segment:
        """The segment of E810 tables; DdpError when there is none."""
        for kind in CONFIGS:
            for segment in self.segments:
                if segment.type == kind:
                    return segment
        raise DdpError("it has no configuration segment", hint="a package without one holds nothing to parse by")

    def sections(self, segment: Segment) -> Iterator[tuple[Buffer, Section]]:
        """Every section of a segment, in the order of the file."""
        for buffer in segment.buffers:
            for section in buffer.sections:
                yield buffer, section


def _no_package(data: bytes) -> str | None:
    known = {b"\x1f\x8b": "gzip", b"PK": "a zip archive", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ": "xz"}
    kind = next((name for magic, name in known.items() if data.startswith(magic)), None)
    return f"it looks like {kind}; unpack it first" if kind else None


def _read_segment(data: bytes, start: int, where: str) -> Segment:
    if start + SEGMENT_HEADER_SIZE > len(data):
        raise DdpError("its header leaves the file", offset=start, where=where)
    kind, size = struct.unpack_from("<I4xI", data, start)
    if size < SEGMENT_HEADER_SIZE or start + size > len(data):
        message = f"{size} bytes from {start:#x}, the file has {len(data)}"
        raise DdpError(message, offset=start + 8, where=where)
    end = start + size
    at: int | None = None  # where the count of buffers stands
    if kind in CONFIGS:
        devices_at = start + SEGMENT_HEADER_SIZE
        devices = _count(data, devices_at, end, 8, "devices", where)
        versions_at = devices_at + 4 + 8 * devices
        at = versions_at + 4 + 4 * _count(data, versions_at, end, 4, "NVM versions", where)
    elif kind == SIGNING:
        at = start + 108
    elif kind == RUNTIME:
        at = start + 52
    if at is None:
        if kind == METADATA and size < 84:
            raise DdpError(f"{size} bytes, a metadata segment has 84", offset=start + 8, where=where)
        return Segment(data[start:end])
    count = _count(data, at, end, BUFFER_SIZE, "buffers", where)
    first = at + 4
    buffers = [Buffer.read(data, first + BUFFER_SIZE * i, f"{where}, buffer {i}") for i in range(count)]
    return Segment(data[start:first], buffers, data[first + BUFFER_SIZE * count : end])


def _count(data: bytes, at: int, end: int, each: int, what: str, where: str) -> int:
    if at + 4 > end:
        raise DdpError(f"it ends before its count of {what}", offset=at, where=where)
    (count,) = struct.unpack_from("<I", data, at)
    if at + 4 + each * count > end:
        raise DdpError(f"{count} {what} do not fit its {end - at} bytes left", offset=at, where=where)
    return int(count)
