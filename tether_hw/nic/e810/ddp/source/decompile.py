# SPDX-License-Identifier: Apache-2.0
"""From tables to a source that compiles to the same tables. Names are the labels, made up where there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tether_hw.nic.e810.ddp.container import Package, version_text
from tether_hw.nic.e810.ddp.fields import ALU, NO_MARKER, NO_PROTOCOL, Row
from tether_hw.nic.e810.ddp.sections import BLOCKS, TABLES
from tether_hw.nic.e810.ddp.source.names import ALU_OPS, DECLARED, OFFSET_OPS, REGISTERS
from tether_hw.nic.e810.ddp.source.statements import HIGH_BYTE, blank
from tether_hw.nic.e810.ddp.source.words import quote
from tether_hw.nic.e810.ddp.tables import Entry, Tables
from tether_hw.nic.e810.ddp.ternary import Ternary

_REGISTER_NAMES = {value: name for name, value in REGISTERS.items()}
_OP_NAMES = {value: name for name, value in ALU_OPS.items()}
_OFFSET_NAMES = {value: name for name, value in OFFSET_OPS.items()}


def decompile(package: Package) -> str:
    """The source of a package's RX parser. Reserved bits, and sections that are no table of it, are not in it."""
    return "\n".join(Describer(package).lines()) + "\n"


