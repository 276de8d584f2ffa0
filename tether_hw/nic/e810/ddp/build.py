# SPDX-License-Identifier: Apache-2.0
"""A package from tables: entries into sections, sections into buffers, labels behind what is downloaded.

Also the other way a package is made: entries laid over one that is there, in buffers of their own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from tether_hw.nic.e810.ddp import container
from tether_hw.nic.e810.ddp.container import BUFFER_SIZE, Buffer, Package, Section, Segment
from tether_hw.nic.e810.ddp.errors import DdpError
from tether_hw.nic.e810.ddp.fields import LABEL_SIZE, Row
from tether_hw.nic.e810.ddp.sections import BY_NAME, LABEL_SECTIONS, METADATA_SECTION, TABLES, TableKind
from tether_hw.nic.e810.ddp.tables import Identity

MOST_SECTION_BYTES = 4084
DATA_START = 12


@dataclass
class Draft:
    """What is to be in a package: table name -> {index: fields} (in this order), labels, identity."""

    entries: dict[str, dict[int, Row]] = field(default_factory=dict)
    labels: dict[str, dict[int, str]] = field(default_factory=dict)
    identity: Identity = field(default_factory=Identity)
    devices: list[tuple[int, int, int]] = field(default_factory=list)  # device, vendor, subdevice
    nvm_versions: list[int] = field(default_factory=list)

    def add(self, table: str, index: int, row: Row) -> None:
        """Put an entry; DdpError when its place is taken or beyond the table."""
        kind = BY_NAME[table]
        if not 0 <= index < kind.entries:
            raise DdpError(f"place {index} of {kind.layout.name}: the table has {kind.entries}")
        entries = self.entries.setdefault(table, {})
        if index in entries:
            raise DdpError(f"place {index} of {kind.layout.name} is taken")
        kind.layout.encode(row)  # every value must fit its field
        entries[index] = row


def new_package(draft: Draft) -> Package:
    """A package of one metadata and one configuration segment."""
    name = _text(draft.identity.name, 28, "the package's name")
    version = bytes(draft.identity.version)
    head = struct.pack("<I4BI", container.METADATA, 1, 0, 0, 0, 84) + _text(draft.identity.name, 32, "the segment's id")
    metadata = head + version + b"\xff\xff\xff\xff" + _text(draft.identity.name, 32, "the package's name")
    identity = version + name + struct.pack("<I", draft.identity.track_id)
    sections = [(METADATA_SECTION, identity), *_table_sections(draft)]
    buffers = [*_buffers(sections), *_buffers(_label_sections(draft))]
    lists = struct.pack("<I", len(draft.devices)) + b"".join(struct.pack("<HHI", *device) for device in draft.devices)
    lists += struct.pack(f"<I{len(draft.nvm_versions)}I", len(draft.nvm_versions), *draft.nvm_versions)
    size = container.SEGMENT_HEADER_SIZE + len(lists) + 4 + BUFFER_SIZE * len(buffers)
    major, minor = draft.identity.version[:2]
    prefix = struct.pack("<I4BI", container.CONFIG_E810, major, minor, 0, 0, size)
    prefix += _text(draft.identity.name, 32, "the segment's id") + lists + struct.pack("<I", len(buffers))
    segments = [Segment(metadata), Segment(prefix, buffers)]
    return Package(container.FORMAT_VERSION, segments, [0, 1], [b"", b"", b""])


def refuse_signed(package: Package) -> None:
    """DdpError when a package carries signing segments: what is signed cannot be changed and stay signed."""
    if package.signing_segments:
        raise DdpError(
            "the package is signed: a changed one would have no valid signature, and E810 firmware would refuse it",
            hint="lay over a package without signing segments, or steer without a package (docs/e810.md)",
        )


def lay_over(package: Package, draft: Draft) -> None:
    """Add a draft's entries and labels to a package, behind what it has and before its labels.

    DdpError when the package is signed.
    """
    refuse_signed(package)
    segment = package.configuration()
    end = next((i for i, buffer in enumerate(segment.buffers) if buffer.ends_download), len(segment.buffers))
    added = _buffers(list(_table_sections(draft)))
    for buffer in _buffers(_label_sections(draft)):
        segment.add_buffer(buffer)
    for place, buffer in enumerate(added):
        segment.add_buffer(buffer)
        segment.buffers.insert(end + place, segment.buffers.pop())


def _text(text: str, size: int, what: str) -> bytes:
    raw = text.encode("latin-1", "replace")
    if len(raw) >= size:
        raise DdpError(f"{what} has {len(raw)} characters, at most {size - 1} fit")
    return raw.ljust(size, b"\0")


def _table_sections(draft: Draft) -> Iterator[tuple[int, bytes]]:
    for kind in TABLES:
        entries = draft.entries.get(kind.name, {})
        if kind.bare:
            for row in entries.values():
                yield kind.section, kind.layout.encode(row)
        elif kind.addressed:
            rows = [kind.layout.encode(row) for row in entries.values()]
            yield from _chunks(kind, 0, rows)
        else:
            for first, run in _runs(entries):
                yield from _chunks(kind, first, [kind.layout.encode(row) for row in run])


def _runs(entries: dict[int, Row]) -> Iterator[tuple[int, list[Row]]]:
    """Neighbouring indexes together: a section holds the index of its first entry only."""
    first, run = 0, list[Row]()
    for index in sorted(entries):
        if run and index != first + len(run):
            yield first, run
            run = []
        if not run:
            first = index
        run.append(entries[index])
    if run:
        yield first, run


def _chunks(kind: TableKind, first: int, rows: list[bytes]) -> Iterator[tuple[int, bytes]]:
    most = (MOST_SECTION_BYTES - 4) // kind.layout.size
    for at in range(0, len(rows), most):
        piece = rows[at : at + most]
        index = 0 if kind.addressed else first + at
        yield kind.section, struct.pack("<HH", len(piece), index) + b"".join(piece)


def _label_sections(draft: Draft) -> list[tuple[int, bytes]]:
    most = (MOST_SECTION_BYTES - 2) // LABEL_SIZE
    sections = []
    for what, names in draft.labels.items():
        rows = [struct.pack("<H", value) + _text(name, 64, "a label") for value, name in sorted(names.items())]
        for at in range(0, len(rows), most):
            piece = rows[at : at + most]
            sections.append((LABEL_SECTIONS[what], struct.pack("<H", len(piece)) + b"".join(piece)))
    return sections


def _buffers(sections: list[tuple[int, bytes]]) -> list[Buffer]:
    """First fit in order: a section goes into the open buffer or opens the next one."""
    buffers, group, used = [], list[tuple[int, bytes]](), 4
    for kind, content in sections:
        need = 8 + -(-len(content) // 4) * 4
        if group and used + need > BUFFER_SIZE:
            buffers.append(_buffer(group))
            group, used = [], 4
        group.append((kind, content))
        used += need
    if group:
        buffers.append(_buffer(group))
    return buffers


def _buffer(group: list[tuple[int, bytes]]) -> Buffer:
    raw = bytearray(BUFFER_SIZE)
    at = max(DATA_START, 4 + 8 * len(group))
    sections = []
    for place, (kind, content) in enumerate(group):
        sections.append(Section(kind, at, len(content)))
        struct.pack_into("<IHH", raw, 4 + 8 * place, kind, at, len(content))
        raw[at : at + len(content)] = content
        at = -(-(at + len(content)) // 4) * 4
    struct.pack_into("<HH", raw, 0, len(group), min(at, BUFFER_SIZE))
    return Buffer(raw, tuple(sections))
