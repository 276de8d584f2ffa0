# SPDX-License-Identifier: Apache-2.0
"""From a source to tables. Every mistake is reported with its line; nothing is made of a source that has one.

docs/ddp-language.md is the grammar.
"""

from __future__ import annotations

from collections.abc import Callable

from tether_hw.nic.e810.ddp.build import Draft
from tether_hw.nic.e810.ddp.errors import DdpError
from tether_hw.nic.e810.ddp.fields import KEY_BUILDER, NO_MARKER, NO_PROTOCOL, Row
from tether_hw.nic.e810.ddp.sections import BLOCKS, BY_NAME
from tether_hw.nic.e810.ddp.source.names import DECLARED, MOST_PACKAGE_NAME, Names, fits
from tether_hw.nic.e810.ddp.source.statements import Block, alu, blank, boosted, graph_line, key, match, next_key
from tether_hw.nic.e810.ddp.source.words import Line, Mistake, SourceError, Told, Word, Wrong, lines, number
from tether_hw.nic.e810.ddp.tables import Identity, Tables

_IN_BLOCK = {
    "program": {"boosted", "next", "key", "order", "alu0", "alu1", "alu2"},
    "boost": {"priority", "match", "cells", "off", "next", "key", "order", "alu0", "alu1", "alu2"},
    "node": {"on", "otherwise"},
}


def compile_source(text: str, base: Tables | None = None) -> Draft:
    """The draft that a source describes; SourceError with all of its mistakes.

    With `base`, the source must begin with `extend`: names of the base's labels are known to it, and what it adds takes
    places that are free there.
    """
    mistakes: list[Mistake] = []
    found = list(lines(text, mistakes))
    compiler = _Compiler(base)
    compiler.names.declare(found, mistakes)
    for line in found:
        try:
            compiler.line(line)
        except Told:
            continue
        except Wrong as wrong:
            mistakes.append(wrong.mistake)
    mistakes += compiler.finish()
    if mistakes:
        raise SourceError(_once(mistakes))
    compiler.draft.labels = compiler.new_labels()
    return compiler.draft


def _once(mistakes: list[Mistake]) -> list[Mistake]:
    """A declaration is read twice; its mistake is told once."""
    return sorted(set(mistakes))


