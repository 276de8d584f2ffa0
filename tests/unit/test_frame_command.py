# SPDX-License-Identifier: Apache-2.0
"""`tether frame`: names, words, errors with their place, and the way back to the same bytes."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tether_hw.cli.main import main
from tether_hw.transport.protocol import float16
from tether_hw.transport.protocol.capture import Capture, VlanTag
from tether_hw.transport.protocol.header import BLOCK_SIZE, LAYOUT, Header

if TYPE_CHECKING:
    from pathlib import Path

DESIGN_NAMES = [
    "version", "flags", "length", "channel", "sequence", "want", "flow", "GrantAmount", "slot", "NackSlot", "NackCount",
    "pace", "Timestamp", "echo", "tag",
]  # fmt: skip
HEADER = Header(
    flags=0xC9, length=100, channel=0x0000_0501, sequence=(3 << 22) + 7, want=float16.encode(2048), flow=2,
    GrantAmount=1234567890123, slot=44, NackSlot=66, NackCount=22, pace=float16.encode(1 << 20),
    Timestamp=1_000_000_007, echo=999_999_000, tag=bytes(range(16)),
)  # fmt: skip
BARE = HEADER.encode()[:1] + b"\xc8" + HEADER.encode()[2:] + bytes(range(128))
MACS = bytes.fromhex("02aabbccddee02aabbccddef")
ETHERNET = MACS + b"\x88\xb5" + BARE
VLAN = MACS + bytes.fromhex("8100a064") + b"\x88\xb5" + BARE
QINQ = MACS + bytes.fromhex("88a81001") + bytes.fromhex("81000fff") + b"\x88\xb5" + BARE + b"\x00\x01"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["frame", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def decoded(capsys: pytest.CaptureFixture[str], data: bytes) -> dict[str, Any]:
    code, out, _err = run(capsys, "decode", data.hex(), "--json")
    assert code == 0
    document = json.loads(out)
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("data", [BARE, ETHERNET, VLAN, QINQ], ids=["bare", "ethernet", "vlan", "two-vlans"])
def test_every_field_by_its_name_and_back(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    document = decoded(capsys, data)
    assert document["schema"] == "tether.frame/1"
    assert [name for name in document if name in DESIGN_NAMES] == DESIGN_NAMES
    assert document["flags"] == ["ECHO", "END", "FIRST"]
    assert (document["want"], document["pace"]) == (2048, 1 << 20)
    assert document["GrantAmount"] == 1234567890123
    assert document["NackSlot"] == 66
    assert document["Timestamp"] == 1_000_000_007
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(document)))
    assert run(capsys, "encode")[:2] == (0, data.hex() + "\n")


def test_layout_has_the_names_of_the_design() -> None:
    assert [name for name, _offset, _size in LAYOUT] == DESIGN_NAMES
    assert all(offset == sum(size for _n, before, size in LAYOUT if before < offset) for _n, offset, _s in LAYOUT)


def test_vlans(capsys: pytest.CaptureFixture[str]) -> None:
    assert decoded(capsys, BARE)["ethernet"] is None
    assert decoded(capsys, ETHERNET)["ethernet"]["vlans"] == []
    tag = {"type": 0x8100, "id": 100, "priority": 5, "drop_eligible": False}
    assert decoded(capsys, VLAN)["ethernet"] == {
        "destination": "02:aa:bb:cc:dd:ee", "source": "02:aa:bb:cc:dd:ef", "vlans": [tag],
    }  # fmt: skip
    assert [tag["id"] for tag in decoded(capsys, QINQ)["ethernet"]["vlans"]] == [1, 4095]
    assert decoded(capsys, QINQ)["trailer"] == "0001"


def test_words(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "decode", VLAN.hex())
    assert (code, err) == (0, "")
    for name in DESIGN_NAMES:
        assert re.search(rf"^  {name} ", out, re.MULTILINE), name
    for words in ("data of flow 2", "VLAN", "100 (802.1Q, priority 5)", "epoch 3", "512 * 2^2", "repair slots 66 to 88",
                  "FIRST", "END", "lane 1", "1048576 slots a second", "a whole message"):  # fmt: skip
        assert words in out


def test_words_of_hail_and_blocked(capsys: pytest.CaptureFixture[str]) -> None:
    lamp = Header(flags=1, length=180, sequence=77, GrantAmount=5).encode() + bytes(256)
    assert "a Hail" in run(capsys, "decode", lamp.hex())[1]
    assert decoded(capsys, lamp)["payload"] == bytes(256).hex()
    blocked = Header(flags=0x30, channel=0x501, flow=3, slot=9, sequence=1).encode()
    out = run(capsys, "decode", blocked.hex())[1]
    assert "BLOCKED" in out
    assert "asks for a header" in out
    assert "lend" in out


def test_separators_and_stdin(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    spaced = "0x" + BARE[:1].hex() + " " + BARE[1:].hex(":")
    assert run(capsys, "decode", spaced, "--json")[1] == json_of(capsys, BARE)
    monkeypatch.setattr("sys.stdin", io.StringIO(BARE[:64].hex("\n") + "\n" + BARE[64:].hex(" ")))
    assert run(capsys, "decode", "-", "--json")[1] == json_of(capsys, BARE)


def json_of(capsys: pytest.CaptureFixture[str], data: bytes) -> str:
    return run(capsys, "decode", data.hex(), "--json")[1]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (BARE[:63].hex(), "byte 63", "short"),
        ("02" + BARE[1:].hex(), "HEX:1:1: byte 0", "version 2"),
        ("01xx", "HEX:1:3", "no hexadecimal digit"),
        ("012", "HEX:1:3: byte 1", "half a byte"),
        ((MACS + b"\x88\xb5" + b"\x03" + BARE[1:]).hex(), "HEX:1:29: byte 14", "version 3"),
        ((MACS + b"\x08\x00" + BARE).hex(), "byte 0", "EtherType"),
    ],
)
def test_bad_hex(capsys: pytest.CaptureFixture[str], text: str, place: str, words: str) -> None:
    code, out, err = run(capsys, "decode", text)
    assert (code, out) == (1, "")
    assert place in err
    assert words in err


def test_cut_capture_is_shown_and_comes_back(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "incomplete" in run(capsys, "decode", BARE[:100].hex())[1]
    file = tmp_path / "cut.json"
    file.write_text(json.dumps(decoded(capsys, BARE[:100])), encoding="utf-8")
    assert run(capsys, "encode", str(file))[:2] == (0, BARE[:100].hex() + "\n")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sequence": 1 << 48}, "sequence: 281474976710656 does not fit 48 bits"),
        ({"sequence": "7"}, "sequence: '7' is not a number"),
        ({"flow": True}, "flow: True is not a number"),
        ({"flags": ["LIGHT"]}, "flags: unknown 'LIGHT'"),
        ({"flags": [["LAMP"]]}, "flags: unknown"),
        ({"want": 1025}, "want: 1025 has no exact 16-bit float; the nearest below is 1024"),
        ({"noncanonical": {"want": 1}}, "want: 2048 is not what noncanonical 1 means"),
        ({"tag": "00"}, "tag: '00' is not 16 bytes"),
        ({"GrantAmounts": 1}, "GrantAmounts: no such field"),
        ({"payload": "0"}, "payload: '0' is not hexadecimal"),
        ({"payload": "00" * 129}, "payload: 129 bytes do not fit length 100"),
        ({"trailer": "00", "payload": ""}, "trailer: follows a payload that lacks 128 bytes"),
        ({"schema": "tether.frame/2"}, "schema: 'tether.frame/2' is not 'tether.frame/1'"),
        ({"ethernet": {}}, "ethernet: has exactly"),
    ],
)
def test_bad_documents(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, change: dict[str, object], words: str
) -> None:
    document = Capture.decode(BARE).to_json() | change
    file = tmp_path / "frame.json"
    file.write_text(json.dumps(document, indent=1), encoding="utf-8")
    code, out, err = run(capsys, "encode", str(file))
    assert (code, out) == (1, "")
    assert words in err
    key = words.split(":")[0]
    lines = file.read_text(encoding="utf-8").split("\n")
    expected = next(number for number, line in enumerate(lines, 1) if f'"{key}":' in line)
    assert f"{file}:{expected}:2: {words}" in err


def test_missing_twice_and_no_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    document = Capture.decode(BARE).to_json()
    del document["echo"]
    for text, words in (
        (json.dumps(document), "echo: missing"),
        ('{"slot": 1, "slot": 2}', "slot: stands here twice"),
        ("[1]", "not a JSON object"),
        ('{"a": \n }', "<stdin>:2:2: no JSON"),
        ("[" * 100_000, "nested too deeply"),
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        code, out, err = run(capsys, "encode")
        assert (code, out) == (1, "")
        assert words in err


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["decode"], ["decode", "--colour", "00"], ["paint"], ["encode", "a", "b"]):
        assert run(capsys, *words)[0] == 64
    assert run(capsys, "encode", "/nowhere/frame.json")[0] == 1


def test_encode_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json_of(capsys, BARE)))
    code, out, _err = run(capsys, "encode", "--json")
    assert code == 0
    assert json.loads(out) == {"schema": "tether.frame.bytes/1", "hex": BARE.hex()}


vlans = st.lists(
    st.builds(VlanTag, st.sampled_from([0x8100, 0x88A8]), st.integers(0, 4095), st.integers(0, 7), st.booleans()),
    max_size=2,
)


@settings(max_examples=300, deadline=None)
@given(
    raw=st.binary(min_size=64, max_size=64),
    blocks=st.integers(0, 4),
    short_by=st.integers(0, 63),
    trailer=st.binary(max_size=63),
    macs=st.one_of(st.just(b""), st.binary(min_size=12, max_size=12)),
    tags=vlans,
)
def test_any_frame_comes_back(
    raw: bytes, blocks: int, short_by: int, trailer: bytes, macs: bytes, tags: list[VlanTag]
) -> None:
    header = replace(Header.decode(raw), version=1, length=max(0, blocks * BLOCK_SIZE - short_by))
    blocks = header.blocks
    capture = Capture(header, bytes(blocks * BLOCK_SIZE), trailer, macs[:6], macs[6:], tags if macs else [])
    data = capture.encode()
    found = Capture.decode(data)
    assert found.encode() == data
    assert Capture.from_json(json.loads(json.dumps(found.to_json()))).encode() == data


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=400))
def test_any_bytes_are_a_frame_or_an_error(data: bytes) -> None:
    from tether_hw.transport.protocol.explain import describe
    from tether_hw.transport.protocol.reject import Reject

    try:
        capture = Capture.decode(b"\x01" + data)
    except Reject as reject:
        assert 0 <= reject.position <= len(data) + 1
    else:
        assert capture.encode() == b"\x01" + data
        assert "It says:" in describe(capture)
