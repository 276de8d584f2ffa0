# SPDX-License-Identifier: Apache-2.0
"""`tether ddp`: every action on real files, its documents, its exit codes, its errors."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.support.e810_packages import PROFILE, package_of, signed_bytes
from tests.support.schema_check import mistakes
from tether_hw.cli.main import main
from tether_hw.fleet.schemas import json_schema
from tether_hw.plan.canonical import load

pytestmark = pytest.mark.unit
TETHER = "020202020202 020202020202 8100 0005 88b5" + "00" * 46


def document(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, Any]]:
    """Exit code and the one JSON document, which must be of its documented shape."""
    code = main(["ddp", *argv, "--json"])
    found = load(capsys.readouterr().out)
    assert mistakes(found, json_schema(found["schema"])) == []
    return code, found


@pytest.fixture
def package(tmp_path: Path) -> str:
    path = tmp_path / "tether.pkg"
    assert main(["ddp", "build", str(PROFILE), "-o", str(path)]) == 0
    return str(path)


def test_build_from_the_profile_is_what_it_was(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "a.pkg"
    code, found = document(capsys, "build", str(PROFILE), "-o", str(path))
    assert code == 0
    assert found["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.read_bytes() == package_of("tether").to_bytes()
    code, found = document(capsys, "build", str(PROFILE), "-o", str(path))
    assert (code, found["schema"]) == (1, "tether.error/1")
    assert main(["ddp", "build", str(PROFILE), "-o", str(path), "--force"]) == 0


def test_render_build_decompile_and_diff(capsys: pytest.CaptureFixture[str], tmp_path: Path, package: str) -> None:
    capsys.readouterr()
    assert main(["ddp", "render", str(PROFILE)]) == 0
    source = tmp_path / "tether.ddp"
    source.write_text(capsys.readouterr().out, encoding="utf-8")
    other = tmp_path / "other.pkg"
    assert main(["ddp", "build", str(source), "-o", str(other)]) == 0
    assert other.read_bytes() == Path(package).read_bytes()
    capsys.readouterr()
    assert main(["ddp", "decompile", package]) == 0
    source.write_text(capsys.readouterr().out, encoding="utf-8")
    assert main(["ddp", "build", str(source), "-o", str(other), "--force"]) == 0
    capsys.readouterr()
    assert document(capsys, "diff", package, str(other))[1]["differences"] == []


def test_diff_ends_in_two_when_they_differ(capsys: pytest.CaptureFixture[str], tmp_path: Path, package: str) -> None:
    plain = tmp_path / "plain.pkg"
    plain.write_bytes(package_of("plain").to_bytes())
    capsys.readouterr()
    code, found = document(capsys, "diff", str(plain), package)
    assert code == 2
    names = [item["name"] for item in found["differences"]]
    assert "ETHERNET: on 0x88b5 boost 2" in names and "TETHER" in names


def test_an_overlay_simulates_as_the_whole(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plain, over = tmp_path / "plain.pkg", tmp_path / "over.pkg"
    plain.write_bytes(package_of("plain").to_bytes())
    assert main(["ddp", "build", str(PROFILE), "--base", str(plain), "-o", str(over)]) == 0
    capsys.readouterr()
    _, found = document(capsys, "simulate", str(over), "--frame", TETHER)
    assert found["frames"][0]["ptype"] == 1000


def test_a_signed_base_is_refused_with_the_reason(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    signed, target = tmp_path / "signed.pkg", tmp_path / "x.pkg"
    signed.write_bytes(signed_bytes())
    code, found = document(capsys, "build", str(PROFILE), "--base", str(signed), "-o", str(target))
    assert code == 1 and "the package is signed" in found["message"]
    assert not target.exists()
    code, found = document(capsys, "info", str(signed))
    assert code == 0 and found["signed"]


def test_a_source_with_mistakes_makes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    source, target = tmp_path / "bad.ddp", tmp_path / "x.pkg"
    source.write_text('package "X" version 1.3.0.0 track 1\nnode A\n    on 5 -> B\nflag F = 99\n', encoding="utf-8")
    code, found = document(capsys, "build", str(source), "-o", str(target))
    assert code == 1 and not target.exists()
    assert [(item["line"], item["col"]) for item in found["problems"]] == [(1, 1), (3, 13), (4, 10)]


def test_a_source_may_begin_with_a_byte_order_mark(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = 'package "X" version 1.3.0.0 track 1\nstart node A program P\nprogram P\nnode A\n    otherwise -> stop\n'
    built = []
    for name, mark in (("without", b""), ("with", b"\xef\xbb\xbf")):
        (tmp_path / name).write_bytes(mark + text.encode())
        code, _ = document(capsys, "build", str(tmp_path / name), "-o", str(tmp_path / f"{name}.pkg"))
        assert code == 0
        built.append((tmp_path / f"{name}.pkg").read_bytes())
    assert built[0] == built[1]
    (tmp_path / "bad").write_bytes(b"\xef\xbb\xbf" + text.replace("package", "pakage").encode())
    code, found = document(capsys, "build", str(tmp_path / "bad"), "-o", str(tmp_path / "bad.pkg"))
    assert code == 1
    assert (found["problems"][0]["line"], found["problems"][0]["col"]) == (1, 1)


def test_simulate_explains_a_frame(capsys: pytest.CaptureFixture[str], package: str) -> None:
    capsys.readouterr()
    code, found = document(capsys, "simulate", package, "--frame", TETHER, "--trace")
    frame = found["frames"][0]
    assert code == 0 and frame["ptype_name"] == "TETHER"
    assert {item["name"]: item["offset"] for item in frame["protocols"]}["TETHER"] == 18
    assert [step["node"] for step in frame["trace"]] == ["ETHERNET", "TETHER"]
    assert main(["ddp", "simulate", package, "--frame", TETHER, "--trace"]) == 0
    assert "PTYPE 1000 TETHER" in capsys.readouterr().out
    _, svm = document(capsys, "simulate", package, "--vlan-mode", "svm", "--frame", TETHER.replace("8100", "88a8"))
    assert svm["frames"][0]["ptype"] == 1


def test_simulate_reads_captures(capsys: pytest.CaptureFixture[str], tmp_path: Path, package: str) -> None:
    capture = tmp_path / "a.pcap"
    frames = [bytes.fromhex(TETHER.replace(" ", "")), bytes(12) + b"\x08\x06" + bytes(46), b""]
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    capture.write_bytes(head + b"".join(struct.pack("<IIII", 1, 0, len(f), len(f)) + f for f in frames))
    capsys.readouterr()
    _, found = document(capsys, "simulate", package, "--pcap", str(capture))
    assert [frame["ptype"] for frame in found["frames"]][:2] == [1000, 11]
    for damaged, words in ((capture.read_bytes()[:-70], "byte"), (b"", "empty"), (b"nonsense", "neither pcap")):
        capture.write_bytes(damaged)
        code, error = document(capsys, "simulate", package, "--pcap", str(capture))
        assert code == 1 and words in error["message"], error


@pytest.mark.parametrize("frame", ["0g", "123", "00" * 65_536])
def test_frames_that_are_none_are_usage_errors(capsys: pytest.CaptureFixture[str], package: str, frame: str) -> None:
    capsys.readouterr()
    assert main(["ddp", "simulate", package, "--frame", frame]) == 64
    assert "--frame" in capsys.readouterr().err


def test_the_graph_is_a_picture_with_the_path_lit(tmp_path: Path, package: str) -> None:
    picture = tmp_path / "graph.svg"
    assert main(["ddp", "graph", package, "-o", str(picture), "--frame", TETHER]) == 0
    tree = ElementTree.parse(picture)
    space = "{http://www.w3.org/2000/svg}"
    lit = [item for item in tree.iter(f"{space}rect") if "lit" in item.get("class", "")]
    boxes = list(tree.iter(f"{space}rect"))
    assert (len(lit), len(boxes)) == (2, 16)
    assert len([item for item in tree.iter(f"{space}path") if item.get("class") == "edge lit"]) == 1
    assert main(["ddp", "graph", package, "-o", str(tmp_path / "graph.html"), "--frame", TETHER]) == 0
    page = (tmp_path / "graph.html").read_text(encoding="utf-8")
    assert "<td>ETHERNET</td>" in page and "TETHER at 18" in page
    assert main(["ddp", "graph", package, "-o", str(tmp_path / "graph.png")]) == 64


def test_check_ends_in_one_when_something_is_wrong(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, package: str
) -> None:
    capsys.readouterr()
    code, found = document(capsys, "check", package)
    assert code == 0 and [item["level"] for item in found["findings"]] == ["warning", "note"]
    source, target = tmp_path / "dead.ddp", tmp_path / "dead.pkg"
    lines = [
        'package "X" version 1.3.0.0 track 1',
        "start node A program P",
        "program P",
        "node A",
        "  on 5 -> B : P",
        "node B",
    ]
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert main(["ddp", "build", str(source), "-o", str(target)]) == 0
    capsys.readouterr()
    code, found = document(capsys, "check", str(target))
    assert code == 1 and found["findings"][0]["code"] == "dead-end"


def test_a_file_that_is_no_package_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "x.pkg"
    path.write_bytes(b"\x01\x00\x00\x00\xff\xff\xff\xff")
    for action in ("info", "check"):
        code, found = document(capsys, action, str(path))
        assert code == 1 and str(path) in found["message"] and "byte 0x4" in found["message"]
    assert document(capsys, "info", str(tmp_path / "none"))[0] == 1
