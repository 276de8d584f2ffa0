# SPDX-License-Identifier: Apache-2.0
"""`tether frame decode` on captures: every packaging, opened with a key log, and what it says of damaged files."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import captures
from tests.support.schema_check import mistakes
from tether_hw.cli.main import main
from tether_hw.fleet.schemas import DOCUMENTS
from tether_hw.transport.protocol import keylog
from tether_hw.transport.protocol.capture import Capture
from tether_hw.transport.protocol.keys import AES_256_GCM, CHACHA20_POLY1305

if TYPE_CHECKING:
    from pathlib import Path

SENT, LOG = captures.exchange()
ARP = bytes.fromhex("ffffffffffff0274000000010806") + bytes(28)


def decode(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["frame", "decode", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def document(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code, out, err = decode(capsys, *words, "--json")
    assert code == 0, err
    parsed: dict[str, Any] = json.loads(out)
    assert mistakes(parsed, DOCUMENTS[parsed["schema"]]) == []
    return parsed


def packagings() -> dict[str, bytes]:
    plain = [captures.ethernet(one) for one in SENT]
    v4 = [captures.udp(one) for one in SENT]
    v6 = [captures.udp(one, 6) for one in SENT]
    return {
        "ethernet": captures.pcap([ARP, *plain]),
        "one VLAN": captures.pcap([ARP, *(captures.ethernet(one, (100,)) for one in SENT)], nanoseconds=True),
        "two VLANs": captures.pcapng([ARP, *(captures.ethernet(one, (100, 7)) for one in SENT)]),
        "big-endian": captures.pcap([ARP, *v4], order=">"),
        "big-endian pcapng": captures.pcapng([ARP, *v6], order=">"),
        "raw IPv4": captures.pcap([b"\0" * 30, *(one[14:] for one in v4)], link_type=101),
        "raw IPv6": captures.pcap([b"\0" * 30, *(one[14:] for one in v6)], link_type=229),
        "loopback": captures.pcap([b"\0" * 30, *(struct.pack("<I", 2) + one[14:] for one in v4)], link_type=0),
        "cooked": captures.pcap([b"\0" * 30, *(bytes(12) + b"\0\0" + one[12:] for one in v4)], link_type=113),
        "cooked v2": captures.pcap([b"\0" * 30, *(one[12:14] + bytes(18) + one[14:] for one in v4)], link_type=276),
    }


@pytest.mark.parametrize("name", list(packagings()))
def test_every_packaging(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    file = tmp_path / "x.pcap"
    file.write_bytes(packagings()[name])
    (tmp_path / "keys").write_text(LOG)
    found = document(capsys, str(file), "--keylog", str(tmp_path / "keys"))
    assert found["packets"] == 1 + len(SENT)
    assert [frame["number"] for frame in found["frames"]] == list(range(2, 2 + len(SENT)))
    assert found["frames"][0]["time_ns"] == captures.BEGIN_NS + 10**6
    for frame, sent in zip(found["frames"], SENT, strict=True):
        expected = Capture.decode(sent.frame).to_json()
        assert {key: frame["frame"][key] for key in expected if key != "ethernet"} == {
            key: value for key, value in expected.items() if key != "ethernet"
        }
        if sent.payload is None:
            assert "opened" not in frame["frame"]
        else:
            sealer = "initiator" if sent.by_initiator else "responder"
            assert frame["frame"]["opened"] == {"sealer": sealer, "payload": sent.payload.hex()}


@pytest.mark.parametrize("cipher", [AES_256_GCM, CHACHA20_POLY1305])
def test_a_hex_frame_is_opened_too(capsys: pytest.CaptureFixture[str], tmp_path: Path, cipher: int) -> None:
    sent, log = captures.exchange(cipher)
    (tmp_path / "keys").write_text(log)
    tags = next(one for one in sent if one.name == "tags")
    code, out, _err = decode(capsys, tags.frame.hex(), "--keylog", str(tmp_path / "keys"))
    assert code == 0
    for words in ("opened: the initiator sealed it", "MANIFEST floor 22", "lane 2 at UDP [2001:db8::7]:7411",
                  "lane 0 at 02:74:00:00:0b:03", "DEFINE flow 2, kind 1 (messages)", "tag 0xf3"):  # fmt: skip
        assert words in out
    data = next(one for one in sent if one.name == "data")
    assert "000040  40 41 42 43" in decode(capsys, data.frame.hex(), "--keylog", str(tmp_path / "keys"))[1]
    assert "sealed" in decode(capsys, data.frame.hex())[1]
    assert document(capsys, data.frame.hex(), "--keylog", str(tmp_path / "keys"))["opened"]["payload"]


def test_words_for_people(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "x.pcap"
    file.write_bytes(packagings()["big-endian"])
    code, out, _err = decode(capsys, str(file))
    assert code == 0
    for words in ("a Hail, counter 77", "the reply to a Hail", "UDP 192.0.2.1:40001 -> 192.0.2.7:7411",
                  "NACK [22, +44)", "BLOCKED", "want 5000", "a cookie instead of a reply",
                  "11 Tether frames in 12 packets (Ethernet)"):  # fmt: skip
        assert words in out
    assert "please repair slots 22 to 66" in decode(capsys, str(file), "--number", "9")[1]
    assert "packet 1 of" in decode(capsys, str(file), "--number", "1")[2]


def test_a_wrong_key_opens_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wrong = LOG.replace("TETHER 0b200003 initiator AES-256-GCM ", "TETHER 0b200003 initiator AES-256-GCM 00")
    lines = [line[:-2] if " 00" in line else line for line in wrong.splitlines()]
    log = keylog.parse("\n".join(lines))
    opened = [log.open(one.frame) is not None for one in SENT]
    assert opened == [one.payload is not None and not one.by_initiator for one in SENT]


def test_a_far_epoch_costs_no_time() -> None:
    log = keylog.parse(LOG)
    frame = bytearray(next(one.frame for one in SENT if one.name == "data"))
    frame[8:14] = b"\xff" * 6
    assert log.open(bytes(frame)) is None
    assert len(log.secrets[captures.B_INDEX][0].chains) == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("TETHER 0b200003 initiator AES-256-GCM 00", "keys:1:1: is not TETHER <channel>"),
        ("# fine\nTETHER 0b200003 both AES-256-GCM " + "0" * 64, "keys:2:1: 'both' is neither"),
        ("TETHER 0b200003 initiator ROT13 " + "0" * 64, "keys:1:1: 'ROT13' is none of"),
        ("CLIENT_RANDOM x y", "keys:1:1: is not TETHER"),
    ],
)
def test_bad_key_logs(capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str, words: str) -> None:
    file = tmp_path / "keys"
    file.write_text(line)
    code, _out, err = decode(capsys, "00", "--keylog", str(file))
    assert code == 1 and words in err


@pytest.mark.parametrize("name", ["big-endian", "two VLANs"])
def test_every_cut_is_an_error_with_its_place(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    whole = packagings()[name]
    file = tmp_path / "x.pcap"
    step = 97
    for length in (0, 3, 10, 23, 25, *range(30, len(whole) - 1, step)):
        file.write_bytes(whole[:length])
        code, _out, err = decode(capsys, str(file))
        if code:
            assert code == 1 and f"{file}: byte" in err, (length, err)
        else:
            assert length > 23
    file.write_bytes(whole[:-1])
    code, out, err = decode(capsys, str(file))
    assert code == 1 and "byte" in err and "a Hail" in out  # what stands before the damage is shown


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: b"GIF8" + data[4:], "byte 0: neither pcap nor pcapng"),
        (lambda data: data[:32] + b"\xff\xff\xff\x7f" + data[36:], "byte 32: a packet of 2147483647 bytes"),
    ],
)
def test_damaged_files(capsys: pytest.CaptureFixture[str], tmp_path: Path, change: Any, words: str) -> None:
    file = tmp_path / "x.pcap"
    file.write_bytes(change(packagings()["ethernet"]))
    code, _out, err = decode(capsys, str(file))
    assert code == 1 and words in err


def test_udp_of_others_is_left_out_unless_its_port_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    other = captures.Sent("dns", True, b"\x02" + bytes(99), None)
    file = tmp_path / "x.pcap"
    file.write_bytes(captures.pcap([captures.udp(other, ports=(53, 99)), captures.udp(SENT[2])]))
    assert [frame["number"] for frame in document(capsys, str(file))["frames"]] == [2]
    frames = document(capsys, str(file), "--udp-port", "99")["frames"]
    assert [frame["problem"] is None for frame in frames] == [False, True]
    assert "version" in frames[0]["problem"]


def test_usage(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert decode(capsys, SENT[1].frame.hex(), "--number", "1")[0] == 64
    code, _out, err = decode(capsys, str(tmp_path / "none.pcap"))
    assert code == 1 and "No such file" in err


def test_a_directory_is_no_capture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "captures").mkdir()
    for word in (str(tmp_path), "captures", "./captures"):
        code, _, err = decode(capsys, word)
        assert code == 1
        assert f"{word}: is a directory" in err
        assert "hint: name one capture in it" in err


def test_long_words_are_no_names_of_files(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = decode(capsys, "0z" * 5000)
    assert code == 1 and "HEX:1:2" in err
