# SPDX-License-Identifier: Apache-2.0
"""Statements inside a program, a boost entry or a node."""

from __future__ import annotations

from dataclasses import dataclass

from tether_hw.nic.e810.ddp.fields import ALU, NO_MARKER, NO_PROTOCOL, Row
from tether_hw.nic.e810.ddp.sections import BY_NAME
from tether_hw.nic.e810.ddp.source.names import VALUES, Names, register
from tether_hw.nic.e810.ddp.source.words import Line, Word, number
from tether_hw.nic.e810.ddp.ternary import Ternary

#: Key byte of a boost entry that a program's priority or the TSR fills; below it, byte 18-i is byte HO+i of the frame.
HIGH_BYTE = 19


@dataclass
class Block:
    """A program, boost entry or node while its lines are read."""

    keyword: str
    word: Word
    number: int
    row: Row
    care: int = 0
    value: int = 0
    off: bool = False

    def set_cells(self, size: int, care: int, value: int, never: bool) -> None:
        """Key and inverse of a ternary entry of `size` bytes."""
        key, inverse = Ternary(care, value, never).encode(size)
        self.row["key"], self.row["inverse"] = int.from_bytes(key, "little"), int.from_bytes(inverse, "little")

    def finished(self) -> Row:
        """A boost entry with its cells."""
        if self.row["key"] == 0 and self.row["inverse"] == 0:
            self.set_cells(20, self.care, self.value, self.off)
        return self.row


def blank(table: str) -> Row:
    """An entry with every field 0, its ALUs keeping the protocol offset."""
    row = {field.name: 0 for field in BY_NAME[table].layout.fields}
    for i in range(3):
        row[f"alu{i}.offset_op"] = 3
    return row


def boosted(row: Row, line: Line) -> None:
    """boosted [graph] [alu0] [alu1] [alu2] (priority N | tsr)"""
    while line.more:
        word = line.take("what a boost entry replaces")
        if word.text in ("graph", "alu0", "alu1", "alu2"):
            row[f"boost_{word.text}"] = 1
        elif word.text == "priority":
            row["boost_priority"] = line.number_of("a priority", 0, 255)
        elif word.text == "tsr":
            row["boost_tsr"] = 1
        else:
            raise word.wrong(f"{word.text!r} is not understood here", "graph, alu0, alu1, alu2, priority N, tsr")


def next_key(row: Row, line: Line) -> None:
    """next bits FIRST WIDTH | next registers A B | next none"""
    word = line.take("bits, registers or none")
    if word.text == "bits":
        first = line.number_of("the first bit", 0, 255)
        width = line.number_of("the number of bits", 1, 32)
        if first + width > 256:
            raise word.wrong(f"bits {first} to {first + width - 1} leave the 256 of the header buffer")
        row["next.op"], row["next.start"], row["next.length"] = 0, first, width
    elif word.text == "registers":
        row["next.op"] = 1
        row["next.start"], row["next.length"] = register(line.take("a register")), register(line.take("a register"))
    elif word.text == "none":
        row["next.op"], row["next.start"], row["next.length"] = 2, 0, 0
    else:
        raise word.wrong(
            f"{word.text!r} is not understood here", "next bits FIRST WIDTH, next registers A B, next none"
        )


def key(names: Names, row: Row, line: Line) -> None:
    """key [flags F F F F] [register R]: F is a flag or -"""
    while line.more:
        word = line.take("flags or register")
        if word.text == "flags":
            for i in range(4):
                flag = line.take("a flag or -")
                if flag.text != "-":
                    row[f"key.flag{i}_enable"], row[f"key.flag{i}"] = 1, names.resolve("flag", flag)
        elif word.text == "register":
            row["key.register"] = register(line.take("a register"))
        else:
            raise word.wrong(f"{word.text!r} is not understood here", "key flags F F F F register R")


def alu(names: Names, row: Row, which: str, line: Line) -> None:
    """aluN OP [field=value ...], fields as the entry has them, with names for what has a name"""
    word = line.take("an operation")
    widths = {field.name: field.width for field in ALU}
    row[f"{which}.op"] = _value(names, "op", word, 63)
    while line.more:
        field = line.take("a field")
        if field.text not in widths or field.text == "op":
            raise field.wrong(
                f"an ALU has no field {field.text!r}", f"there are {', '.join(sorted(set(widths) - {'op'}))}"
            )
        line.expect("=")
        row[f"{which}.{field.text}"] = _value(names, field.text, line.take("a value"), (1 << widths[field.text]) - 1)


