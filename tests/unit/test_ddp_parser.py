# SPDX-License-Identifier: Apache-2.0
"""The parser simulator: the profile gives the PTYPEs that it promises, and the second judge's golden set holds."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

import pytest

from tests.support.e810_frames import frames, line
from tests.support.e810_packages import package_of
from tether_hw.nic.e810.ddp.build import new_package
from tether_hw.nic.e810.ddp.parser.machine import MOST_ROUNDS, NO_PTYPE, Machine, Result, Round
from tether_hw.nic.e810.ddp.parser.memo import Memo
from tether_hw.nic.e810.ddp.parser.reads import Frame
from tether_hw.nic.e810.ddp.source.compile import compile_source
from tether_hw.nic.e810.ddp.tables import Tables

pytestmark = pytest.mark.unit
GOLDEN = Path(__file__).resolve().parents[1] / "cases" / "e810" / "golden-frames.txt"
MODES = {"as-is": None, "svm": False, "dvm": True}
MACS = bytes(12)
ONE_TAG, TWO_TAGS = b"\x81\x00\x00\x05", b"\x88\xa8\x00\x05\x81\x00\x00\x06"
MAC, ETHERTYPE, TETHER, UDP = 1, 9, 121, 53


@cache
def machine(name: str, mode: str) -> Machine:
    return Machine(Tables.read(package_of(name)), dvm=MODES[mode])


def parse(data: bytes, name: str = "tether", mode: str = "as-is") -> Result:
    return machine(name, mode).run(Frame(data))


def ethernet(kind: int, payload: bytes = bytes(46), tags: bytes = b"") -> bytes:
    return MACS + tags + struct.pack(">H", kind) + payload


def ipv4(protocol: int, inner: bytes = bytes(40), fragment: int = 0, words: int = 5) -> bytes:
    head = struct.pack(">BBHHHBBH", 0x40 | words, 0, 20 + len(inner), 1, fragment, 64, protocol, 0)
    return ethernet(0x0800, head + bytes(4 * words - 12) + inner)


def ipv6(protocol: int, inner: bytes = bytes(40)) -> bytes:
    return ethernet(0x86DD, struct.pack(">IHBB", 6 << 28, len(inner), protocol, 64) + bytes(32) + inner)


@pytest.mark.parametrize(
    ("data", "ptype"),
    [
        (ethernet(0x88B6), 1), (ethernet(0x1234), 1), (ethernet(0x88F7), 2), (ethernet(0x88CC), 6),
        (ethernet(0x0806), 11), (ipv4(17, fragment=0x2000), 22), (ipv4(17, fragment=1), 22),
        (ipv4(6, fragment=0x1FFF), 22), (ipv4(17, fragment=0x4000), 24), (ipv4(2), 23), (ipv4(17), 24), (ipv4(6), 26),
        (ipv4(132), 27), (ipv4(1), 28), (ipv4(17, words=15), 24), (ipv6(44), 88), (ipv6(59), 89), (ipv6(17), 90),
        (ipv6(6), 92), (ipv6(132), 93), (ipv6(58), 94),
    ],
)  # fmt: skip
@pytest.mark.parametrize("tags", [b"", ONE_TAG, TWO_TAGS], ids=["untagged", "one-tag", "two-tags"])
def test_well_known_ptypes_with_zero_to_two_tags(data: bytes, ptype: int, tags: bytes) -> None:
    result = parse(data[:12] + tags + data[12:])
    assert result.ptype == ptype
    assert dict(result.protocols)[ETHERTYPE] == 12 + len(tags)
    assert result.stopped == "last"


@pytest.mark.parametrize(("tags", "offset"), [(b"", 14), (ONE_TAG, 18), (TWO_TAGS, 22)])
@pytest.mark.parametrize("name", ["tether", "overlay"])
def test_tether_has_its_ptype_and_its_protocol_at_its_header(name: str, tags: bytes, offset: int) -> None:
    result = parse(ethernet(0x88B5, tags=tags), name)
    assert result.ptype == 1000
    assert dict(result.protocols)[TETHER] == offset
    assert parse(ethernet(0x88B6, tags=tags), name).ptype == 1


@pytest.mark.parametrize("tags", [b"", ONE_TAG, TWO_TAGS])
def test_without_the_tether_part_its_ethertype_is_payload(tags: bytes) -> None:
    result = parse(ethernet(0x88B5, tags=tags), "plain")
    assert result.ptype == 1
    assert TETHER not in dict(result.protocols)


def test_tether_over_udp_is_told_by_its_port() -> None:
    port = struct.pack(">HHHH", 5, 47001, 0, 0) + bytes(64)
    four, six = parse(ipv4(17, port)), parse(ipv6(17, port))
    assert (four.ptype, six.ptype) == (1001, 1002)
    assert dict(four.protocols)[TETHER] == 42 and dict(six.protocols)[TETHER] == 62
    assert parse(ipv4(17, port), "plain").ptype == 24
    assert parse(ipv4(17, struct.pack(">HHHH", 47001, 5, 0, 0))).ptype == 24


def test_vlan_modes_are_switched_by_labels() -> None:
    two = ethernet(0x88B5, tags=TWO_TAGS)
    assert parse(two, mode="dvm").ptype == 1000
    assert parse(two, mode="svm").ptype == 1  # one mode that sees no 0x88A8, and the frame is payload to it
    one = parse(ethernet(0x88B5, tags=ONE_TAG), mode="svm")
    assert one.ptype == 1000 and dict(one.protocols)[TETHER] == 18
    double = parse(ethernet(0x88B5, tags=ONE_TAG + ONE_TAG), mode="svm")
    assert double.ptype == 1 and dict(double.protocols)[ETHERTYPE] == 16


def test_the_second_judge_agrees() -> None:
    rows = GOLDEN.read_text().splitlines()
    head = rows[0].split()
    seed, count = int(head[2]), int(head[4].rstrip(":"))
    wanted = {int(row.split(" ")[2]) for row in rows[1:]}
    chosen = {place: data for place, data in enumerate(frames(seed, count)) if place in wanted}
    checked, wrong = 0, []
    for row in rows[1:]:
        name, mode, place, said = row.split(" ", 3)
        ours = line(parse(chosen[int(place)], name, mode))
        checked += 1
        if ours != said:
            wrong.append((row, ours))
    assert wrong == []
    assert checked >= 2000


@pytest.mark.parametrize("mode", MODES)
def test_the_fast_parser_is_the_plain_one(mode: str) -> None:
    plain = machine("tether", mode)
    memo = Memo(plain)
    for data in frames(99, 3000):
        assert memo.run(data) == plain.run(Frame(data))
    seen = memo.misses
    for data in frames(99, 3000):
        memo.run(data)
    assert memo.misses == seen < 1500


def test_the_memory_of_the_fast_parser_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from tether_hw.nic.e810.ddp.parser import memo as module

    monkeypatch.setattr(module, "MOST_NODES", 100)
    memo = Memo(machine("tether", "as-is"))
    results = [memo.run(data) for data in frames(3, 500)]
    assert results == [machine("tether", "as-is").run(Frame(data)) for data in frames(3, 500)]
    assert memo.misses > 100


@pytest.mark.parametrize("size", [0, 1, 13, 14, 503, 504, 505, 9000, 65_535])
def test_frames_of_every_size(size: int) -> None:
    for data in (bytes(size), ethernet(0x88B5, bytes(65_535))[:size], ipv4(17, bytes(65_000), words=15)[:size]):
        result = parse(data)
        assert result.rounds <= MOST_ROUNDS
        assert result.stopped in ("last", "end", "no-match")


def test_a_graph_that_goes_round_is_stopped() -> None:
    source = """
