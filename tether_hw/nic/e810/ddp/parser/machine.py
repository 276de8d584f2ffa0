# SPDX-License-Identifier: Apache-2.0
"""The RX parser, round by round (ice_parser_rt.c): program, boost, key, parse graph, ALUs, markers, protocols.

Where the driver's model and its comments or the hardware may differ, this keeps the driver's model, with two exceptions
that are its quirks: the source of an ALU keeps its 16 bits (the driver's helper returns 8), and a graph that never ends
is stopped after MOST_ROUNDS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tether_hw.nic.e810.ddp.fields import NO_MARKER, NO_PROTOCOL, Row
from tether_hw.nic.e810.ddp.parser.reads import Reads
from tether_hw.nic.e810.ddp.parser.search import EMPTY_GROUP, EMPTY_PROGRAM, NOTHING, boost_of, graph_of, halves
from tether_hw.nic.e810.ddp.tables import Tables
from tether_hw.nic.e810.ddp.ternary import Ternary

MOST_ROUNDS = 256
NO_PTYPE = 0xFFFF
MARKERS = 72

HEADER, HEADER_END, ERROR, FLAGS, TSR, NODE, OFFSET, PROGRAM = 64, 80, 84, 104, 108, 109, 110, 111
REGISTERS = 128
HEADER_BITS = 256
WORD = 0xFFFF

PARK, MOV_ADD, ADD, MOV_XOR, SET_EQ, OR_EQ, OR_LT = 0, 1, 2, 9, 19, 21, 30


@dataclass(frozen=True)
class Result:
    """What the parser says of a frame. `stopped`: last, end, no-match, no-program or bound."""

    ptype: int
    protocols: tuple[tuple[int, int], ...]  # (protocol id, offset in bytes), by id
    flags: int  # the parser's 64
    packet_flags: int  # after redirection
    block_flags: dict[str, int]  # sw, fd, rss: 16 bits each
    stopped: str
    rounds: int


@dataclass(frozen=True)
class Round:
    """One round as a trace shows it."""

    node: int
    program: int
    offset: int
    boost: int | None  # place in the boost table
    next: int
    table: str  # cam, cam_spill, no_match, no_match_spill, or "" when nothing matched
    entry: int
    protocols: tuple[tuple[int, int], ...]
    markers: tuple[int, ...]


@dataclass
class _State:
    reads: Reads
    registers: list[int]
    written: dict[int, int] = field(default_factory=dict)  # registers of the header buffer that an ALU wrote
    po: int = 0
    flags: int = 0
    markers: int = 0
    protocols: dict[int, int] = field(default_factory=dict)

    @property
    def ho(self) -> int:
        return self.registers[OFFSET]

    def move(self, offset: int) -> None:
        self.registers[OFFSET] = offset & WORD
        self.written.clear()

    def register(self, index: int) -> int:
        """A register as a number: header bytes are little-endian words of the frame."""
        if not HEADER <= index < HEADER_END:
            if FLAGS <= index < FLAGS + 4:
                return self.flags >> 16 * (index - FLAGS) & WORD
            return self.registers[index]
        if index in self.written:
            return self.written[index]
        word = self.reads.bits(8 * (self.ho + 2 * (index - HEADER)), 16)
        return word >> 8 | (word & 0xFF) << 8

    def pick(self, register: int, start: int, width: int, window: int) -> int:
        """The bit pick: bytes from a register on, low byte first, bits from the most significant one of each byte.

        `window` is how many bits the driver copies before it picks; what lies behind reads as zero.
        """
        register += start // 16
        start %= 16
        inside = max(0, min(width, window - start))
        first = 16 * (register - HEADER) + start
        if register >= HEADER and first + inside <= HEADER_BITS and not self.written:
            value = self.reads.bits(8 * self.ho + first, inside)
        else:
            words = [self.register((register + i) % REGISTERS) for i in range((start + inside + 15) // 16)]
            stream = int.from_bytes(b"".join(word.to_bytes(2, "little") for word in words), "big")
            value = stream >> (16 * len(words) - start - inside) & (1 << inside) - 1 if inside else 0
        return value << (width - inside)


class Machine:
    """The parser of one package. Thread-safe after construction."""

    def __init__(self, tables: Tables, *, dvm: bool | None = None) -> None:
        """`dvm`: double VLAN mode on or off, as a driver switches it by labels; None = as the package has it."""
        self.tables = tables
        self._programs = tables.by_index("program")
        self._start = tables.by_index("start").get(0, {})
        self._graph = graph_of(tables)
        self._boost = boost_of(tables, dvm)
        self._ptypes = [(Ternary.decode(*halves(entry.row, 9, 10)), entry.row["ptype"]) for entry in tables.of("ptype")]
        self._marker_groups = tables.by_index("marker_group")
        self._protocol_groups = tables.by_index("protocol_group")
        self._redirect = [(index, row["flag"]) for index, row in tables.by_index("redirect").items() if row["expose"]]
        self._blocks = {name: rows[0] for name in ("sw", "fd", "rss") if (rows := tables.by_index(f"key_{name}"))}

    def run(self, reads: Reads, trace: Callable[[Round], None] | None = None) -> Result:
        """Parse one frame. With `trace`, questions are asked whole so that the trace can show real values."""
        state = _State(reads, [0] * REGISTERS)
        start = self._start
        state.registers[TSR], state.registers[NODE] = start.get("tsr", 0), start.get("node", 0)
        state.registers[PROGRAM], state.flags = start.get("program", 0), start.get("flags", 0)
        state.move(start.get("offset", 0))
        rounds = 0
        while True:
            if rounds == MOST_ROUNDS:
                return self._result(state, "bound", rounds)
            rounds += 1
            stopped = self._round(state, trace)
            if stopped:
                return self._result(state, stopped, rounds)

    def _round(self, state: _State, trace: Callable[[Round], None] | None) -> str:
        registers = state.registers
        node, program_index, ho = registers[NODE], registers[PROGRAM], state.ho
        program = self._programs.get(program_index)
        if program is None:
            program = EMPTY_PROGRAM
        place, boost = self._hit(state, program)
        source = boost if boost is not None and program["boost_graph"] else program
        group = source["group"] if source is boost and boost is not None else 0
        key = (
            node & 0x7FF,
            *(_flag(state, source[f"key.flag{i}"]) if source[f"key.flag{i}_enable"] else 0 for i in range(4)),
            group,
            state.register(source["key.register"]),
        )
        exact = self._graph.exact.get(key)
        next_value = self._next(state, source, exact.values if exact and not trace else None if trace else NOTHING)
        action = exact.actions.get(next_value) if exact else None
        if action is None:
            action = self._graph.otherwise.get(key)
        if action is None:
            if trace:
                trace(Round(node, program_index, ho, place, next_value, "", -1, (), ()))
            return "no-match"
        self._execute(state, action.row, program, boost)
        markers = self._mark(state, action.row)
        protocols = self._protocols(state, action.row)
        if trace:
            trace(Round(node, program_index, ho, place, next_value, action.table, action.index, protocols, markers))
        if action.row["last"]:
            return "last"
        return "" if state.reads.longer(state.ho) else "end"

    def _hit(self, state: _State, program: Row) -> tuple[int | None, Row | None]:
        high = state.registers[TSR] & 0xFF if program["boost_tsr"] else program["boost_priority"]
        for candidate in self._boost.get(high, ()):
            # byte 18-i of the key is byte HO+i of the frame; beyond what the parser is given it reads as zero
            if candidate.care == 0 or state.reads.match(state.ho, 19, candidate.care, candidate.value):
                return candidate.place, candidate.row
        return None, None

    def _next(self, state: _State, source: Row, values: frozenset[int] | None) -> int:
        op, start, length = source["next.op"], source["next.start"], source["next.length"]
        if op == 0:
            inside = HEADER_BITS - start
            if values is not None and length <= 32 and length <= inside and not state.written:
                if not values:
                    return -1
                return state.reads.known(8 * state.ho + start, length, values)
            return state.pick(HEADER, start, min(length, 64), 64) & 0xFFFF_FFFF
        if op == 1:
            return state.register(start % REGISTERS) | state.register(length % REGISTERS) << 16
        return 0 if op == 2 else 0xFFFF_FFFF

    def _execute(self, state: _State, action: Row, program: Row, boost: Row | None) -> None:
        alus = [(boost if boost is not None and program[f"boost_alu{i}"] else program, f"alu{i}.") for i in range(3)]
        by_boost = boost is not None and program["boost_graph"]
        position = boost["graph_order"] if boost is not None and by_boost else program["graph_order"]
        writes: dict[int, int] = {}
        flags: dict[int, int] = {}
        for turn in range(4):
            if turn == position:
                writes[PROGRAM], writes[NODE] = action["next_program"], action["next_node"]
            if turn < 3:
                row, prefix = alus[turn]
                _alu(state, row, prefix, writes, flags)
        for index in sorted(writes):
            _commit(state, index, writes[index])
        for index, value in flags.items():
            state.flags = state.flags & ~(1 << index) | value << index
        if action["advance"]:
            sign = 1 if action["advance_sign"] else -1
            state.move(state.ho + sign * action["advance"])

    def _mark(self, state: _State, action: Row) -> tuple[int, ...]:
        markers: tuple[int, ...]
        if action["marker_group"]:
            group = self._marker_groups.get(action["marker"], {})
            markers = _until([group.get(f"marker{i}", 0) for i in range(8)], NO_MARKER)
        else:
            markers = () if action["marker"] == NO_MARKER else (action["marker"],)
        for marker in markers:
            if marker < MARKERS:
                state.markers |= 1 << marker
        return markers

    def _protocols(self, state: _State, action: Row) -> tuple[tuple[int, int], ...]:
        found: tuple[tuple[int, int], ...]
        if not action["protocol_group"]:
            found = ((action["protocol"], state.po),)
        else:
            group = self._protocol_groups.get(action["protocol"], EMPTY_GROUP)
            ids = _until([group[f"protocol{i}"] for i in range(8)], NO_PROTOCOL)
            found = tuple(
                (
                    name,
                    (state.po - group[f"offset{i}"] if group[f"minus{i}"] else state.po + group[f"offset{i}"]) & WORD,
                )
                for i, name in enumerate(ids)
            )
        state.protocols.update(found)
        return found

    def _result(self, state: _State, stopped: str, rounds: int) -> Result:
        ptype = next((ptype for key, ptype in self._ptypes if key.matches(state.markers)), NO_PTYPE)
        flags = state.flags
        packet = sum(1 << index for index, flag in self._redirect if flags >> flag & 1)
        blocks = {}
        for name, row in self._blocks.items():
            word = sum((packet >> (row[f"entry0.flag{i}"] & 0x3F) & 1) << i for i in range(15))
            blocks[name] = word | (0x8000 if row["flag15_mask"] & packet else 0)
        found = tuple(sorted((name, at) for name, at in state.protocols.items() if name != NO_PROTOCOL))
        return Result(ptype, found, flags, packet, blocks, stopped, rounds)


def _flag(state: _State, index: int) -> int:
    return state.flags >> index & 1


def _until(values: list[int], end: int) -> tuple[int, ...]:
    return tuple(values[: values.index(end)] if end in values else values)


def _alu(state: _State, row: Row, prefix: str, writes: dict[int, int], flags: dict[int, int]) -> None:
    def get(name: str) -> int:
        return row[prefix + name]

    if get("translate"):
        return
    ho = state.ho
    offset_op = get("offset_op")
    if offset_op != 3:
        state.po = (ho, ho + get("offset"), ho - get("offset"))[offset_op] & WORD
    first, count = get("target_start"), get("target_length")
    if get("flags_enable"):
        for i in range(count):
            if first + i < 64:
                start = get("flags_start")
                flags[first + i] = start >> i & 1 if get("flags_immediate") else state.pick(HEADER, start + i, 1, 64)
    op = get("op")
    if op not in (MOV_ADD, ADD, MOV_XOR, SET_EQ, OR_EQ, OR_LT):
        return
    source = state.pick(get("source"), get("source_start"), get("source_length"), 32) & WORD
    immediate, target = get("immediate"), get("target")
    shifted = source << get("shift") & WORD
    if op == MOV_ADD:
        writes[target] = (shifted + immediate) & WORD
    elif op == ADD:
        writes[target] = (state.register(target) + shifted + immediate) & WORD
    elif op == MOV_XOR:
        writes[target] = shifted ^ immediate
    else:
        hit = source < immediate if op == OR_LT else source == immediate
        if (hit or op == SET_EQ) and not get("flags_enable") and target >= FLAGS and target != ERROR:
            index = 16 * (target - FLAGS) + first
            if index < 64:
                flags[index] = int(hit)
        writes[PROGRAM] = get("branch")


def _commit(state: _State, index: int, value: int) -> None:
    if index == OFFSET:
        state.move(value)
    elif HEADER <= index < HEADER_END:
        state.written[index] = value
    elif FLAGS <= index < FLAGS + 4:
        shift = 16 * (index - FLAGS)
        state.flags = state.flags & ~(WORD << shift) | value << shift
    else:
        state.registers[index] = value