def _value(names: Names, field: str, word: Word, most: int) -> int:
    symbols = VALUES.get(field, {})
    if word.text in symbols:
        return symbols[word.text]
    if field in ("source", "target"):
        return register(word)
    if field == "target_start" and not word.text[:1].isdigit():
        return names.resolve("flag", word)
    if field == "branch" and not word.text[:1].isdigit():
        return names.resolve("program", word)
    if symbols and not word.text[:1].isdigit():
        raise word.wrong(f"{field} is none of {', '.join(symbols)}, nor a number")
    return number(word, field, 0, most)


def match(block: Block, keyword: str, line: Line) -> None:
    """Lines of a boost entry: priority N, match BYTE HEX[/MASK], off, cells KEY INVERSE"""
    if keyword == "off":
        block.off = True
    elif keyword == "cells":
        for half in ("key", "inverse"):
            word = line.take(f"the {half}, 20 bytes in hexadecimal from byte 0")
            block.row[half] = int.from_bytes(_bytes(word, 20), "little")
    elif keyword == "priority":
        value = line.number_of("a priority", 0, 255)
        mask = line.number_of("a mask", 0, 255) if line.skip("/") else 255
        block.care |= mask << 8 * HIGH_BYTE
        block.value |= (value & mask) << 8 * HIGH_BYTE
    else:
        at = line.number_of("a byte of the header", 0, 18)
        word = line.take("bytes in hexadecimal")
        value_bytes = _bytes(word)
        mask_bytes = _bytes(line.take("a mask in hexadecimal"), len(value_bytes)) if line.skip("/") else None
        if at + len(value_bytes) > HIGH_BYTE:
            raise word.wrong(f"bytes {at} to {at + len(value_bytes) - 1}: a boost entry sees 0 to 18")
        for i, byte in enumerate(value_bytes):
            mask = mask_bytes[i] if mask_bytes else 0xFF
            shift = 8 * (HIGH_BYTE - 1 - at - i)
            block.care |= mask << shift
            block.value |= (byte & mask) << shift


def _bytes(word: Word, size: int | None = None) -> bytes:
    try:
        raw = bytes.fromhex(word.text.lower().removeprefix("0x"))
    except ValueError:
        raise word.wrong(f"{word.text!r} is no whole number of bytes in hexadecimal") from None
    if not raw or (size is not None and len(raw) != size):
        raise word.wrong(f"{len(raw)} bytes, there should be {size or 'some'}")
    return raw


def graph_line(names: Names, block: Block, keyword: str, line: Line) -> tuple[str, int | None, Row]:
    """on VALUE | otherwise, then conditions, then -> NODE [: PROGRAM] or -> stop, then what happens"""
    table = "cam" if keyword == "on" else "no_match"
    row = {field.name: 0 for field in BY_NAME[table].layout.fields}
    row.update(valid=1, node=block.number, marker=NO_MARKER, protocol=NO_PROTOCOL)
    if keyword == "on":
        row["next"] = line.number_of("the next protocol")
    while not line.skip("->"):
        word = line.take("-> NODE")
        if word.text == "flags":
            for i in range(4):
                row[f"flag{i}"] = line.number_of("a flag's value", 0, 1)
        elif word.text == "boost":
            row["boost_hit"], row["boost"] = 1, line.number_of("a boost group", 0, 255)
        elif word.text == "register":
            row["register"] = line.number_of("a register's value", 0, 0xFFFF)
        else:
            raise word.wrong(
                f"{word.text!r} is not understood here", "flags A B C D, boost GROUP, register VALUE, -> NODE"
            )
    target = line.take("a node, or stop")
    if target.text == "stop" and not target.quoted:
        row["last"] = 1
    else:
        row["next_node"] = names.resolve("node", target)
        program = line.take("a program") if line.skip(":") else target
        row["next_program"] = names.resolve("program", program)
    place, spill = None, False
    while line.more:
        word = line.take("what happens")
        if word.text in ("advance", "back"):
            row["advance_sign"], row["advance"] = int(word.text == "advance"), line.number_of("bytes", 0, 511)
        elif word.text in ("protocol", "protocols"):
            row["protocol_group"] = int(word.text == "protocols")
            row["protocol"] = names.resolve(word.text, line.take(f"{word.text}"))
        elif word.text in ("mark", "marks"):
            row["marker_group"] = int(word.text == "marks")
            row["marker"] = names.resolve("marker" if word.text == "mark" else "marks", line.take("a marker"))
        elif word.text == "last":
            row["last"] = 1
        elif word.text == "at":
            place = line.number_of("a place", 0, 2047)
        elif word.text == "spill":
            spill = True
        else:
            hint = "advance N, back N, protocol P, protocols G, mark M, marks G, last, at N, spill"
            raise word.wrong(f"{word.text!r} is not understood here", hint)
    return f"{table}_spill" if spill else table, place, row
