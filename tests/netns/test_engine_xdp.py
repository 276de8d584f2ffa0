# SPDX-License-Identifier: Apache-2.0
"""Engine daemons over AF_XDP on a multi-queue veth pair: files, faults, frames that must be refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines import Node, finish, introduce, random_file, running
from tests.support.wires import LINK, Tap, Wire, ethernet, wired

MIB = 1 << 20


@pytest.fixture
def wire() -> Iterator[Wire]:
    with wired("xdp") as made:
        yield made


def nodes(wire: Wire, folder: Path, carrier: str = "af_xdp", count: int | None = None) -> tuple[Node, Node]:
    a, b = (Node(folder, side, wire.lanes(side, carrier, count), LINK, wire.prefix(side)) for side in "ab")
    return a, b


def up(a: Node, b: Node, channels: int = 2) -> None:
    a.wait_up("b", channels=channels)
    b.wait_up("a", channels=channels)


def grown(part: Path, least: int) -> None:
    deadline = time.monotonic() + 30
    while not part.exists() or part.stat().st_blocks * 512 < least:
        assert time.monotonic() < deadline, "the part file does not grow"
        time.sleep(0.002)


def test_a_file_over_two_queues(wire: Wire, tmp_path: Path) -> None:
    a, b = nodes(wire, tmp_path)
    introduce(a, b)
    source, target = random_file(tmp_path / "source", 64 * MIB), tmp_path / "target"
    with running(a, b):
        up(a, b)
        before = [sum(node.rejects().values()) for node in (a, b)]  # Hails that crossed are refused by one side
        assert [lane["carrier"] for lane in b.stats()["lanes"]] == ["af_xdp", "af_xdp"]
        assert [lane["native_xdp"] for lane in b.stats()["lanes"]] == [True, True]
        receiving = b.begin("recv", "--to", str(target), "--json")
        transfer = a.document("send", str(source), "b")["transfers"][0]
        assert finish(receiving)[0] == 0
        assert target.read_bytes() == source.read_bytes()
        assert transfer["stripes"] == 2
        assert transfer["goodput_bps"] > 0
        slots = [lane["slots_received"] for lane in b.stats()["lanes"]]
        assert min(slots) > sum(slots) / 10
        for node in (a, b):
            for lane in node.stats()["lanes"]:
                assert (lane["overruns"], lane["misdirected"], lane["invariant_violations"]) == (0, 0, 0)
        assert [sum(node.rejects().values()) for node in (a, b)] == before
        ping = a.document("ping", "b", "-c", "20")
        assert (ping["lost"], len(ping["lanes"])) == (0, 2)


def test_the_xdp_program_goes_with_the_engine(wire: Wire, tmp_path: Path) -> None:
    a, b = nodes(wire, tmp_path)
    introduce(a, b)

    def attached() -> bool:
        shown = subprocess.run(
            ["ip", "-n", wire.names["b"], "link", "show", "data0"], capture_output=True, text=True, check=True
        )
        return "prog/xdp" in shown.stdout

    assert not attached()
    with running(a, b):
        up(a, b)
        assert attached()
        b.kill()
        deadline = time.monotonic() + 5  # the kernel takes the link down after the process has gone
        while attached():
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("victim", ["a", "b"])
def test_sigkill_and_resume(wire: Wire, tmp_path: Path, victim: str) -> None:
    a, b = nodes(wire, tmp_path)
    introduce(a, b)
    source, target = random_file(tmp_path / "source", 400 * MIB), tmp_path / "target"
    with running(a, b):
        up(a, b)
        receiving, sending = b.begin("recv", "--to", str(target)), a.begin("send", str(source), "b")
        grown(tmp_path / ".target.tether-part", 100 * MIB)
        killed = a if victim == "a" else b
        killed.kill()
        killed.start()
        assert finish(sending)[0] == 1
        assert finish(receiving)[0] == 1
        assert not target.exists()
        up(a, b)
        receiving = b.begin("recv", "--to", str(target))
        transfer = a.document("send", str(source), "b")["transfers"][0]
        assert finish(receiving)[0] == 0
        assert transfer["resumed_bytes"] > 0
        assert target.read_bytes() == source.read_bytes()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tether-test", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def remount(folder: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)


def test_a_disk_without_room_is_refused_before_anything_is_sent(wire: Wire, tmp_path: Path, small_disk: Path) -> None:
    a, b = nodes(wire, tmp_path)
    introduce(a, b)
    source = random_file(tmp_path / "source", 40 * MIB)
    with running(a, b):
        up(a, b)
        receiving = b.begin("recv", "--into", str(small_disk), "--once", "--json")
        code, out, err = finish(a.begin("send", str(source), "b", "--json"))
        assert (code, json.loads(out)["reason"]) == (1, "disk-full")
        assert "bytes free" in err
        assert "make room" in err
        code, out, _ = finish(receiving)
        assert (code, json.loads(out)["reason"]) == (1, "disk-full")


def test_a_disk_that_fills_up_is_an_error_on_both_sides_and_resumes(
    wire: Wire, tmp_path: Path, small_disk: Path
) -> None:
    a, b = nodes(wire, tmp_path)
    introduce(a, b)
    remount(small_disk, 900 * MIB)
    source = random_file(tmp_path / "source", 700 * MIB)
    with running(a, b):
        up(a, b)
        receiving = b.begin("recv", "--into", str(small_disk), "--once", "--json")
        sending = a.begin("send", str(source), "b", "--json")
        grown(small_disk / ".source.tether-part", 80 * MIB)
        used = os.statvfs(small_disk)
        remount(small_disk, (used.f_blocks - used.f_bfree) * used.f_frsize + 32 * MIB)
        code, out, err = finish(sending)
        assert (code, json.loads(out)["reason"]) == (1, "disk-full"), err
        code, out, err = finish(receiving)
        assert (code, json.loads(out)["reason"]) == (1, "disk-full"), err
        assert "it goes on where it stopped" in err
        remount(small_disk, 900 * MIB)
        receiving = b.begin("recv", "--into", str(small_disk), "--once")
        transfer = a.document("send", str(source), "b")["transfers"][0]
        assert finish(receiving)[0] == 0
        assert transfer["resumed_bytes"] >= 64 * MIB
        assert (small_disk / "source").read_bytes() == source.read_bytes()


def test_a_roster_reload_during_a_transfer(wire: Wire, tmp_path: Path) -> None:
    a, b = nodes(wire, tmp_path)
    introduce(a, b)
    c = Node(tmp_path, "c", wire.lanes("c"), LINK)
    source, target = random_file(tmp_path / "source", 300 * MIB), tmp_path / "target"
    with running(a, b):
        up(a, b)
        receiving, sending = b.begin("recv", "--to", str(target)), a.begin("send", str(source), "b")
        grown(tmp_path / ".target.tether-part", 10 * MIB)
        for node in (a, b):
            node.allow(c)
            assert "c" in node.document("reload")["peers"]
        assert sending.poll() is None, "the transfer was over before the reload"
        assert finish(sending)[0] == 0
        assert finish(receiving)[0] == 0
        assert target.read_bytes() == source.read_bytes()
        assert all(peer["state"] == "up" for peer in a.stats()["peers"] if peer["name"] == "b")


def test_frames_that_are_refused(wire: Wire, tmp_path: Path) -> None:
    """Forged, replayed, truncated and strange frames are counted by reason, change nothing and get no answer."""
    a, b = nodes(wire, tmp_path, "af_packet", 1)
    introduce(a, b)
    with running(a, b), wire.raw("a") as injector, wire.raw("a") as ear:
        up(a, b, 1)
        tap = Tap(ear)
        assert a.document("ping", "b", "-c", "5")["lost"] == 0
        time.sleep(0.3)
        seen = tap.close()
        own, peer = a.hail, b.hail
        theirs = bytes.fromhex(str(peer.mac).replace(":", ""))
        data = [frame for frame in seen if frame[:6] == theirs and len(frame) > 14 + 64]
        assert data, "no frame of a's was seen on its device"
        frame = data[-1][14:]
        later = bytearray(frame)
        later[8:14] = (int.from_bytes(frame[8:14], "little") + 10_000).to_bytes(6, "little")
        torn = bytearray(frame)
        torn[80] ^= 1
        torn[8:14] = (int.from_bytes(frame[8:14], "little") + 20_000).to_bytes(6, "little")
        stranger = bytearray(frame)
        stranger[4:8] = b"\0\1\2\3"
        stranger[4] = frame[4]
        hail = bytes([1, 1, 180, 0]) + bytes(60) + os.urandom(256)
        cases = {
            "replay": frame,
            "auth": bytes(later),
            "short": frame[:40],
            "version": b"\2" + frame[1:],
            "length": frame + bytes(64),
            "stranger": bytes(stranger),
            "mac1": hail,
        }
        before, sent = b.rejects(), frames_sent(b)
        peers = [(entry["name"], entry["state"], entry["frames_received"]) for entry in b.stats()["peers"]]
        injector.send(ethernet(peer, own, bytes(torn)))
        for one in cases.values():
            injector.send(ethernet(peer, own, one))
        deadline = time.monotonic() + 5
        wanted = {reason: before.get(reason, 0) + 1 for reason in cases}
        wanted["auth"] += 1
        while any(b.rejects()[reason] < count for reason, count in wanted.items()):
            assert time.monotonic() < deadline, (b.rejects(), wanted)
            time.sleep(0.05)
        assert {reason: b.rejects()[reason] for reason in wanted} == wanted
        assert frames_sent(b) == sent
        assert [(entry["name"], entry["state"], entry["frames_received"]) for entry in b.stats()["peers"]] == peers
        assert a.document("ping", "b", "-c", "5")["lost"] == 0


def frames_sent(node: Node) -> int:
    """Frames that a node has sent, once it is quiet."""
    last = -1
    while True:
        now: int = sum(lane["frames_sent"] for lane in node.stats()["lanes"])
        if now == last:
            return now
        last = now
        time.sleep(0.3)


def test_a_peer_that_is_not_in_the_roster(wire: Wire, tmp_path: Path) -> None:
    a, b = nodes(wire, tmp_path)
    a.allow(b)
    with running(a, b):
        deadline = time.monotonic() + 10
        while b.rejects()["stranger"] < 2:
            assert time.monotonic() < deadline, b.rejects()
            time.sleep(0.1)
        assert frames_sent(b) == 0
        assert b.stats()["peers"] == []
        assert sum(lane["channels"] for lane in b.stats()["lanes"]) == 0


def test_sigterm_during_a_transfer(wire: Wire, tmp_path: Path) -> None:
    a, b = nodes(wire, tmp_path)
    introduce(a, b)
    source, target = random_file(tmp_path / "source", 400 * MIB), tmp_path / "target"
    with running(a, b):
        up(a, b)
        receiving, sending = b.begin("recv", "--to", str(target), "--json"), a.begin("send", str(source), "b", "--json")
        grown(tmp_path / ".target.tether-part", 10 * MIB)
        assert b.process is not None
        b.process.send_signal(signal.SIGTERM)
        assert b.process.wait(20) == 0
        code, out, _ = finish(sending)
        assert (code, json.loads(out)["reason"]) == (1, "stopped")
        assert finish(receiving)[0] == 1