class _Compiler:
    def __init__(self, base: Tables | None) -> None:
        self.base = base
        self.draft = Draft()
        self.names = Names()
        self.block: Block | None = None
        self.lost, self.starts = "", False  # lost: the block whose first line has a mistake and that is not read
        self.header: Line | None = None
        self.late: list[Callable[[], None]] = []
        self.taken: dict[str, set[int]] = {}
        if base is not None:
            for kind, labels in base.labels.items():
                self.names.numbers[kind] = {name: value for value, name in labels.items()}
            self.taken = {table: {entry.index for entry in base.of(table)} for table in BY_NAME}
            self.names.taken = {
                "node": {entry.row["node"] for entry in base.of("cam") + base.of("no_match")},
                "program": self.taken["program"],
                "marker_group": self.taken["marker_group"],
                "protocol_group": self.taken["protocol_group"],
                "boost": {entry.row["address"] for entry in base.of("boost")},
            }
        self._known = {kind: dict(known) for kind, known in self.names.numbers.items()}

    def new_labels(self) -> dict[str, dict[int, str]]:
        """Labels that the base has not."""
        found = self.names.labels()
        for kind, known in self._known.items():
            for value in known.values():
                found.get(kind, {}).pop(value, None)
        return {kind: labels for kind, labels in found.items() if labels}

    def line(self, line: Line) -> None:
        word = line.take("a statement")
        keyword = word.text
        statement = getattr(self, f"_{keyword}", None) if keyword in _STATEMENTS else None
        if statement is not None:
            self._close()
            self.lost = keyword if keyword in _IN_BLOCK else ""
            self.starts |= keyword == "start"
            statement(line, word)
            line.end()
            return
        block = self.block
        if block is None and keyword in _IN_BLOCK.get(self.lost, ()):
            return
        if block is None or keyword not in _IN_BLOCK[block.keyword]:
            where = next((name for name, inside in _IN_BLOCK.items() if keyword in inside), None)
            hint = f"it belongs below a {where}" if where else f"statements are {', '.join(sorted(_STATEMENTS))}"
            raise word.wrong(f"{keyword!r} is no statement here", hint)
        self._inside(block, keyword, line, word)
        line.end()

    def _inside(self, block: Block, keyword: str, line: Line, word: Word) -> None:
        row = block.row
        if keyword in ("on", "otherwise"):
            table, place, entry = graph_line(self.names, block, keyword, line)
            self._put(table, place, entry, word)
        elif keyword == "boosted":
            boosted(row, line)
        elif keyword == "next":
            next_key(row, line)
        elif keyword == "key":
            key(self.names, row, line)
        elif keyword == "order":
            row["graph_order"] = line.number_of("the order of the graph", 0, 3)
        elif keyword.startswith("alu"):
            alu(self.names, row, keyword, line)
        else:
            match(block, keyword, line)

    def _put(self, table: str, place: int | None, row: Row, word: Word) -> None:
        """Entries with a place at once, the others into what is free when all have been read."""
        if place is not None:
            self._add(table, place, row, word)
            return
        mistakes_at = word

        def later() -> None:
            used = self.draft.entries.get(table, {}).keys() | self.taken.get(table, set())
            free = next((index for index in range(BY_NAME[table].entries) if index not in used), None)
            if free is None:
                message = f"the table of {BY_NAME[table].layout.name} is full ({BY_NAME[table].entries} entries)"
                raise mistakes_at.wrong(message)
            self._add(table, free, row, mistakes_at)

        self.late.append(later)

    def _add(self, table: str, place: int, row: Row, word: Word) -> None:
        if place in self.taken.get(table, set()):
            raise word.wrong(f"place {place} of {BY_NAME[table].layout.name} is taken in the base")
        try:
            self.draft.add(table, place, row)
        except DdpError as error:
            raise word.wrong(error.message) from None

    def _close(self) -> None:
        block, self.block = self.block, None
        if block is None or block.keyword == "node":
            return
        if block.keyword == "boost":
            self._append("boost", block.finished(), block.word)
        else:
            self._add("program", block.number, block.row, block.word)

    def _append(self, table: str, row: Row, word: Word) -> None:
        """Addressed tables are searched in the order of the source; the base's entries come before ours."""
        entries = self.draft.entries.setdefault(table, {})
        held = {other["address"] for other in entries.values()}
        if self.base is not None:
            held |= {entry.row["address"] for entry in self.base.of(table)}
        if row["address"] in held:
            raise word.wrong(f"address {row['address']} of {BY_NAME[table].layout.name} is taken")
        self._add(table, len(entries) + len(self.taken.get(table, ())), row, word)

    def finish(self) -> list[Mistake]:
        mistakes = []
        for late in [self._close, *self.late, self._check_header]:
            try:
                late()
            except Wrong as wrong:
                mistakes.append(wrong.mistake)
        return mistakes

    def _check_header(self) -> None:
        if self.header is None:
            what = "extend" if self.base is not None else 'package "NAME" version A.B.C.D track N'
            raise Wrong(Mistake(1, 1, f"the source should begin with {what}"))
        if self.base is None and not self.starts and 0 not in self.draft.entries.get("start", {}):
            raise Wrong(
                Mistake(self.header.number, 1, "nothing says where the parser starts", "start node N program P")
            )

    # statements of their own

    def _package(self, line: Line, word: Word) -> None:
        if self.header is not None:
            raise word.wrong(f"the header stands in line {self.header.number} already")
        self.header = line
        if self.base is not None:
            raise word.wrong("a source that is laid over a package begins with extend")
        name = line.name("the package's name")
        fits(name, "the package's name", MOST_PACKAGE_NAME)
        line.expect("version")
        version = _version(line.take("a version"))
        line.expect("track")
        track = line.number_of("the track id")
        self.draft.identity = Identity(version, name.text, track)
        for kind in ("sw", "acl", "fd", "rss"):
            self.draft.add(f"key_{kind}", 0, {})

    def _extend(self, line: Line, word: Word) -> None:
        self.header = line
        if self.base is None:
            raise word.wrong("extend needs a package to lay it over", "tether ddp build SOURCE --base PACKAGE")

    def _device(self, line: Line, word: Word) -> None:
        vendor = number(_hex(line.take("a vendor id")), "a vendor id", 0, 0xFFFF)
        line.expect(":")
        device = number(_hex(line.take("a device id")), "a device id", 0, 0xFFFF)
        sub = line.number_of("a subdevice") if line.skip("subdevice") else 0
        self.draft.devices.append((device, vendor, sub))

    def _nvm(self, line: Line, word: Word) -> None:
        self.draft.nvm_versions.append(line.number_of("an NVM version"))

    def _declared(self, line: Line, word: Word) -> None:
        line.name(f"the name of a {word.text}")
        line.expect("=")
        line.take("a number")

    def _optional(self, line: Line, word: Word) -> Word:
        name = line.name(f"the name of a {word.text}")
        if line.skip("="):
            line.take("a number")
        return name

    _protocol = _declared

    def _marker(self, line: Line, word: Word) -> None:
        self._optional(line, word)

    _flag = _marker

    def _redirect(self, line: Line, word: Word) -> None:
        index = line.number_of("a packet flag", 0, 63)
        line.expect("=")
        row = {"expose": 1, "flag": self.names.resolve("flag", line.take("a flag"))}
        self._add("redirect", index, row, word)

    def _start(self, line: Line, word: Word) -> None:
        row: Row = {"offset": 0, "flags": 0, "tsr": 0, "domain": 0}
        place = 0
        while line.more:
            item = line.take("a setting")
            if item.text in ("node", "program"):
                row[item.text] = self.names.resolve(item.text, line.take(f"a {item.text}"))
            elif item.text == "place":
                place = line.number_of("a place", 0, 15)
            elif item.text == "raw":
                name = line.take("a field").text
                line.expect("=")
                row[name] = line.number_of("a value", 0, (1 << 64) - 1)
            elif item.text in row:
                row[item.text] = line.number_of(item.text, 0, (1 << 64) - 1)
            else:
                raise item.wrong(
                    f"{item.text!r} is no setting of start", "node, program, offset, tsr, flags, domain, place"
                )
        if not {"node", "program"} <= row.keys():
            raise word.wrong("start names a node and a program")
        self._add("start", place, row, word)

    def _program(self, line: Line, word: Word) -> None:
        name = self._optional(line, word)
        self.block = Block("program", word, self.names.resolve("program", name), blank("program"))

    def _node(self, line: Line, word: Word) -> None:
        name = self._optional(line, word)
        self.block = Block("node", word, self.names.resolve("node", name), {})

    def _boost(self, line: Line, word: Word) -> None:
        name = self._optional(line, word)
        row = blank("boost")
        row["address"] = self.names.resolve("boost", name)
        line.expect("group")
        row["group"] = line.number_of("a boost group", 0, 255)
        self.block = Block("boost", word, row["address"], row)

    def _ptype(self, line: Line, word: Word) -> None:
        block = Block("ptype", word, self.names.resolve("ptype", self._optional(line, word)), {})
        row: Row = {"ptype": block.number}
        address: int | None = None
        care, value, never = (1 << 72) - 1, 0, False
        while line.more:
            item = line.take("when, any, at, off or cells")
            if item.text in ("when", "any"):
                while line.more and line.peek() not in ("when", "any", "at", "off", "cells"):
                    marker = 1 << self.names.resolve("marker", line.take("a marker"))
                    value, care = (value | marker, care) if item.text == "when" else (value, care & ~marker)
            elif item.text == "at":
                address = line.number_of("an address", 0, 1023)
            elif item.text == "off":
                never = True
            elif item.text == "cells":
                row["key"] = number(_hex(line.take("a key")), "a key", 0, (1 << 80) - 1)
                row["inverse"] = number(_hex(line.take("an inverse")), "an inverse", 0, (1 << 80) - 1)
            else:
                raise item.wrong(f"{item.text!r} is not understood here", "when MARKER..., any MARKER..., at N, off")
        if "key" not in row:
            block.row = row
            block.set_cells(10, care, value, never)
        self._append_ptype(row, address, word)

    def _append_ptype(self, row: Row, address: int | None, word: Word) -> None:
        if address is not None:
            row["address"] = address
            self._append("ptype", row, word)
            return
        row["address"] = -1
        place = len(self.draft.entries.setdefault("ptype", {})) + len(self.taken.get("ptype", ()))
        if place >= BY_NAME["ptype"].entries:
            raise word.wrong(f"the table of ptype is full ({BY_NAME['ptype'].entries} entries)")
        entries = self.draft.entries["ptype"]
        entries[place] = row

        def later() -> None:
            held = {other["address"] for other in entries.values()}
            if self.base is not None:
                held |= {entry.row["address"] for entry in self.base.of("ptype")}
            row["address"] = next(free for free in range(BY_NAME["ptype"].entries) if free not in held)

        self.late.append(later)

    def _marks(self, line: Line, word: Word) -> None:
        name = self._optional(line, word)
        line.expect(":")
        row: Row = {f"marker{i}": NO_MARKER for i in range(8)}
        for i in range(9):
            if not line.more:
                break
            item = line.take("a marker")
            if i == 8:
                raise item.wrong("a group has at most 8 markers")
            row[f"marker{i}"] = self.names.resolve("marker", item)
        self._add("marker_group", self.names.resolve("marks", name), row, word)

    def _protocols(self, line: Line, word: Word) -> None:
        name = self._optional(line, word)
        line.expect(":")
        row: Row = {}
        for i in range(8):
            row.update({f"minus{i}": 0, f"protocol{i}": NO_PROTOCOL, f"offset{i}": 0})
        for i in range(9):
            if not line.more:
                break
            item = line.take("a protocol")
            if i == 8:
                raise item.wrong("a group has at most 8 protocols")
            row[f"protocol{i}"] = self.names.resolve("protocol", item)
            if line.skip("minus"):
                row[f"minus{i}"], row[f"offset{i}"] = 1, line.number_of("an offset", 0, 1023)
            elif line.skip("+"):
                row[f"offset{i}"] = line.number_of("an offset", 0, 1023)
        self._add("protocol_group", self.names.resolve("protocols", name), row, word)

    def _xlt1(self, line: Line, word: Word) -> None:
        block = self._one_block(line)
        ptype = self.names.resolve("ptype", line.take("a ptype"))
        line.expect("=")
        self._add(f"xlt1_{block}", ptype, {"group": line.number_of("a group", 0, 255)}, word)

    def _keys(self, line: Line, word: Word) -> None:
        block = self._one_block(line)
        row = self.draft.entries.setdefault(f"key_{block}", {}).setdefault(0, {})
        known = {field.name: field.width for field in KEY_BUILDER.fields}
        while line.more:
            item = line.take("a field")
            if item.text not in known:
                raise item.wrong(f"a key builder has no field {item.text!r}")
            line.expect("=")
            row[item.text] = line.number_of(item.text, 0, (1 << known[item.text]) - 1)

    def _one_block(self, line: Line) -> str:
        item = line.take("a block")
        if item.text not in BLOCKS:
            raise item.wrong(f"no block is named {item.text!r}", f"there are {', '.join(BLOCKS)}")
        return item.text


_STATEMENTS = frozenset(
    {"package", "extend", "device", "nvm", "redirect", "start", "xlt1", "keys", *DECLARED},
)


def _version(word: Word) -> tuple[int, int, int, int]:
    parts = word.text.split(".")
    if len(parts) != 4 or not all(part.isdigit() and len(part) < 4 and int(part) < 256 for part in parts):
        raise word.wrong(f"{word.text} is no version: four numbers of 0 to 255 with points between them")
    major, minor, update, draft = map(int, parts)
    return major, minor, update, draft


def _hex(word: Word) -> Word:
    text = word.text if word.text.lower().startswith("0x") else f"0x{word.text}"
    return Word(text, word.line, word.col)