package "Round" version 1.3.0.0 track 1
start node A program P
program P
    next none
node A
    otherwise -> B : P
node B
    otherwise -> A : P
"""
    tables = Tables.read(new_package(compile_source(source)))
    result = Machine(tables).run(Frame(bytes(60)))
    assert (result.stopped, result.rounds, result.ptype) == ("bound", MOST_ROUNDS, NO_PTYPE)
    assert Memo(Machine(tables)).run(bytes(60)) == result


def test_a_trace_names_each_round() -> None:
    rounds: list[Round] = []
    data = ethernet(0x88B5, tags=ONE_TAG)
    traced = machine("tether", "as-is").run(Frame(data), rounds.append)
    assert traced == parse(data)
    assert [(step.node, step.offset, step.next) for step in rounds] == [(1, 0, 0x88B5), (16, 18, 0)]
    assert rounds[0].boost is not None and rounds[1].protocols == ((TETHER, 18),)


ALUS = """
package "Alus" version 1.3.0.0 track 1
flag HIT = 3
flag LOW = 4
start node A program P
program P
    next none
    order 3
    {alu}
node A
    otherwise -> B : Q
program Q
    next none
    key flags HIT LOW - - register r5
node B
    {on}
    otherwise -> stop mark 9
"""


@pytest.mark.parametrize(
    ("alu", "on"),
    [
        ("alu0 mov_add source=header source_start=4 source_length=4 shift=1 immediate=3 target=r5", "register 13"),
        ("alu0 mov_xor source=header source_start=0 source_length=8 immediate=255 target=r5", "register 186"),
        ("alu0 add source=header source_start=8 source_length=16 target=r5", "register 4660"),
        (
            "alu0 set_eq source=header source_start=0 source_length=4 immediate=4 target=flags target_start=HIT",
            "flags 1 0 0 0",
        ),
        (
            "alu1 or_lt source=header source_start=4 source_length=4 immediate=6 target=flags target_start=LOW",
            "flags 0 1 0 0",
        ),
        ("alu2 park flags_enable=1 flags_immediate=1 flags_start=3 target_start=HIT target_length=2", "flags 1 1 0 0"),
        ("alu2 park flags_enable=1 flags_start=1 target_start=HIT target_length=1", "flags 1 0 0 0"),
        ("alu0 mov_add immediate=7 target=r5\n    alu1 mov_add immediate=9 target=r5", "register 9"),
    ],
)
def test_what_the_alus_do(alu: str, on: str) -> None:
    """Byte 0 is 0x45, bytes 1 and 2 are 0x1234."""
    source = ALUS.format(alu=alu, on=f"otherwise {on} -> stop mark 5")
    tables = Tables.read(new_package(compile_source(source)))
    marked: list[Round] = []
    Machine(tables).run(Frame(b"\x45\x12\x34" + bytes(60)), marked.append)
    assert marked[-1].markers == (5,), alu
