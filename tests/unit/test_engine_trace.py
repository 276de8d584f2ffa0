# SPDX-License-Identifier: Apache-2.0
"""`tether-engine serve --trace --keylog`: what two live engines write about one message, and when they refuse to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.engines import Node, introduce, running, udp_lanes
from tether_hw.trace.events import read
from tether_hw.trace.flows import directions
from tether_hw.trace.picture import Choice, draw
from tether_hw.transport.config import Link

LINK = Link(rtt_ns=100_000)
KEY_LINE = r"TETHER [0-9a-f]{8} (initiator|responder) (AES-256-GCM|ChaCha20-Poly1305) [0-9a-f]{64}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two engines ran, pinged each other and stopped; their files are here."""
    folder = tmp_path_factory.mktemp("t")
    a, b = (Node(folder, name, udp_lanes(1), LINK) for name in "ab")
    introduce(a, b)
    for node in (a, b):
        node.options = ("--trace", str(folder / f"{node.name}.jsonl"), "--keylog", str(folder / f"{node.name}.keys"))
    with running(a, b):
        a.wait_up("b")
        a.document("ping", "b", "--count", "5")
    assert "gets the secrets of every channel" in a.log.read_text()
    return folder


def test_both_ends_tell_the_same_story(folder: Path) -> None:
    trace = read([(name, (folder / f"{name}.jsonl").read_text().splitlines()) for name in "ab"])
    assert not trace.dropped
    assert [event.node for event in trace.events if event.kind == "up"] != []
    pings = [one for one in directions(trace) if one.flow]
    assert {(one.sender and one.sender[0], one.receiver and one.receiver[0]) for one in pings} == {
        ("a", "b"),
        ("b", "a"),
    }
    for one in pings:
        assert one.data_frames >= 5 and one.lost() == []
        sent = {(event.sequence, event.slot, event.bytes) for event in one.at_sender if event.kind == "sent"}
        arrived = {(event.sequence, event.slot, event.bytes) for event in one.at_receiver if event.kind == "received"}
        assert sent <= arrived
    assert draw(trace, "ping", Choice(control=True)).count('class="panel"') == len(directions(trace))


def test_both_ends_log_the_same_keys(folder: Path) -> None:
    logs = [sorted((folder / f"{name}.keys").read_text().splitlines()) for name in "ab"]
    assert len(logs[0]) >= 2 and all(re.fullmatch(KEY_LINE, line) for line in logs[0] + logs[1])
    assert set(logs[0]) & set(logs[1])  # crossing Hails may leave a pair that only one end ever used


def test_files_are_for_their_owner_only(folder: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in (*folder.glob("*.jsonl"), *folder.glob("*.keys"))} == {0o600}


@pytest.mark.parametrize("option", ["--trace", "--keylog"])
@pytest.mark.parametrize("way", ["file", "link"])
def test_nothing_is_written_over(tmp_path: Path, option: str, way: str) -> None:
    node = Node(tmp_path, "a", udp_lanes(1), LINK)
    taken = tmp_path / "taken"
    taken.write_text("mine")
    target = taken
    if way == "link":
        target = tmp_path / "link"
        target.symlink_to(taken)
    node.options = (option, str(target))
    with pytest.raises(AssertionError, match="exists; it is never written over"):
        node.start()
    assert taken.read_text() == "mine"
    assert node.process is not None and node.process.wait(10) == 1


def test_without_the_options_nothing_is_written(tmp_path: Path) -> None:
    node = Node(tmp_path, "a", udp_lanes(1), LINK)
    before = {path.name for path in node.folder.rglob("*")}
    with running(node):
        assert "secrets" not in node.log.read_text()
    assert {path.name for path in node.folder.rglob("*")} - before <= {"hail.counter", "hail.counter.lock", "log", "s"}
