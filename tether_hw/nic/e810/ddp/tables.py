# SPDX-License-Identifier: Apache-2.0
"""The RX parser's tables of a package, read from its configuration segment."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import cached_property

from tether_hw.nic.e810.ddp.container import Package, Segment
from tether_hw.nic.e810.ddp.errors import DdpError
from tether_hw.nic.e810.ddp.fields import LABEL_SIZE, Layout, Row
from tether_hw.nic.e810.ddp.sections import BY_SECTION, LABELS, METADATA_SECTION, TABLES, TableKind


@dataclass(frozen=True)
class Entry:
    """One entry: its index (addressed tables: its place in the order of search) and its bytes."""

    index: int
    raw: bytes
    layout: Layout

    @cached_property
    def row(self) -> Row:
        """Its fields; decoded when they are asked for, as most readers want few of the tables."""
        return self.layout.decode(self.raw)


@dataclass
class Identity:
    """What a driver calls the package: the metadata section's version, name and track id."""

    version: tuple[int, int, int, int] = (0, 0, 0, 0)
    name: str = ""
    track_id: int = 0


@dataclass
class Tables:
    """Table name -> entries in the order of the file. `labels[what][number]` names things; both may be incomplete."""

    entries: dict[str, list[Entry]] = field(default_factory=dict)
    labels: dict[str, dict[int, str]] = field(default_factory=dict)
    identity: Identity = field(default_factory=Identity)

    def of(self, name: str) -> list[Entry]:
        """Entries of a table, by its name in sections.TABLES; empty when the package has none."""
        return self.entries.get(name, [])

    def by_index(self, name: str) -> dict[int, Row]:
        """Index -> fields. A later entry of the same index replaces an earlier one, as in the driver."""
        return {entry.index: entry.row for entry in self.of(name)}

    def label(self, what: str, number: int) -> str:
        """The name of a number, or the number itself."""
        return self.labels.get(what, {}).get(number, str(number))

    @classmethod
    def read(cls, package: Package) -> Tables:
        """All tables; DdpError when counts and sections disagree or an entry lies beyond its table."""
        return cls.of_segment(package, package.configuration())

    @classmethod
    def of_segment(cls, package: Package, segment: Segment) -> Tables:
        """All tables of one configuration segment."""
        found = cls()
        for number, (buffer, section) in enumerate(package.sections(segment)):
            content = buffer.content(section)
            where = f"section {number} (type {section.type:#x})"
            kind = BY_SECTION.get(section.type)
            if kind is not None:
                found._add(kind, content, where)
            elif section.metadata and section.type & 0x7FFF_FFFF in LABELS:
                found._add_labels(LABELS[section.type & 0x7FFF_FFFF], content, where)
            elif section.type == METADATA_SECTION and len(content) >= 36:
                version = (content[0], content[1], content[2], content[3])
                name = content[4:32].split(b"\0")[0].decode("latin-1")
                found.identity = Identity(version, name, struct.unpack_from("<I", content, 32)[0])
        return found

    def _add(self, kind: TableKind, content: bytes, where: str) -> None:
        entries = self.entries.setdefault(kind.name, [])
        size = kind.layout.size
        if kind.bare:
            if len(content) < size:
                raise DdpError(f"{len(content)} bytes, a {kind.layout.name} has {size}", where=where)
            if not entries:  # a driver takes the first
                entries.append(Entry(0, content[:size], kind.layout))
            return
        if len(content) < 4:
            raise DdpError(f"{len(content)} bytes are too few for the header of a table", where=where)
        count, first = struct.unpack_from("<HH", content)
        if 4 + count * size > len(content):
            raise DdpError(f"{count} entries of {size} bytes do not fit its {len(content)} bytes", where=where)
        for place in range(count):
            raw = content[4 + place * size : 4 + (place + 1) * size]
            index = len(entries) if kind.addressed else first + place
            if index >= kind.entries:
                raise DdpError(f"entry {index} of {kind.layout.name}: the table has {kind.entries}", where=where)
            entries.append(Entry(index, raw, kind.layout))

    def _add_labels(self, what: str, content: bytes, where: str) -> None:
        if len(content) < 2:
            raise DdpError("too short for a count of labels", where=where)
        (count,) = struct.unpack_from("<H", content)
        if 2 + count * LABEL_SIZE > len(content):
            raise DdpError(f"{count} labels do not fit its {len(content)} bytes", where=where)
        names = self.labels.setdefault(what, {})
        for place in range(count):
            at = 2 + place * LABEL_SIZE
            (value,) = struct.unpack_from("<H", content, at)
            names[value] = content[at + 2 : at + LABEL_SIZE].split(b"\0")[0].decode("latin-1")


def missing(tables: Tables) -> list[str]:
    """Tables without which a driver makes no parser: key builders must be there, others may be empty."""
    return [kind.name for kind in TABLES if kind.bare and kind.name != "key_pe" and not tables.of(kind.name)]
