# SPDX-License-Identifier: Apache-2.0
"""Two engine daemons over UDP on loopback, used as people use them: by `tether-engine`'s sub-verbs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines import (
    COMMAND,
    ROOT,
    Node,
    finish,
    free_port,
    introduce,
    random_file,
    running,
    udp_lanes,
)
from tests.support.schema_check import mistakes
from tether_hw.fleet.schemas import DOCUMENTS
from tether_hw.transport import control
from tether_hw.transport.config import Link
from tether_hw.transport.errors import ControlError

LINK = Link(rtt_ns=100_000)
MIB = 1 << 20


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    folder = tmp_path_factory.mktemp("d")
    metrics = f"127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    a = Node(folder, "a", udp_lanes(2), LINK, metrics=metrics)
    b = Node(folder, "b", udp_lanes(2), LINK)
    introduce(a, b)
    with running(a, b):
        a.wait_up("b", channels=2)
        b.wait_up("a", channels=2)
        yield a, b


def sent(a: Node, source: Path, name: str = "") -> subprocess.Popen[str]:
    return a.begin("send", str(source), f"b:{name}" if name else "b", "--json")


def test_every_lane_has_one_channel(pair: tuple[Node, Node]) -> None:
    for node in pair:
        peers = node.stats()["peers"]
        assert sorted((peer["lane"], peer["remote_lane"]) for peer in peers) == [(0, 0), (1, 1)]
        assert {peer["state"] for peer in peers} == {"up"}


def test_ping(pair: tuple[Node, Node]) -> None:
    document = pair[0].document("ping", "b", "-c", "5", "--bytes", "3000")
    assert document["schema"] == "tether.engine.ping/1"
    assert (document["from"], document["peer"], document["sent"], document["lost"]) == ("a", "b", 10, 0)
    for lane in document["lanes"]:
        assert 0 < lane["rtt_min_ns"] <= lane["rtt_p50_ns"] <= lane["rtt_p99_ns"] <= lane["rtt_max_ns"]
    one = pair[1].document("ping", "a", "-c", "2", "--lane", "1")
    assert [lane["lane"] for lane in one["lanes"]] == [1]


def test_an_unknown_peer_is_named(pair: tuple[Node, Node]) -> None:
    done = pair[0].run("ping", "nobody", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["reason"] == "unknown-peer"
    assert "there is b" in done.stderr


def test_stats_have_what_is_promised(pair: tuple[Node, Node]) -> None:
    document = pair[0].stats()
    assert document["schema"] == "tether.engine.stats/1"
    for lane in document["lanes"]:
        for name in (
            "lane", "nic", "queue", "carrier", "zero_copy", "frames_sent", "frames_received", "slots_sent",
            "slots_received", "grants_outstanding", "standing", "repairs", "receipts", "lamps", "misdirected",
            "overruns",
        ):  # fmt: skip
            assert name in lane
        assert lane["carrier"] == "udp"
        assert {"stranger", "mac1", "auth", "replay", "short"} <= set(lane["rejects"])
    for peer in document["peers"]:
        assert {"name", "lane", "state", "rtt_p50_ns", "rtt_p99_ns"} <= set(peer)
    text = pair[0].run("stats").stdout
    assert "misdir" in text
    assert "rtt p50" in text


def test_prometheus_endpoint(pair: tuple[Node, Node]) -> None:
    listen = pair[0].config.metrics_listen
    with urllib.request.urlopen(f"http://{listen}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        lines = answer.read().decode().splitlines()
    samples = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}
    kinds = dict(line.split()[2:] for line in lines if line.startswith("# TYPE"))
    assert kinds["tether_lane_frames_sent_total"] == "counter"
    assert kinds["tether_lane_grants_outstanding"] == "gauge"
    assert sum(value for name, value in samples.items() if name.startswith("tether_lane_frames_sent_total")) > 0
    assert any('reason="replay"' in name for name in samples)
    assert sum(value for name, value in samples.items() if name.startswith("tether_channel_up")) == 2
    assert len({line.split()[2] for line in lines if line.startswith("# TYPE")}) == len(kinds)
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"http://{listen}/other", timeout=10)


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 30 * MIB + 17])
def test_a_file_arrives(pair: tuple[Node, Node], tmp_path: Path, size: int) -> None:
    a, b = pair
    source = random_file(tmp_path / "source", size)
    source.chmod(0o640)
    target = tmp_path / "target"
    receiving = b.begin("recv", "--to", str(target), "--from", "a", "--json")
    sending = sent(a, source)
    code, out, err = finish(sending)
    assert code == 0, err
    assert finish(receiving)[0] == 0
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o640 & ~_umask()
    document = json.loads(out)
    assert document["schema"] == "tether.engine.transfer/1"
    transfer = document["transfers"][0]
    assert (transfer["size"], transfer["sent_bytes"], transfer["resumed_bytes"]) == (size, size, 0)
    assert transfer["path"] == str(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_both_lanes_carry_a_file(pair: tuple[Node, Node], tmp_path: Path) -> None:
    a, b = pair
    before = [lane["slots_received"] for lane in b.stats()["lanes"]]
    source = random_file(tmp_path / "source", 16 * MIB)
    receiving = b.begin("recv", "--to", str(tmp_path / "target"))
    assert finish(sent(a, source))[0] == 0
    assert finish(receiving)[0] == 0
    moved = [lane["slots_received"] - then for lane, then in zip(b.stats()["lanes"], before)]
    assert min(moved) > sum(moved) / 10
    assert [lane["overruns"] for lane in b.stats()["lanes"]] == [0, 0]


def test_names_folders_and_overwriting(pair: tuple[Node, Node], tmp_path: Path) -> None:
    a, b = pair
    source = random_file(tmp_path / "source", 1000)
    into = tmp_path / "into"
    into.mkdir()
    receiving = b.begin("recv", "--into", str(into), "--once")
    assert finish(sent(a, source, "given"))[0] == 0
    assert finish(receiving)[0] == 0
    assert (into / "given").read_bytes() == source.read_bytes()
    (into / "given").write_text("precious")
    receiving = b.begin("recv", "--into", str(into), "--once", "--json")
    code, out, err = finish(sent(a, source, "given"))
    assert code == 1
    assert json.loads(out)["reason"] == "exists"
    assert "--overwrite" in err
    code, out, _ = finish(receiving)
    assert (code, json.loads(out)["reason"]) == (1, "exists")
    assert mistakes(json.loads(out), DOCUMENTS["tether.error/1"]) == []
    assert (into / "given").read_text() == "precious"
    receiving = b.begin("recv", "--into", str(into), "--once", "--overwrite")
    assert finish(sent(a, source, "given"))[0] == 0
    assert finish(receiving)[0] == 0
    assert (into / "given").read_bytes() == source.read_bytes()


def test_offers_go_to_whom_they_fit(pair: tuple[Node, Node], tmp_path: Path) -> None:
    a, b = pair
    one, two = random_file(tmp_path / "one", 2000), random_file(tmp_path / "two", 3000)
    first = b.begin("recv", "--to", str(tmp_path / "first"), "--name", "one")
    second = b.begin("recv", "--to", str(tmp_path / "second"), "--name", "two")
    assert finish(sent(a, two))[0] == 0
    assert finish(sent(a, one))[0] == 0
    assert finish(first)[0] == finish(second)[0] == 0
    assert (tmp_path / "first").read_bytes() == one.read_bytes()
    assert (tmp_path / "second").read_bytes() == two.read_bytes()


def test_one_receiver_takes_many_files_at_once(pair: tuple[Node, Node], tmp_path: Path) -> None:
    a, b = pair
    into = tmp_path / "into"
    into.mkdir()
    receiving = b.begin("recv", "--into", str(into), "--json")
    sources = [random_file(tmp_path / f"f{index}", 3 * MIB + index) for index in range(4)]
    for sending in [sent(a, source) for source in sources]:
        assert finish(sending)[0] == 0
    receiving.send_signal(signal.SIGINT)
    code, out, _ = finish(receiving)
    assert code == 0
    assert sorted(entry["name"] for entry in json.loads(out)["transfers"]) == ["f0", "f1", "f2", "f3"]
    for source in sources:
        assert (into / source.name).read_bytes() == source.read_bytes()


def test_nobody_receives(pair: tuple[Node, Node], tmp_path: Path) -> None:
    source = random_file(tmp_path / "source", 10)
    done = pair[0].run("send", str(source), "b", "--wait", "0.3", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["reason"] == "nobody-receives"
    done = pair[0].run("send", str(tmp_path / "none"), "b")
    assert (done.returncode, "cannot be read" in done.stderr) == (1, True)
    done = pair[1].run("recv", "--to", str(tmp_path / "x"), "--timeout", "0.3")
    assert done.returncode == 1


def test_an_interrupted_sender_takes_its_transfer_back_and_resumes(pair: tuple[Node, Node], tmp_path: Path) -> None:
    a, b = pair
    source = random_file(tmp_path / "source", 300 * MIB)
    target = tmp_path / "target"
    part = tmp_path / ".target.tether-part"
    receiving = b.begin("recv", "--to", str(target), "--json")
    sending = sent(a, source)
    _wait_bytes(part, 20 * MIB)
    sending.send_signal(signal.SIGINT)
    assert finish(sending)[0] == 130
    code, out, _ = finish(receiving)
    assert (code, json.loads(out)["reason"]) == (1, "interrupted")
    _resume(a, b, source, target)


def _wait_bytes(part: Path, least: int, limit_s: float = 30.0) -> None:
    deadline = time.monotonic() + limit_s
    while not part.exists() or part.stat().st_blocks * 512 < least:
        assert time.monotonic() < deadline, "the part file does not grow"
        time.sleep(0.002)


def _resume(a: Node, b: Node, source: Path, target: Path) -> None:
    receiving = b.begin("recv", "--to", str(target), "--json")
    code, out, err = finish(sent(a, source), 120)
    assert code == 0, err
    assert finish(receiving)[0] == 0
    transfer = json.loads(out)["transfers"][0]
    assert transfer["resumed_bytes"] > 0
    assert transfer["resumed_bytes"] + transfer["sent_bytes"] == transfer["size"]
    assert target.read_bytes() == source.read_bytes()
    assert not list(target.parent.glob(".target.*"))


@pytest.mark.parametrize("victim", ["a", "b"])
def test_sigkill_of_either_engine_and_resume(tmp_path: Path, victim: str) -> None:
    a, b = Node(tmp_path, "a", udp_lanes(2), LINK), Node(tmp_path, "b", udp_lanes(2), LINK)
    introduce(a, b)
    source = random_file(tmp_path / "source", 300 * MIB)
    target = tmp_path / "target"
    with running(a, b):
        a.wait_up("b", channels=2)
        receiving = b.begin("recv", "--to", str(target), "--json")
        sending = sent(a, source)
        record = tmp_path / ".target.tether-record"
        _wait_bytes(tmp_path / ".target.tether-part", 90 * MIB)  # something is in the record by then
        killed = a if victim == "a" else b
        killed.kill()
        assert record.stat().st_size > 0
        killed.start()
        assert finish(sending)[0] == 1
        assert finish(receiving)[0] == 1
        a.wait_up("b", channels=2)
        b.wait_up("a", channels=2)
        _resume(a, b, source, target)


def test_a_changed_file_starts_anew_and_is_right(pair: tuple[Node, Node], tmp_path: Path) -> None:
    a, b = pair
    source = random_file(tmp_path / "source", 300 * MIB)
    target = tmp_path / "target"
    receiving = b.begin("recv", "--to", str(target))
    sending = sent(a, source)
    _wait_bytes(tmp_path / ".target.tether-part", 20 * MIB)
    sending.send_signal(signal.SIGINT)
    finish(sending)
    finish(receiving)
    random_file(source, 5 * MIB)
    receiving = b.begin("recv", "--to", str(target))
    code, out, err = finish(sent(a, source))
    assert code == 0, err
    finish(receiving)
    assert json.loads(out)["transfers"][0]["resumed_bytes"] == 0
    assert target.read_bytes() == source.read_bytes()


def test_a_file_that_changes_while_it_is_sent_is_an_error(pair: tuple[Node, Node], tmp_path: Path) -> None:
    a, b = pair
    source = random_file(tmp_path / "source", 200 * MIB)
    target = tmp_path / "target"
    receiving = b.begin("recv", "--to", str(target))
    sending = sent(a, source)
    _wait_bytes(tmp_path / ".target.tether-part", 5 * MIB)
    with source.open("r+b") as file:
        file.write(b"other")
    code, out, _ = finish(sending)
    assert (code, json.loads(out)["reason"]) == (1, "changed")
    assert finish(receiving)[0] == 1
    assert not target.exists()


def test_malformed_requests_are_answered(pair: tuple[Node, Node]) -> None:
    path = pair[0].config.socket
    for request, reason in (
        ({"op": "nothing"}, "request"),
        ({}, "request"),
        ({"op": "ping"}, "unknown-peer"),
        ({"op": "ping", "peer": "b", "count": "many"}, "request"),
        ({"op": "send", "peer": "b"}, "request"),
    ):
        with control.connect(path) as connection, pytest.raises(ControlError) as caught:
            connection.ask(request, timeout=10)
        assert caught.value.reason == reason
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(path)
        raw.sendall(b"no json\n")
        assert raw.recv(100) == b""
    assert pair[0].stats()["node"] == "a"


def test_no_engine_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "stats", "--json", "--socket", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert (document["schema"], document["reason"], document["verb"]) == ("tether.error/1", "down", "engine stats")
    assert mistakes(document, DOCUMENTS["tether.error/1"]) == []


def test_reload_keeps_channels_and_follows_the_file(tmp_path: Path) -> None:
    """Host c comes during a transfer a -> b: it goes on, on the same channels. Then c goes again."""
    a, b, c = (Node(tmp_path, name, udp_lanes(2), LINK) for name in "abc")
    a.allow(b)
    b.allow(a)
    c.allow(a)
    source = random_file(tmp_path / "source", 200 * MIB)
    target = tmp_path / "target"
    with running(a, b, c):
        a.wait_up("b", channels=2)
        b.wait_up("a", channels=2)
        handles = {(peer["name"], peer["lane"], peer["frames_sent"] > 0) for peer in a.stats()["peers"]}
        receiving = b.begin("recv", "--to", str(target))
        sending = sent(a, source)
        _wait_bytes(tmp_path / ".target.tether-part", 5 * MIB)
        a.allow(c)
        assert a.document("reload")["peers"] == ["b", "c"]
        a.wait_up("b", "c", channels=2)
        code, _, err = finish(sending)
        assert code == 0, err
        assert finish(receiving)[0] == 0
        assert target.read_bytes() == source.read_bytes()
        assert handles <= {(peer["name"], peer["lane"], peer["frames_sent"] > 0) for peer in a.stats()["peers"]}
        assert a.document("ping", "c", "-c", "2")["lost"] == 0
        before = (a.folder / "roster.json").read_text()
        (a.folder / "roster.json").write_text("{")
        assert a.run("reload").returncode == 1
        assert {peer["name"] for peer in a.stats()["peers"]} == {"b", "c"}
        (a.folder / "roster.json").write_text(before)
        del a.peers["c"]
        a.write()
        assert a.process is not None
        a.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while {peer["name"] for peer in a.stats()["peers"]} != {"b"}:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert a.document("ping", "b", "-c", "2")["lost"] == 0


def test_a_peer_that_is_not_in_the_roster_gets_no_channel(tmp_path: Path) -> None:
    a, b = Node(tmp_path, "a", udp_lanes(1), LINK), Node(tmp_path, "b", udp_lanes(1), LINK)
    b.allow(a)  # but a does not know b
    with running(a, b):
        deadline = time.monotonic() + 10
        while a.rejects().get("stranger", 0) < 2:
            assert time.monotonic() < deadline, a.rejects()
            time.sleep(0.1)
        lanes = a.stats()["lanes"]
        assert a.stats()["peers"] == []
        assert [lane["frames_sent"] for lane in lanes] == [0]
        assert [peer["state"] for peer in b.stats()["peers"]] == ["down"]


def test_sigterm_is_clean(tmp_path: Path) -> None:
    a, b = Node(tmp_path, "a", udp_lanes(1), LINK), Node(tmp_path, "b", udp_lanes(1), LINK)
    introduce(a, b)
    with running(a, b):
        a.wait_up("b")
        b.wait_up("a")
        assert a.stop() == 0
        assert not Path(a.config.socket).exists()
        deadline = time.monotonic() + 10  # b was told
        while any(peer["state"] == "up" for peer in b.stats()["peers"]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        a.start()
        b.wait_up("a")


def test_two_engines_do_not_share_a_socket(pair: tuple[Node, Node]) -> None:
    done = subprocess.run(
        [*COMMAND, "serve", "--config", str(pair[0].folder / "engine.json")],
        capture_output=True, text=True, cwd=ROOT, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert pair[0].stats()["node"] == "a"


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("identity-mode", "others may read the identity"),
        ("identity-gone", "cannot be read"),
        ("user", "there is no user 'nobody-of-that-name'"),
        ("config", "lanes[0].queue"),
    ],
)
def test_an_engine_that_cannot_start_says_why(tmp_path: Path, what: str, words: str) -> None:
    node = Node(tmp_path, "a", udp_lanes(1), LINK)
    path = node.folder / "engine.json"
    document = json.loads(path.read_text())
    if what == "identity-mode":
        Path(node.config.identity).chmod(0o644)
    elif what == "identity-gone":
        Path(node.config.identity).unlink()
    elif what == "user":
        document["user"] = "nobody-of-that-name"
    else:
        document["lanes"][0]["queue"] = "zero"
    path.write_text(json.dumps(document))
    done = subprocess.run(
        [*COMMAND, "serve", "--config", str(path)], capture_output=True, text=True, cwd=ROOT, timeout=30, check=False
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def python39() -> str | None:
    """A Python 3.9 that works: on the path, or among pyenv's versions."""
    places = [shutil.which("python3.9"), *map(str, sorted(Path.home().glob(".pyenv/versions/3.9*/bin/python3.9")))]
    for place in places:
        if place and subprocess.run([place, "-c", ""], capture_output=True, timeout=30, check=False).returncode == 0:
            return place
    return None