class Describer:
    """A package's tables in words of the source language."""

    def __init__(self, package: Package) -> None:
        self.package = package
        self.tables = Tables.read(package)
        self.names: dict[str, dict[int, str]] = {}
        for keyword, (kind, first, last) in DECLARED.items():
            labels = self.tables.labels.get(kind, {})
            known = self._used(kind) | (labels.keys() if kind in ("protocol", "marker", "flag") else set())
            used = sorted(number for number in known if first <= number <= last)
            names: dict[int, str] = {}
            for number in used:
                name = labels.get(number, "")
                if not name or name in names.values() or '"' in name or not name.isprintable():
                    name = f"{keyword}_{number}"
                names[number] = name
            self.names[keyword] = names

    def _used(self, kind: str) -> set[int]:
        tables = self.tables
        if kind == "node":
            rows = [entry.row for table in _GRAPH for entry in tables.of(table) if entry.row["valid"]]
            return {row["node"] for row in rows} | {row["next_node"] for row in rows if not row["last"]}
        if kind in ("program", "marker_group", "protocol_group"):
            return {entry.index for entry in tables.of(kind)}
        if kind == "boost":
            return {entry.row["address"] for entry in tables.of("boost")}
        if kind == "ptype":
            return {entry.row["ptype"] for entry in tables.of("ptype")}
        return set()

    def name(self, keyword: str, number: int) -> str:
        """A reference: the name, or the number of what has none."""
        known = self.names[keyword].get(number)
        return quote(known) if known is not None else str(number)

    def boost_name(self, place: int) -> str:
        """The name of the boost entry at a place of the order of search."""
        return self.name("boost", self.tables.of("boost")[place].row["address"])

    def lines(self) -> Iterator[str]:
        identity = self.tables.identity
        yield f"package {_text(identity.name)} version {version_text(identity.version)} track {identity.track_id:#x}"
        segment = self.package.configuration()
        for device, vendor, sub in segment.devices:
            yield f"device {vendor:04x}:{device:04x}" + (f" subdevice {sub:#x}" if sub else "")
        for version in segment.nvm_versions:
            yield f"nvm {version}"
        for kind in TABLES:
            lost = [entry.index for entry in self.tables.of(kind.name) if kind.layout.encode(entry.row) != entry.raw]
            if lost:
                yield f"# reserved bits are set and not shown: {kind.layout.name} {', '.join(map(str, lost[:20]))}"
        for keyword in ("protocol", "marker", "flag"):
            if self.names[keyword]:
                yield ""
            for number, name in self.names[keyword].items():
                yield f"{keyword} {quote(name)} = {number}"
        yield from self._small_tables()
        yield from self._graph()
        yield from self._boosts()
        yield from self._ptypes()
        yield from self._blocks()

    def things(self) -> Iterator[tuple[str, str, str]]:
        """Everything as (what, name, text), whatever its place in a table: for comparing packages."""
        at = re.compile(r" at \d+$|(?<=\S) = \d+(?= group|:| when| any| off| cells|$)")
        block: tuple[str, str] | None = None
        lines: list[str] = []
        for line in [*self._small_tables(), *self._boosts(), *self._programs()]:
            for part in line.strip("\n").split("\n"):
                if part.startswith("    ") and block is not None:
                    lines.append(part.strip())
                    continue
                if block is not None:
                    yield *block, "; ".join(lines)
                block, lines = None, []
                if part:
                    words = at.sub("", part).split(" ")
                    block, lines = (words[0], words[1]), [" ".join(words[2:])]
        if block is not None:
            yield *block, "; ".join(lines)
        for table, entry in self.transitions():
            condition, _, action = at.sub("", self._transition(table, entry.index, entry.row)).partition(" -> ")
            yield "transition", f"{self.name('node', entry.row['node'])}: {condition.strip()}", action
        for line in [*self._ptypes(), *self._blocks()]:
            if line:
                keyword, name, *rest = at.sub("", line).split(" ")
                if keyword == "xlt1":
                    name, rest = f"{name} {rest[0]}", rest[2:]
                yield keyword, name, " ".join(rest)

    def _small_tables(self) -> Iterator[str]:
        if self.tables.of("redirect"):
            yield ""
        for entry in self.tables.of("redirect"):
            if entry.row["expose"]:
                yield f"redirect {entry.index} = {self.name('flag', entry.row['flag'])}"
        yield ""
        for entry in self.tables.of("start"):
            row = entry.row
            text = f"start node {self.name('node', row['node'])} program {self.name('program', row['program'])}"
            text += "".join(f" {name} {row[name]:#x}" for name in ("offset", "tsr", "domain", "flags") if row[name])
            text += "".join(f" raw {name}={value}" for name, value in row.items() if name.startswith("load_") and value)
            yield text + (f" place {entry.index}" if entry.index else "")
        for entry in self.tables.of("marker_group"):
            found = [entry.row[f"marker{i}"] for i in range(8)]
            end = found.index(NO_MARKER) if NO_MARKER in found else 8
            marks = " ".join(self.name("marker", marker) for marker in found[:end])
            yield f"marks {self.name('marks', entry.index)} = {entry.index}: {marks}".rstrip()
        for entry in self.tables.of("protocol_group"):
            parts = []
            for i in range(8):
                protocol, offset = entry.row[f"protocol{i}"], entry.row[f"offset{i}"]
                if protocol == NO_PROTOCOL:
                    break
                sign = " minus " if entry.row[f"minus{i}"] else "+"
                parts.append(f"{self.name('protocol', protocol)}{sign}{offset}")
            yield f"protocols {self.name('protocols', entry.index)} = {entry.index}: {' '.join(parts)}".rstrip()

    def _programs(self) -> Iterator[str]:
        for entry in self.tables.of("program"):
            row = entry.row
            yield f"\nprogram {self.name('program', entry.index)} = {entry.index}"
            boosted = [name for name in ("graph", "alu0", "alu1", "alu2") if row[f"boost_{name}"]]
            if row["boost_priority"]:
                boosted += ["priority", str(row["boost_priority"])]
            if boosted or row["boost_tsr"]:
                yield f"    boosted {' '.join(boosted + ['tsr'] * row['boost_tsr'])}"
            yield from self._common(row)

    def _graph(self) -> Iterator[str]:
        yield from self._programs()
        nodes: dict[int, list[str]] = {number: [] for number in self.names["node"]}
        for table, entry in self.transitions():
            nodes.setdefault(entry.row["node"], []).append(self._transition(table, entry.index, entry.row))
        for node, transitions in nodes.items():
            yield f"\nnode {self.name('node', node)} = {node}"
            yield from transitions

    def transitions(self) -> Iterator[tuple[str, Entry]]:
        """Every valid entry of the parse graph with its table."""
        for table in _GRAPH:
            for entry in self.tables.of(table):
                if entry.row["valid"]:
                    yield table, entry

    def short(self, table: str, row: Row) -> tuple[str, str]:
        """A transition in a few words: what must be there, and where it leads."""
        words = self._transition(table, 0, row).split(" -> ")
        condition = words[0].strip().removeprefix("on ")
        target = "stop" if row["last"] and not row["next_node"] else self.name("node", row["next_node"])
        return condition, target

    def _transition(self, table: str, place: int, row: Row) -> str:
        words = ["   ", f"on {row['next']:#06x}" if "next" in row else "otherwise"]
        if any(row[f"flag{i}"] for i in range(4)):
            words.append("flags " + " ".join(str(row[f"flag{i}"]) for i in range(4)))
        if row["boost_hit"] and row["boost"]:
            words.append(f"boost {row['boost']}")
        if row["register"]:
            words.append(f"register {row['register']}")
        words.append("->")
        if row["last"] and not row["next_node"] and not row["next_program"]:
            words.append("stop")
        else:
            words.append(f"{self.name('node', row['next_node'])} : {self.name('program', row['next_program'])}")
            words += ["last"] * row["last"]
        if row["advance"]:
            words.append(f"{'advance' if row['advance_sign'] else 'back'} {row['advance']}")
        if row["protocol_group"] or row["protocol"] != NO_PROTOCOL:
            keyword = "protocols" if row["protocol_group"] else "protocol"
            words.append(f"{keyword} {self.name(keyword, row['protocol'])}")
        if row["marker_group"] or row["marker"] != NO_MARKER:
            keyword = "marks" if row["marker_group"] else "mark"
            words.append(f"{keyword} {self.name('marks' if row['marker_group'] else 'marker', row['marker'])}")
        words += ["spill"] * table.endswith("_spill")
        return " ".join([*words, f"at {place}"])

    def _common(self, row: Row) -> Iterator[str]:
        """Lines that programs and boost entries share."""
        op, first, second = row["next.op"], row["next.start"], row["next.length"]
        if op == 0 and second:
            yield f"    next bits {first} {second}"
        elif op == 1:
            yield f"    next registers {_register(first)} {_register(second)}"
        elif op == 2:
            yield "    next none"
        flags = [self.name("flag", row[f"key.flag{i}"]) if row[f"key.flag{i}_enable"] else "-" for i in range(4)]
        words = [f"flags {' '.join(flags)}"] if flags != ["-"] * 4 else []
        words += [f"register {_register(row['key.register'])}"] if row["key.register"] else []
        if words:
            yield f"    key {' '.join(words)}"
        if row["graph_order"]:
            yield f"    order {row['graph_order']}"
        usual = blank("program")
        for which in ("alu0", "alu1", "alu2"):
            changed = [field.name for field in ALU if row[f"{which}.{field.name}"] != usual[f"{which}.{field.name}"]]
            if changed:
                op = row[f"{which}.op"]
                parts = [f"{name}={_alu_value(name, row[f'{which}.{name}'])}" for name in changed if name != "op"]
                yield " ".join([f"    {which} {_OP_NAMES.get(op, op)}", *parts])

    def _boosts(self) -> Iterator[str]:
        for entry in self.tables.of("boost"):
            row = entry.row
            key, inverse = row["key"].to_bytes(20, "little"), row["inverse"].to_bytes(20, "little")
            cells = Ternary.decode(key, inverse)
            yield f"\nboost {self.name('boost', row['address'])} = {row['address']} group {row['group']}"
            if cells.encode(20) != (key, inverse):
                yield f"    cells {key.hex()} {inverse.hex()}"
            else:
                yield from _matches(cells)
                if cells.never:
                    yield "    off"
            yield from self._common(row)

    def _ptypes(self) -> Iterator[str]:
        if self.tables.of("ptype"):
            yield ""
        for entry in self.tables.of("ptype"):
            row = entry.row
            key, inverse = row["key"].to_bytes(10, "little"), row["inverse"].to_bytes(10, "little")
            cells = Ternary.decode(key, inverse)
            words = [f"ptype {self.name('ptype', row['ptype'])} = {row['ptype']}"]
            markers = range(NO_MARKER + 1)
            plain = cells.encode(10) == (key, inverse) and cells.care >> NO_MARKER == 1 and not cells.value >> NO_MARKER
            if plain:
                when = [self.name("marker", marker) for marker in markers if cells.value >> marker & 1]
                free = [self.name("marker", marker) for marker in markers if not cells.care >> marker & 1]
                words += [f"when {' '.join(when)}"] * bool(when) + [f"any {' '.join(free)}"] * bool(free)
                words += ["off"] * cells.never
            else:
                words.append(f"cells {row['key']:#x} {row['inverse']:#x}")
            yield " ".join([*words, f"at {row['address']}"])

    def _blocks(self) -> Iterator[str]:
        yield ""
        for block in BLOCKS:
            for entry in self.tables.of(f"key_{block}"):
                fields = [f"{name}={value}" for name, value in entry.row.items() if value]
                if fields or block == "pe":
                    yield " ".join([f"keys {block}", *fields])
            for entry in self.tables.of(f"xlt1_{block}"):
                if entry.index < 1024:
                    yield f"xlt1 {block} {self.name('ptype', entry.index)} = {entry.row['group']}"


