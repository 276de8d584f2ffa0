# SPDX-License-Identifier: Apache-2.0
"""The source language: what it says is what the tables hold, there and back, and every mistake has its line."""

from __future__ import annotations

import pytest

from tests.support.e810_packages import PROFILE, package_of, signed_bytes
from tether_hw.fleet.parser_source import read_profile, source_of
from tether_hw.nic.e810.ddp.build import Draft, lay_over, new_package
from tether_hw.nic.e810.ddp.check import check
from tether_hw.nic.e810.ddp.container import Package
from tether_hw.nic.e810.ddp.diff import differences
from tether_hw.nic.e810.ddp.errors import DdpError
from tether_hw.nic.e810.ddp.source.compile import compile_source
from tether_hw.nic.e810.ddp.source.decompile import decompile
from tether_hw.nic.e810.ddp.source.words import SourceError
from tether_hw.nic.e810.ddp.tables import Tables

pytestmark = pytest.mark.unit
SMALL = """package "Small" version 1.3.0.0 track 1
start node A program P
program P
    next bits 96 16
node A
    on 0x0800 -> stop mark M
    otherwise -> stop
marker M = 4
ptype SEEN = 600 when M
"""


def mistakes(source: str, base: Tables | None = None) -> list[str]:
    with pytest.raises(SourceError) as caught:
        compile_source(source, base)
    return [str(mistake) for mistake in caught.value.mistakes]


@pytest.mark.parametrize("name", ["tether", "plain", "overlay"])
def test_decompile_and_compile_give_the_same_tables(name: str) -> None:
    package = package_of(name)
    again = Package.read(new_package(compile_source(decompile(package))).to_bytes())
    assert differences(package, again) == [] or name == "overlay"
    before, after = Tables.read(package), Tables.read(again)
    for table, entries in before.entries.items():
        ours = {entry.index: entry.row for entry in entries}
        assert {entry.index: entry.row for entry in after.entries[table]} == ours, table
    assert after.labels == before.labels
    assert decompile(again) == decompile(package)


def test_rows_of_every_field_survive_decompiling() -> None:
    source = """package "All" version 1.3.0.255 track 0xffffffff
device 8086:1592 subdevice 5
nvm 9
flag F = 7
marker M = 70
protocol "odd name" = 200
redirect 63 = F
start node A program P offset 511 tsr 255 flags 0xffffffffffffffff domain 7 raw load_a.word=31 raw load_d.register=15
marks MS: M 3
protocols PS: "odd name"+1023 5 minus 7
program P = 191
    boosted graph alu0 alu1 alu2 priority 255 tsr
    next registers header r127
    key flags F - 3 - register r100
    order 2
    alu0 mov_add source_start=255 source_length=31 translate=1 shift=15 source=r127 target=pc inc0=1 inc1=1
    alu1 63 offset=255 branch=255 immediate=65535 flags_enable=1 target_start=63 target_length=63
    alu2 park flags_immediate=1 flags_start=255
node A = 2047
    on 0xffffffff flags 1 1 1 1 boost 255 register 65535 -> A : P advance 511 protocols PS marks MS spill
    on 1 -> A : P back 511 protocol "odd name" mark M last
    otherwise boost 3 -> stop spill
boost B = 255 group 255
    priority 5/7
    match 0 0102/0fff
    match 18 ff
    next none
boost C = 1 group 1
    cells 00000000000000000000000000000000000000ff 00000000000000000000000000000000000000ff
ptype T = 1023 when M any 3 at 1000
ptype U = 5 cells 0x1 0x3 at 3
ptype N = 6 when M off
xlt1 pe T = 255
keys acl flag15_mask=18446744073709551615 entry7.flag14=511 xlt1_partition=3
keys pe
"""
    package = Package.read(new_package(compile_source(source)).to_bytes())
    text = decompile(package)
    again = Package.read(new_package(compile_source(text)).to_bytes())
    assert {k: [e.raw for e in v] for k, v in Tables.read(again).entries.items()} == {
        k: [e.raw for e in v] for k, v in Tables.read(package).entries.items()
    }
    assert package.configuration().devices == again.configuration().devices == [(0x1592, 0x8086, 5)]
    assert package.configuration().nvm_versions == again.configuration().nvm_versions == [9]


