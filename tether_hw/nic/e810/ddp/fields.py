# SPDX-License-Identifier: Apache-2.0
"""Entries of the parser's tables as data: one table of fields per kind of entry, encode and decode from it.

Bit n of an entry is bit n of the entry read as one little-endian integer. Sources: ice_imem.c, ice_metainit.c,
ice_pg_cam.c, ice_bst_tcam.c, ice_ptype_mk.c, ice_mk_grp.c, ice_proto_grp.c, ice_flg_rd.c, ice_xlt_kb.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tether_hw.nic.e810.ddp.errors import DdpError

Row = dict[str, int]


@dataclass(frozen=True)
class Field:
    """A field of an entry: first bit and width in bits."""

    name: str
    start: int
    width: int


@dataclass(frozen=True)
class Layout:
    """A kind of entry: its size in bytes and its fields. Bits of no field are kept as they were."""

    name: str
    size: int
    fields: tuple[Field, ...]

    def decode(self, raw: bytes) -> Row:
        """Field name -> value."""
        word = int.from_bytes(raw, "little")
        return {field.name: word >> field.start & (1 << field.width) - 1 for field in self.fields}

    def encode(self, row: Mapping[str, int], base: bytes | None = None) -> bytes:
        """Lay `row` over `base` (zeros when there is none). DdpError for an unknown field or one that is too large."""
        word = int.from_bytes(base, "little") if base is not None else 0
        known = {field.name: field for field in self.fields}
        for name, value in row.items():
            field = known.get(name)
            if field is None:
                raise DdpError(f"an entry of {self.name} has no field {name!r}")
            if not 0 <= value < 1 << field.width:
                raise DdpError(f"{self.name}: {name} is {value}, it has {field.width} bits")
            word = word & ~((1 << field.width) - 1 << field.start) | value << field.start
        return word.to_bytes(self.size, "little")


def _fields(*spans: tuple[str, int, int]) -> tuple[Field, ...]:
    """From (name, first bit, last bit)."""
    return tuple(Field(name, first, last - first + 1) for name, first, last in spans)


def _at(start: int, prefix: str, fields: tuple[Field, ...]) -> tuple[Field, ...]:
    return tuple(Field(f"{prefix}{field.name}", start + field.start, field.width) for field in fields)


# ice_imem.c, _imem_npkb_init
NEXT_KEY = _fields(("op", 0, 1), ("start", 2, 9), ("length", 10, 17))
# _imem_pgkb_init
_GRAPH_FLAGS = tuple(
    part
    for index in range(4)
    for part in (Field(f"flag{index}_enable", 7 * index, 1), Field(f"flag{index}", 7 * index + 1, 6))
)
GRAPH_KEY = (*_GRAPH_FLAGS, Field("register", 28, 7))
# _imem_alu_init
ALU = _fields(
    ("op", 0, 5),
    ("source_start", 6, 13),
    ("source_length", 14, 18),
    ("translate", 19, 19),
    ("shift", 20, 23),
    ("source", 24, 30),
    ("target", 31, 37),
    ("inc0", 38, 38),
    ("inc1", 39, 39),
    ("offset_op", 40, 41),
    ("offset", 42, 49),
    ("branch", 50, 57),
    ("immediate", 58, 73),
    ("flags_enable", 74, 74),
    ("target_start", 75, 80),
    ("target_length", 81, 86),
    ("flags_immediate", 87, 87),
    ("flags_start", 88, 95),
)
IMEM = Layout(
    "program",
    48,
    _fields(
        ("boost_alu0", 0, 0),
        ("boost_alu1", 1, 1),
        ("boost_alu2", 2, 2),
        ("boost_graph", 3, 3),
        ("boost_priority", 4, 11),
        ("boost_tsr", 12, 12),
        ("graph_order", 14, 15),
    )
    + _at(16, "next.", NEXT_KEY)
    + _at(34, "key.", GRAPH_KEY)
    + _at(69, "alu0.", ALU)
    + _at(165, "alu1.", ALU)
    + _at(261, "alu2.", ALU),
)
# _metainit_parse_item
METADATA_INIT = Layout(
    "start",
    24,
    _fields(("tsr", 0, 7), ("offset", 8, 16), ("program", 17, 24), ("node", 25, 35), ("domain", 36, 38))
    + tuple(
        part
        for name, start in (("a", 39), ("b", 60), ("c", 81), ("d", 102))
        for part in _at(
            start,
            f"load_{name}.",
            _fields(("enable", 0, 0), ("word", 1, 5), ("start", 6, 9), ("length", 10, 14), ("register", 17, 20)),
        )
    )
    + _fields(("flags", 123, 186)),
)
# _pg_nm_cam_key_init, _pg_cam_key_init
NO_MATCH_KEY = _fields(
    ("valid", 0, 0),
    ("node", 1, 11),
    ("flag0", 12, 12),
    ("flag1", 13, 13),
    ("flag2", 14, 14),
    ("flag3", 15, 15),
    ("boost_hit", 16, 16),
    ("boost", 17, 24),
    ("register", 25, 40),
)
CAM_KEY = NO_MATCH_KEY + _fields(("next", 41, 72))
# _pg_cam_action_init; the comment over that function is one bit off, its code is what counts
ACTION = _fields(
    ("next_node", 0, 10),
    ("next_program", 11, 18),
    ("protocol_group", 19, 19),
    ("protocol", 23, 30),
    ("marker_group", 31, 31),
    ("marker", 32, 39),
    ("last", 40, 40),
    ("advance_sign", 41, 41),
    ("advance", 42, 50),
)
CAM = Layout("parse graph", 16, CAM_KEY + _at(73, "", ACTION))
SPILL_CAM = Layout("parse graph spill", 17, ACTION + _at(56, "", CAM_KEY))
NO_MATCH_CAM = Layout("no match", 12, NO_MATCH_KEY + _at(41, "", ACTION))
NO_MATCH_SPILL_CAM = Layout("no match spill", 13, ACTION + _at(56, "", NO_MATCH_KEY))
# _bst_parse_item
BOOST = Layout(
    "boost",
    88,
    _fields(("address", 0, 15), ("key", 32, 191), ("inverse", 192, 351), ("group", 352, 359), ("graph_order", 360, 361))
    + _at(362, "next.", NEXT_KEY)
    + _at(380, "key.", GRAPH_KEY)
    + _at(415, "alu0.", ALU)
    + _at(511, "alu1.", ALU)
    + _at(607, "alu2.", ALU),
)
PTYPE = Layout("ptype", 24, _fields(("address", 0, 15), ("ptype", 16, 31), ("key", 32, 111), ("inverse", 112, 191)))
MARKER_GROUP = Layout("marker group", 8, tuple(Field(f"marker{i}", 8 * i, 8) for i in range(8)))
# _proto_grp_parse_item; polarity 1 subtracts, the header's comment says the reverse
PROTOCOL_GROUP = Layout(
    "protocol group",
    24,
    tuple(
        part
        for index in range(8)
        for part in _at(
            22 * index, "", _fields((f"minus{index}", 0, 0), (f"protocol{index}", 1, 8), (f"offset{index}", 12, 21))
        )
    ),
)
FLAG_REDIRECT = Layout("flag redirect", 1, _fields(("expose", 0, 0), ("flag", 1, 6)))
# _parse_kb_data, _kb_entry_init: only the first of its eight entries is used
KEY_BUILDER = Layout(
    "key builder",
    204,
    _fields(("xlt1_partition", 0, 7), ("xlt2_partition", 8, 15), ("profile_partition", 16, 23), ("flag15_mask", 32, 95))
    + tuple(
        part
        for entry in range(8)
        for part in _at(
            96 + 192 * entry,
            f"entry{entry}.",
            _fields(("xlt1_address", 32, 34), ("xlt2_address", 35, 37))
            + tuple(Field(f"flag{index}", 38 + 9 * index, 9) for index in range(15))
            + _fields(("xlt1_metadata", 182, 186), ("xlt2_metadata", 187, 191)),
        )
    ),
)
XLT1 = Layout("xlt1", 1, _fields(("group", 0, 7)))

NO_PROTOCOL = 255
NO_MARKER = 71
LABEL_SIZE = 66