def test_the_engine_runs_under_python_39(tmp_path: Path) -> None:
    python = python39()
    if python is None:
        pytest.skip("no python3.9 on this machine; its syntax and names are checked all the same")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tether_hw.transport import commands; "
    code += "sys.exit(commands.main())"
    command = (python, "-I", "-B", "-X", "dev", "-W", "error", "-c", code)
    metrics = f"127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    a = Node(tmp_path, "a", udp_lanes(2), LINK, metrics=metrics, command=command)
    b = Node(tmp_path, "b", udp_lanes(2), LINK, command=command)
    introduce(a, b)
    source, target = random_file(tmp_path / "source", 20 * MIB), tmp_path / "target"
    with running(a, b):
        a.wait_up("b", channels=2)
        receiving = b.begin("recv", "--to", str(target), "--json")
        a.document("send", str(source), "b")
        assert finish(receiving)[0] == 0
        assert target.read_bytes() == source.read_bytes()
        assert a.document("ping", "b", "-c", "3")["lost"] == 0
        with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10) as answer:
            assert b"tether_lane_frames_sent_total" in answer.read()
        assert a.document("reload")["peers"] == ["b"]
    for node in (a, b):
        assert "Traceback" not in node.log.read_text()
        assert "Warning" not in node.log.read_text()


def test_identities(tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = subprocess.run(
        [*COMMAND, "identity", "--make", str(path)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert path.stat().st_mode & 0o777 == 0o600
    shown = subprocess.run(
        [*COMMAND, "identity", "--public", str(path)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert made.stdout == shown.stdout
    assert len(bytes.fromhex(shown.stdout)) == 32
    secret = path.read_text()
    again = subprocess.run(
        [*COMMAND, "identity", "--make", str(path)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert again.returncode == 1
    assert path.read_text() == secret
    assert secret.strip() not in made.stdout + made.stderr + again.stderr


@pytest.mark.parametrize(
    "words", [["stats", "--nothing"], ["nothing"], [], ["recv", "--to", "a", "--into", "b"], ["ping"]]
)
def test_usage_errors_end_in_64(words: list[str]) -> None:
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 64
    assert done.stdout == ""
