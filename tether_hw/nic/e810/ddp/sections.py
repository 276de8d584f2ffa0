# SPDX-License-Identifier: Apache-2.0
"""Which section holds which table of the RX parser (ice_flex_type.h), and how many entries the table has."""

from __future__ import annotations

from dataclasses import dataclass

from tether_hw.nic.e810.ddp import fields
from tether_hw.nic.e810.ddp.fields import Layout

METADATA_SECTION = 1


@dataclass(frozen=True)
class TableKind:
    """One table: the section that carries it, how an entry looks, how many there can be.

    `addressed`: entries carry their own address, and are searched in the order of the file; else the section's header
    holds the index of its first entry. `bare`: the section is one entry without a header.
    """

    name: str
    section: int
    layout: Layout
    entries: int
    addressed: bool = False
    bare: bool = False


BLOCKS = {"sw": 10, "acl": 20, "fd": 30, "rss": 40, "pe": 80}
TABLES: tuple[TableKind, ...] = (
    TableKind("program", 52, fields.IMEM, 192),
    TableKind("start", 58, fields.METADATA_INIT, 16),
    TableKind("cam", 50, fields.CAM, 2048),
    TableKind("cam_spill", 76, fields.SPILL_CAM, 128),
    TableKind("no_match", 51, fields.NO_MATCH_CAM, 1024),
    TableKind("no_match_spill", 78, fields.NO_MATCH_SPILL_CAM, 64),
    TableKind("boost", 56, fields.BOOST, 256, addressed=True),
    TableKind("ptype", 55, fields.PTYPE, 1024, addressed=True),
    TableKind("marker_group", 72, fields.MARKER_GROUP, 128),
    TableKind("protocol_group", 57, fields.PROTOCOL_GROUP, 192),
    TableKind("redirect", 97, fields.FLAG_REDIRECT, 64),
    *(TableKind(f"key_{name}", base + 1, fields.KEY_BUILDER, 1, bare=True) for name, base in BLOCKS.items()),
    *(TableKind(f"xlt1_{name}", base + 2, fields.XLT1, 8192) for name, base in BLOCKS.items()),
)
BY_NAME = {table.name: table for table in TABLES}
BY_SECTION = {table.section: table for table in TABLES}

#: Label sections, type without the metadata bit: what their numbers name.
LABELS = {
    0x10: "program",
    0x12: "node",
    0x14: "marker",
    0x16: "ptype",
    0x17: "protocol",
    0x18: "boost",
    0x23: "flag",
    0x35: "marker_group",
    0x37: "protocol_group",
}
LABEL_SECTIONS = {name: 0x8000_0000 | section for section, name in LABELS.items()}

_OTHER = {
    METADATA_SECTION: "package metadata",
    60: "TX parse graph",
    61: "TX no match",
    62: "TX program",
    65: "TX ptype",
    66: "TX boost",
    67: "TX protocol group",
    68: "TX start",
    72: "marker group",
    73: "TX marker group",
    77: "TX parse graph spill",
    79: "TX no match spill",
    0x8000_0011: "labels of TX program",
    0x8000_0013: "labels of TX node",
    0x8000_0015: "labels of TX marker",
    0x8000_0019: "labels of TX boost",
    0x8000_0036: "labels of TX marker_group",
    0x8000_0038: "labels of TX protocol_group",
}
_BLOCK_TABLES = {3: "XLT2", 4: "profile TCAM", 5: "profile redirect", 6: "field vector"}


def section_name(kind: int) -> str:
    """What a section of this type holds, for people; `opaque` when it is not known."""
    if kind in BY_SECTION:
        return BY_SECTION[kind].name.replace("_", " ")
    if kind in _OTHER:
        return _OTHER[kind]
    if kind & 0x8000_0000 and kind & 0x7FFF_FFFF in LABELS:
        return f"labels of {LABELS[kind & 0x7FFF_FFFF]}"
    for name, base in BLOCKS.items():
        if kind - base in _BLOCK_TABLES:
            return f"{_BLOCK_TABLES[kind - base]} {name}"
    return "opaque"