def test_all_mistakes_are_told_with_their_lines() -> None:
    source = SMALL.replace("-> stop mark M", "-> NOWHERE mark M").replace("bits 96 16", "bits 250 16")
    source += "\n    next none\nfrobnicate 3\nptype BAD = 2000 when M\nmarker X = 4\nnode A\n    on 0x0800 ->\n"
    assert mistakes(source) == [
        "4:10: bits 250 to 265 leave the 256 of the header buffer",
        "6:18: no node is named NOWHERE",
        "11:5: 'next' is no statement here",
        "12:1: 'frobnicate' is no statement here",
        "13:13: the number of ptype BAD is 2000, 0 to 1023 can be",
        "14:8: 4 is marker M already",
        "16:17: a node, or stop should follow",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('package "unclosed version', "begins no word"),
        ("protocol NAME", "needs its number"),
        ("protocol 7 = 7", "is no name"),
        ("ptype T = 0x when M", "should be a number"),
        ("ptype T = 5 if M", "is not understood here"),
        ("redirect 64 = F", "0 to 63 can be"),
        ("redirect 3 = NOPE", "no flag is named NOPE"),
        ("xlt1 nope 5 = 3", "no block is named"),
        ("keys sw entry9.flag0=1", "has no field"),
        ("keys sw entry0.flag0=512", "0 to 511 can be"),
        ("marks G: 1 2 3 4 5 6 7 8 9", "at most 8 markers"),
        ("protocols G: 1 2 3 4 5 6 7 8 9", "at most 8 protocols"),
        ("start node A", "names a node and a program"),
        ("start node A program P", "is taken"),
        ("boost B = 300 group 1", "0 to 255 can be"),
        ("boost B = 3 group 1\n    match 17 010203", "a boost entry sees 0 to 18"),
        ("boost B = 3 group 1\n    match 3 0g", "no whole number of bytes"),
        ("boost B = 3 group 1\n    cells 00 00", "1 bytes, there should be 20"),
        ("program Q\n    alu0 fly", "op is none of"),
        ("program Q\n    alu0 add wings=2", "has no field 'wings'"),
        ("program Q\n    alu0 add source=r128", "0 to 127 can be"),
        ("program Q = 192", "0 to 191 can be"),
        ("program P", "is taken"),
        ("node A\n    on 5 -> stop advance 512", "0 to 511 can be"),
        ("node A\n    on 5 flags 2 0 0 0 -> stop", "0 to 1 can be"),
        ('package "Two" version 1.3.0.0 track 1', "stands in line 1 already"),
        ("extend", "extend needs a package"),
        ("device 8086-1592", "a vendor id should be a number"),
        ("device 8086", "':' should follow"),
        (f"protocol {'L' * 64} = 7", "64 characters, at most 63 fit"),
        ('node "a\0b"', "a package cannot hold"),
        ('marker "\u20ac" = 9', "a package cannot hold"),
    ],
)
def test_each_mistake_is_named(line: str, words: str) -> None:
    found = mistakes(SMALL + line + "\n")
    assert any(words in text for text in found), found
    assert all(int(text.split(":")[0]) >= 10 for text in found), found


def test_what_only_follows_from_a_mistake_is_not_told() -> None:
    source = SMALL.replace("start node A program P", "start node A program Q").replace("marker M = 4", "marker M = 400")
    source += "program Q = 900\n    next none\nnode B = 5000\n    on 1 -> A\n    otherwise -> stop\nxlt1 sw NONE = 1\n"
    assert mistakes(source) == [
        "8:12: the number of marker M is 400, 0 to 70 can be",
        "10:13: the number of program Q is 900, 0 to 191 can be",
        "12:10: the number of node B is 5000, 0 to 2047 can be",
        "15:9: no ptype is named NONE",
    ]


def test_a_package_name_that_does_not_fit_is_told_with_its_line() -> None:
    found = mistakes(SMALL.replace("Small", "n" * 28) + "frobnicate\n")
    assert found == [
        "1:9: the package's name has 28 characters, at most 27 fit",
        "10:1: 'frobnicate' is no statement here",
    ]


def test_a_table_that_overflows_is_told() -> None:
    many = "\n".join(f"    on {value} -> stop" for value in range(1, 2050))
    found = mistakes(SMALL + "node A\n" + many + "\n")
    assert len(found) == 2 and "is full (2048 entries)" in found[0]


def test_an_empty_source_says_how_to_begin() -> None:
    assert mistakes("") == ['1:1: the source should begin with package "NAME" version A.B.C.D track N']


def test_a_signed_package_is_not_laid_over() -> None:
    with pytest.raises(DdpError, match="the package is signed") as caught:
        lay_over(Package.read(signed_bytes()), Draft())
    assert caught.value.hint is not None and "steer without a package" in caught.value.hint


def test_an_overlay_takes_free_places_and_keeps_the_base() -> None:
    base = package_of("plain")
    raw = base.to_bytes()
    lay_over(base, compile_source(source_of(read_profile(PROFILE), overlay=True), Tables.read(base)))
    before, after = Package.read(raw), Package.read(base.to_bytes())
    first = before.configuration().buffers
    assert [bytes(buffer.data) for buffer in first][:1] == [bytes(after.configuration().buffers[0].data)]
    only_new = [item for item in differences(before, after) if item.before]
    assert only_new == []
    assert [finding.level for finding in check(after)] == ["warning", "note"]


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("node LOST = 99\n    otherwise -> stop", "unreachable"),
        ("node A\n    on 7 -> NOWHERE : P\nnode NOWHERE = 77", "dead-end"),
        ("node A\n    on 7 -> A : 33", "no-program"),
        ("node A\n    on 7 -> A : P", "cycle"),
        ("node A\n    on 0x0800 -> stop spill", "shadowed"),
        ("boost B group 1\n    match 0 01\nboost C group 2\n    match 0 0102", "shadowed"),
        ("ptype AGAIN = 601 when M", "shadowed"),
        ("marker N = 5\nptype ONE = 601 when N any M\nptype TWO = 602 when N M 6 any 7", None),
        ("marker N = 5\nptype ONE = 601 when N any 8\nptype TWO = 602 when N any 9", "ptype-collision"),
        ("node A\n    on 7 -> stop spill", "spill"),
        ("node A\n    on 7 -> stop marks 5", "no-marks"),
        ("node A\n    on 7 -> stop protocols 5", "no-protocols"),
    ],
)
def test_check_finds_what_is_odd(lines: str, code: str | None) -> None:
    package = Package.read(new_package(compile_source(SMALL + lines + "\n")).to_bytes())
    found = {finding.code for finding in check(package)} - {"gate-signature"}
    assert (code in found) if code else found == set()


@pytest.mark.parametrize(
    ("version", "word"), [("1.2.9.9", "too low"), ("1.4.0.0", "too high"), ("2.0.0.0", "too high")]
)
def test_check_knows_the_version_gate_of_drivers(version: str, word: str) -> None:
    package = Package.read(new_package(compile_source(SMALL.replace("1.3.0.0", version))).to_bytes())
    assert any(finding.code == "gate-version" and word in finding.message for finding in check(package))
