# SPDX-License-Identifier: Apache-2.0
"""What the parser looks up: parse graph and boost entries, arranged for searching in the order of the tables."""

from __future__ import annotations

from dataclasses import dataclass, field

from tether_hw.nic.e810.ddp.fields import IMEM, PROTOCOL_GROUP, Row
from tether_hw.nic.e810.ddp.tables import Tables
from tether_hw.nic.e810.ddp.ternary import Ternary

DVM_PREFIX, SVM_PREFIX = "BOOST_MAC_VLAN_DVM", "BOOST_MAC_VLAN_SVM"


@dataclass(frozen=True)
class Action:
    """A hit: its table, its index there, its fields."""

    table: str
    index: int
    row: Row


@dataclass
class Exact:
    """What an exact match can be for one key: next protocol -> action."""

    actions: dict[int, Action] = field(default_factory=dict)
    values: frozenset[int] = frozenset()


@dataclass
class Graph:
    """Both kinds of CAM with their spill tables, by key."""

    exact: dict[tuple[int, ...], Exact] = field(default_factory=dict)
    otherwise: dict[tuple[int, ...], Action] = field(default_factory=dict)


@dataclass(frozen=True)
class BoostEntry:
    """A boost entry as it looks at a frame: `care` and `value` over 19 bytes from HO, little-endian."""

    place: int
    care: int
    value: int
    row: Row


NOTHING: frozenset[int] = frozenset()
EMPTY_PROGRAM: Row = {item.name: 0 for item in IMEM.fields}
EMPTY_GROUP: Row = {item.name: 0 for item in PROTOCOL_GROUP.fields}


def graph_key(row: Row) -> tuple[int, ...]:
    """What a CAM entry compares beside the next protocol. Without a boost hit the group compares as 0."""
    group = row["boost"] if row["boost_hit"] else 0
    return (row["node"], row["flag0"], row["flag1"], row["flag2"], row["flag3"], group, row["register"])


def graph_of(tables: Tables) -> Graph:
    """The parse graph of a package."""
    graph = Graph()
    # exact before no match, each table before its spill table; the first entry of a key wins
    for name in ("cam", "cam_spill"):
        for index, row in sorted(tables.by_index(name).items()):
            if row["valid"]:
                exact = graph.exact.setdefault(graph_key(row), Exact())
                exact.actions.setdefault(row["next"], Action(name, index, row))
    for exact in graph.exact.values():
        exact.values = frozenset(exact.actions)
    for name in ("no_match", "no_match_spill"):
        for index, row in sorted(tables.by_index(name).items()):
            if row["valid"]:
                graph.otherwise.setdefault(graph_key(row), Action(name, index, row))
    return graph


def halves(row: Row, size: int, whole: int) -> tuple[bytes, bytes]:
    """The first `size` bytes of key and inverse, which have `whole`."""
    return (
        row["key"].to_bytes(whole, "little")[:size],
        row["inverse"].to_bytes(whole, "little")[:size],
    )


def boost_key(row: Row) -> Ternary:
    """The ternary key of a boost entry, 20 bytes."""
    return Ternary.decode(*halves(row, 20, 20))


def boost_of(tables: Tables, dvm: bool | None) -> dict[int, tuple[BoostEntry, ...]]:
    """For each value of key byte 19, the entries that can hit, in the order of search, as little-endian frame bytes."""
    labels = tables.labels.get("boost", {})
    by_high: dict[int, list[BoostEntry]] = {value: [] for value in range(256)}
    for place, entry in enumerate(tables.of("boost")):
        row = entry.row
        if row["group"] == 0:
            continue
        key = boost_key(row)
        label = labels.get(place, "")
        if dvm is not None and label.startswith((DVM_PREFIX, SVM_PREFIX)):
            key = _switched(row, dvm == label.startswith(DVM_PREFIX))
        if key.never:
            continue
        care = int.from_bytes((key.care & (1 << 152) - 1).to_bytes(19, "big"), "little")
        value = int.from_bytes((key.value & (1 << 152) - 1).to_bytes(19, "big"), "little")
        for high, candidates in by_high.items():
            if high & key.care >> 152 == key.value >> 152:
                candidates.append(BoostEntry(place, care, value, row))
    return {high: tuple(candidates) for high, candidates in by_high.items() if candidates}


def _switched(row: Row, on: bool) -> Ternary:
    """An entry as a driver switches it: byte 0 of key and inverse all don't care, or with one cell that never hits."""
    byte = 0xFF if on else 0xFE
    key, inverse = (row[name] & ~0xFF | byte for name in ("key", "inverse"))
    return boost_key({"key": key, "inverse": inverse})
