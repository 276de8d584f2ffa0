# SPDX-License-Identifier: Apache-2.0
"""The Wireshark dissector, by tshark: on captures that the reference made, against texts that stand in the tree."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import captures
from tether_hw.transport.protocol.capture import Capture
from tether_hw.transport.protocol.keys import AES_256_GCM, CHACHA20_POLY1305

ROOT = Path(__file__).resolve().parents[2]
DISSECTOR = ROOT / "tools" / "wireshark" / "tether.lua"
GOLDEN = Path(__file__).parent / "wireshark"
NAMES = {AES_256_GCM: "aes-256-gcm", CHACHA20_POLY1305: "chacha20-poly1305"}

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")


def tshark(script: Path, *words: str) -> str:
    """What tshark prints; errors of Lua are errors of the test."""
    command = ["tshark", "-X", f"lua_script:{script}", *words]
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "Lua" not in done.stderr, done.stderr
    assert "Lua Error" not in done.stdout, done.stdout
    return done.stdout


def dissect(folder: Path, packets: list[bytes], log: str | None, *words: str) -> str:
    """tshark on a capture of these packets."""
    (folder / "x.pcapng").write_bytes(captures.pcapng(packets))
    options = []
    if log is not None:
        (folder / "keys").write_text(log)
        options = ["-o", f"tether.keylog:{folder / 'keys'}"]
    return tshark(DISSECTOR, *options, "-r", str(folder / "x.pcapng"), *words)


def ours(text: str) -> str:
    """The part of the output that the dissector wrote: packet after packet."""
    found = re.findall(r"^(Tether.*?)(?:\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return "\n\n".join(part.rstrip() for part in found) + "\n"


def packaged(sent: list[captures.Sent]) -> dict[str, list[bytes]]:
    """The exchange in every way that a frame may travel."""
    return {
        "no VLAN": [captures.ethernet(one) for one in sent],
        "one VLAN": [captures.ethernet(one, (100,)) for one in sent],
        "two VLANs": [captures.ethernet(one, (100, 7)) for one in sent],
        "UDP over IPv4": [captures.udp(one) for one in sent],
        "UDP over IPv6": [captures.udp(one, 6) for one in sent],
    }


@pytest.mark.parametrize("cipher", list(NAMES))
@pytest.mark.parametrize("way", list(packaged([])))
def test_opened_with_a_key_log(tmp_path: Path, cipher: int, way: str) -> None:
    sent, log = captures.exchange(cipher)
    text = ours(dissect(tmp_path, packaged(sent)[way], log, "-V", "-O", "tether"))
    assert text == (GOLDEN / f"{NAMES[cipher]}.txt").read_text()


def test_sealed_without_one(tmp_path: Path) -> None:
    sent, _log = captures.exchange()
    text = ours(dissect(tmp_path, packaged(sent)["no VLAN"], None, "-V", "-O", "tether"))
    assert text == (GOLDEN / "sealed.txt").read_text()


def test_lines_of_the_list(tmp_path: Path) -> None:
    sent, log = captures.exchange()
    columns = 'gui.column.format:"I","%i"'
    text = dissect(tmp_path, packaged(sent)["UDP over IPv4"], log, "-o", columns)
    assert text == (GOLDEN / "list.txt").read_text()


def test_fields_can_be_filtered_and_read(tmp_path: Path) -> None:
    sent, log = captures.exchange()
    words = ["-T", "fields", "-Y", "tether.flags.BLOCKED == 1 or tether.NackCount > 0"]
    for field in ("sequence", "want.slots", "pace.slots_per_s", "NackSlot", "NackCount", "slot", "lane"):
        words += ["-e", f"tether.{field}"]
    lines = dissect(tmp_path, packaged(sent)["two VLANs"], log, *words).splitlines()
    assert lines == ["2\t0\t2998272\t22\t44\t0\t1", "5\t5000\t0\t0\t0\t88\t3"]
    opened = dissect(tmp_path, packaged(sent)["no VLAN"], log, "-T", "fields", "-Y", "tether.opened", "-e",
                     "tether.opened")  # fmt: skip
    assert opened.splitlines() == [one.payload.hex() for one in sent if one.name in ("data", "last", "next epoch")
                                   and one.payload]  # fmt: skip


def test_a_wrong_key_is_said(tmp_path: Path) -> None:
    sent, log = captures.exchange()
    wrong = re.sub(r"[0-9a-f]{64}", "00" * 32, log)
    text = dissect(tmp_path, packaged(sent)["no VLAN"], wrong, "-V", "-O", "tether")
    assert text.count("[Group: Decryption]") == len(sent) - 3
    assert "Sealed by" not in text


def test_udp_of_others_is_not_taken_unless_told_to(tmp_path: Path) -> None:
    sent, _log = captures.exchange()
    other = captures.Sent("", True, b"\x02" + sent[3].frame[1:], None)
    assert "Tether" not in dissect(tmp_path, [captures.udp(other)], None)
    text = dissect(tmp_path, [captures.udp(other)], None, "-d", "udp.port==7411,tether", "-V", "-O", "tether")
    assert "no version that this dissector knows" in text


def test_nothing_that_comes_breaks_it(tmp_path: Path) -> None:
    chance = random.Random(5)
    sent, log = captures.exchange()
    packets = []
    for _ in range(400):
        frame = bytearray(chance.choice(sent).frame)
        for _ in range(chance.randrange(4)):
            frame[chance.randrange(2, min(len(frame), 260))] = chance.randrange(256)
        cut = chance.choice((len(frame), len(frame), chance.randrange(len(frame))))
        packets.append(captures.ethernet(captures.Sent("", True, bytes(frame[:cut]), None)))
    text = dissect(tmp_path, packets, log, "-V", "-O", "tether")
    assert text.count("\nTether") == 400
    assert "disagree" in text


def test_warm_lamps_have_their_names(tmp_path: Path) -> None:
    from tether_hw.transport.protocol.explain import describe
    from tether_hw.transport.protocol.header import LAMP, Header

    lamp = Header(flags=LAMP, length=30, channel=0x501, sequence=9, GrantAmount=2).encode() + bytes(range(64))
    answer = Header(flags=LAMP, length=16, channel=0x701, sequence=9).encode() + bytes(64)
    sent = [captures.Sent("", True, frame, None) for frame in (lamp, answer)]
    text = dissect(tmp_path, [captures.udp(one) for one in sent], None, "-V", "-O", "tether")
    assert "Tether, Warm Lamp, counter 9, to 0x00000501" in text
    assert "Tether, Warm answer, counter 9, to 0x00000701" in text
    assert f"Salt: {bytes(range(16)).hex()}" in text and "Group: " not in text
    assert "a warm Lamp: early data" in describe(Capture.decode(lamp))
    assert "the answer to a warm Lamp" in describe(Capture.decode(answer))


def test_damaged_tags_are_said(tmp_path: Path) -> None:
    """Tags that a peer sealed and that do not parse: every cut of them."""
    from tether_hw.transport.protocol.frame import seal
    from tether_hw.transport.protocol.header import Header
    from tether_hw.transport.protocol.keylog import parse

    sent, log = captures.exchange()
    whole = next(one.payload for one in sent if one.name == "tags") or b""
    key = parse(log).secrets[captures.B_INDEX][0].key(0) or b""
    packets = []
    for length in range(1, len(whole)):
        header = Header(channel=captures.B_INDEX, sequence=1000 + length)
        packets.append(captures.ethernet(captures.Sent("", True, seal(header, whole[:length], key, AES_256_GCM), None)))
    text = ours(dissect(tmp_path, packets, log, "-V", "-O", "tether"))
    parts = text.split("\n\n")
    assert len(parts) == len(packets)
    # a cut between two tags leaves whole ones
    assert sum("tags that do not parse" in part for part in parts) >= len(packets) - 3


def test_its_cryptography_against_the_vectors(tmp_path: Path) -> None:
    cases = json.loads((ROOT / "tests/protocol/vectors/frames.json").read_text())["cases"]
    lines = [
        f'local M = dofile("{ROOT}/tools/wireshark/tether_crypto.lua")',
        'local function b(s) return (s:gsub("..", function(c) return string.char(tonumber(c, 16)) end)) end',
        'local function h(s) return s and (s:gsub(".", function(c) return string.format("%02x", c:byte()) end)) end',
        "local open = { M.chacha20_poly1305_open, M.aes256_gcm_open }",
        "local function t(cipher, key, seq, frame)",
        '  local f, n = b(frame), "\\0\\0\\0\\0" .. b(seq)',
        "  local aad, tag, text = f:sub(1, 48), f:sub(49, 64), f:sub(65)",
        '  print("R", h(open[cipher](b(key), n, aad, text, tag)))',
        "  local wrong = string.char((tag:byte() + 1) % 256) .. tag:sub(2)",
        '  print("F", open[cipher](b(key), n, aad, text, wrong))',
        "end",
        'print("B", h(M.blake2s(b("' + bytes(range(32)).hex() + '"), b("' + bytes(range(200)).hex() + '"))))',
        'print("B", h(M.blake2s("", "abc")))',
    ]
    for case in cases:
        sequence = int(case["sequence"]).to_bytes(8, "little").hex()
        lines.append(f't({case["cipher"]}, "{case["frame_key"]}", "{sequence}", "{case["frame"]}")')
    script = tmp_path / "check.lua"
    script.write_text("\n".join(lines))
    (tmp_path / "x.pcap").write_bytes(captures.pcap([bytes(60)]))
    printed = [line.split("\t") for line in tshark(script, "-r", str(tmp_path / "x.pcap")).splitlines()]
    opened = [line[1] for line in printed if line[0] == "R"]
    assert len(cases) > 50 and opened == [case["plain"] for case in cases]
    assert [line[1] for line in printed if line[0] == "F"] == ["nil"] * len(cases)
    assert [line[1] for line in printed if line[0] == "B"] == [
        "13c88480a5d00d6c8c7ad2110d76a82d9b70f4fa6696d4e5dd42a066dcaf9920",
        # RFC 7693, appendix B
        "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982",
    ]
