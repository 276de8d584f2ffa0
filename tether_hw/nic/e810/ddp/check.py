# SPDX-License-Identifier: Apache-2.0
"""What is wrong or odd in a parser's tables: what never hits, what leads nowhere, what runs full."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tether_hw.nic.e810.ddp.container import Package
from tether_hw.nic.e810.ddp.fields import NO_MARKER, Row
from tether_hw.nic.e810.ddp.info import verdicts
from tether_hw.nic.e810.ddp.parser.search import boost_key, graph_key, halves
from tether_hw.nic.e810.ddp.sections import BY_NAME
from tether_hw.nic.e810.ddp.tables import Entry, Tables, missing
from tether_hw.nic.e810.ddp.ternary import Ternary

GRAPH_TABLES = ("cam", "cam_spill", "no_match", "no_match_spill")
#: Drivers build their map of PTYPEs for the first 1024.
PTYPES = 1024
FULL_SHARE = 0.95


@dataclass(frozen=True, order=True)
class Finding:
    """`level`: error (the package does not do what it says), warning, or note."""

    level: str
    code: str
    message: str

    def to_dict(self) -> dict[str, str]:
        return {"level": self.level, "code": self.code, "message": self.message}


def check(package: Package) -> list[Finding]:
    """Everything found, errors first."""
    tables = Tables.read(package)
    found = [
        *_gates(package),
        *_tables(tables),
        *_graph(tables),
        *_shadowed_graph(tables),
        *_shadowed_ternary(tables),
        *_ptypes(tables),
        *_fill(tables),
    ]
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(set(found), key=lambda finding: (order[finding.level], finding.code, finding.message))


def _gates(package: Package) -> Iterator[Finding]:
    for verdict in verdicts(package):
        if verdict["verdict"] == "refused":
            level = "warning" if verdict["gate"] == "signature" else "error"
            yield Finding(level, f"gate-{verdict['gate']}", verdict["why"])


def _tables(tables: Tables) -> Iterator[Finding]:
    for name in missing(tables):
        yield Finding("error", "table-missing", f"{name.replace('_', ' ')}: without it a driver makes no parser")
    if 0 not in tables.by_index("start"):
        yield Finding("error", "no-start", "no entry 0 of metadata init: nothing says where the parser starts")


def _transitions(tables: Tables) -> Iterator[tuple[str, Entry]]:
    for table in GRAPH_TABLES:
        for entry in tables.of(table):
            if entry.row["valid"]:
                yield table, entry


def _at(table: str, entry: Entry) -> str:
    return f"{BY_NAME[table].layout.name} {entry.index}"


def _graph(tables: Tables) -> Iterator[Finding]:
    start = tables.by_index("start").get(0, {})
    programs = tables.by_index("program")
    leaving: dict[int, list[Row]] = {}
    for _table, entry in _transitions(tables):
        leaving.setdefault(entry.row["node"], []).append(entry.row)
    reached, waiting = set[int](), [start.get("node", 0)]
    while waiting:
        node = waiting.pop()
        if node in reached:
            continue
        reached.add(node)
        waiting += [row["next_node"] for row in leaving.get(node, ()) if not row["last"]]
    for node in sorted(leaving.keys() - reached):
        yield Finding("warning", "unreachable", f"node {tables.label('node', node)} is never reached")
    marks, protocols = tables.by_index("marker_group"), tables.by_index("protocol_group")
    for table, entry in _transitions(tables):
        row, where = entry.row, _at(table, entry)
        if not row["last"] and row["next_node"] not in leaving:
            yield Finding(
                "error",
                "dead-end",
                f"{where} leads to node {tables.label('node', row['next_node'])}, which has no entry",
            )
        if not row["last"] and row["next_program"] not in programs:
            yield Finding(
                "error", "no-program", f"{where} goes on with program {row['next_program']}, which is not there"
            )
        if row["marker_group"] and row["marker"] not in marks:
            yield Finding("error", "no-marks", f"{where} sets marker group {row['marker']}, which is not there")
        if row["protocol_group"] and row["protocol"] not in protocols:
            yield Finding("error", "no-protocols", f"{where} sets protocol group {row['protocol']}, which is not there")
        if not row["marker_group"] and row["marker"] > NO_MARKER:
            yield Finding("error", "marker", f"{where} sets marker {row['marker']}, the last is {NO_MARKER - 1}")
    yield from _still_cycles(leaving, tables)


def _still_cycles(leaving: dict[int, list[Row]], tables: Tables) -> Iterator[Finding]:
    """Cycles of transitions that advance by nothing: only an ALU could end them."""
    still = {
        node: {row["next_node"] for row in rows if not row["last"] and (not row["advance"] or not row["advance_sign"])}
        for node, rows in leaving.items()
    }
    done: set[int] = set()
    for first in sorted(still):
        path: list[int] = []
        stack = [(first, iter(sorted(still[first])))]
        path.append(first)
        while stack:
            node, following = stack[-1]
            step = next(following, None)
            if step is None:
                done.add(node)
                stack.pop()
                path.pop()
            elif step in path:
                names = " -> ".join(tables.label("node", n) for n in [*path[path.index(step) :], step])
                yield Finding("warning", "cycle", f"{names} goes round without advancing: a frame may never end there")
            elif step not in done and step in still:
                path.append(step)
                stack.append((step, iter(sorted(still[step]))))


def _shadowed_graph(tables: Tables) -> Iterator[Finding]:
    for kinds in (GRAPH_TABLES[:2], GRAPH_TABLES[2:]):
        seen: dict[tuple[int, ...], str] = {}
        for table in kinds:
            for entry in sorted(tables.of(table), key=lambda item: item.index):
                if not entry.row["valid"]:
                    continue
                key = (*graph_key(entry.row), entry.row.get("next", -1))
                where = _at(table, entry)
                if key in seen:
                    yield Finding("error", "shadowed", f"{where} never hits: {seen[key]} has the same key")
                seen.setdefault(key, where)


def _shadowed_ternary(tables: Tables) -> Iterator[Finding]:
    lists = {
        "boost": [(entry, boost_key(entry.row)) for entry in tables.of("boost") if entry.row["group"]],
        "ptype": [(entry, Ternary.decode(*halves(entry.row, 9, 10))) for entry in tables.of("ptype")],
    }
    for table, entries in lists.items():
        for place, (entry, key) in enumerate(entries):
            if key.never:
                continue
            over = next((other for other, wider in entries[:place] if not wider.never and wider.covers(key)), None)
            if over is not None:
                yield Finding(
                    "error", "shadowed", f"{_at(table, entry)} never hits: {table} {over.index} matches all of it"
                )


def _ptypes(tables: Tables) -> Iterator[Finding]:
    entries = [(entry, Ternary.decode(*halves(entry.row, 9, 10))) for entry in tables.of("ptype")]
    for place, (entry, key) in enumerate(entries):
        ptype = entry.row["ptype"]
        if ptype >= PTYPES:
            yield Finding("error", "ptype-range", f"ptype {entry.index} gives {ptype}: drivers know 0 to {PTYPES - 1}")
        for other, before in entries[:place]:
            common = key.care & before.care
            meet = not key.never and not before.never and key.value & common == before.value & common
            if meet and other.row["ptype"] != ptype and not before.covers(key) and not key.covers(before):
                names = " and ".join(tables.label("ptype", row["ptype"]) for row in (other.row, entry.row))
                yield Finding("warning", "ptype-collision", f"some frames are {names}: the first of the two wins")
    by_label: dict[str, set[int]] = {}
    for number, name in tables.labels.get("ptype", {}).items():
        by_label.setdefault(name, set()).add(number)
    for name, numbers in by_label.items():
        if len(numbers) > 1:
            yield Finding("warning", "ptype-collision", f"{name} names PTYPEs {', '.join(map(str, sorted(numbers)))}")
    grouped = {
        entry.index for block in ("sw", "fd", "rss") for entry in tables.of(f"xlt1_{block}") if entry.row["group"]
    }
    own = sorted({entry.row["ptype"] for entry, _key in entries} - grouped)
    if grouped and own:
        yield Finding("note", "xlt1", f"{len(own)} PTYPEs share packet group 0: flows and RSS cannot tell them apart")


def _fill(tables: Tables) -> Iterator[Finding]:
    for name, kind in BY_NAME.items():
        used = len(tables.of(name))
        if kind.bare or name.startswith("xlt1"):
            continue
        if used >= FULL_SHARE * kind.entries:
            yield Finding("warning", "nearly-full", f"{kind.layout.name}: {used} of {kind.entries} entries")
        if name.endswith("_spill") and used:
            main = name.removesuffix("_spill")
            room = BY_NAME[main].entries - len(tables.of(main))
            yield Finding(
                "note", "spill", f"{kind.layout.name}: {used} entries, {room} are free in the table it spills from"
            )