_GRAPH = ("cam", "cam_spill", "no_match", "no_match_spill")


def _text(name: str) -> str:
    return '"' + "".join(c if c.isprintable() and c != '"' else "?" for c in name) + '"'


def _register(number: int) -> str:
    return _REGISTER_NAMES.get(number, f"r{number}")


def _alu_value(name: str, value: int) -> str:
    if name == "offset_op":
        return _OFFSET_NAMES[value]
    return _register(value) if name in ("source", "target") else str(value)


def _matches(cells: Ternary) -> Iterator[str]:
    """Runs of header bytes that an entry looks at."""
    high_care, high = cells.care >> 8 * HIGH_BYTE & 0xFF, cells.value >> 8 * HIGH_BYTE & 0xFF
    if high_care:
        yield f"    priority {high}" + (f"/{high_care}" if high_care != 0xFF else "")
    at = 0
    while at < HIGH_BYTE:
        run: list[tuple[int, int]] = []
        while at + len(run) < HIGH_BYTE:
            shift = 8 * (HIGH_BYTE - 1 - at - len(run))
            care = cells.care >> shift & 0xFF
            if not care:
                break
            run.append((cells.value >> shift & 0xFF, care))
        if run:
            value, mask = (bytes(part).hex() for part in zip(*run, strict=True))
            yield f"    match {at} {value}" + (f"/{mask}" if set(mask) != {"f"} else "")
        at += max(1, len(run))
