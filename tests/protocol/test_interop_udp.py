# SPDX-License-Identifier: Apache-2.0
"""The C engine and the reference over UDP on loopback: either hails, messages and bytes, loss, restart of either."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.engines import free_port
from tether_hw.transport.config import Address as EngineAddress
from tether_hw.transport.config import Lane, Limits, Link, Roster
from tether_hw.transport.config import Peer as EnginePeer
from tether_hw.transport.engine import Engine
from tether_hw.transport.protocol.config import BYTES, MESSAGES, Address, Event, Happened, Peer
from tether_hw.transport.protocol.noise import public_key
from tether_hw.transport.protocol.udp import UDP4, UdpPeer, main, pack

WAIT_S = 40.0
SIZES = (1, 64, 1408, 1409, 5000, 100_000, 1_000_000)
SECRET, ENGINE_SECRET = bytes(range(1, 33)), bytes(range(33, 65))
LINK = Link(1500, 0, 2_000_000, 20_000_000)


class Meeting:
    """An engine and a reference peer that know each other. Blocking calls of the engine run in a thread."""

    def __init__(self, folder: Path, loss: float = 0.0) -> None:
        self.folder = folder
        self.loss = loss
        self.port = free_port()
        self.threads = ThreadPoolExecutor(2)
        self.events: list[Event] = []
        self.peer = UdpPeer(SECRET, folder / "counter", loss=loss, seed=7)
        self.engine = self.start_engine()
        self.introduce()

    def start_engine(self) -> Engine:
        lane = Lane(0, "lo", "lo", 0, "l", "udp", EngineAddress(udp=f"127.0.0.1:{self.port}"))
        limits = Limits(max_message_bytes=2 << 20, rx_cells=4096, tx_cells=4096, max_channels=16, max_flows=16)
        engine = Engine(ENGINE_SECRET, [lane], {"l": LINK}, str(self.folder / "engine.counter"), limits)
        engine.start()
        return engine

    def introduce(self) -> None:
        host, port = self.peer.address
        known = EnginePeer("reference", (public_key(SECRET).hex(),), "l", EngineAddress(udp=f"{host}:{port}"))
        self.engine.roster(Roster((known,)))
        where = Address(UDP4, pack("127.0.0.1", self.port))
        self.peer.endpoint.roster(self.peer.now_ns, [Peer(1, (public_key(ENGINE_SECRET),), where)])

    def close(self) -> None:
        self.engine.close()
        self.peer.close()
        self.threads.shutdown()

    def run(self, until: Callable[[], bool], what: str) -> None:
        assert self.peer.run(until, WAIT_S, self.events.append), f"{what} did not come: {self.events[-8:]}"

    def call(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """A blocking call of the engine while the reference runs."""
        future: Future[Any] = self.threads.submit(function, *args, **named)
        self.run(future.done, function.__name__)
        return future.result()

    def event(self, kind: Happened) -> Event:
        self.run(lambda: any(event.kind is kind for event in self.events), kind.value)
        found = next(event for event in self.events if event.kind is kind)
        self.events.remove(found)
        return found

    def up(self, by_reference: bool) -> tuple[int, Any]:
        """(the reference's channel, the engine's)."""
        if by_reference:
            self.peer.endpoint.open_channel(self.peer.now_ns, 1, 0)
            return self.event(Happened.CHANNEL_UP).channel, self.call(self.engine.accept, WAIT_S)
        channel = self.call(self.engine.connect, "reference", timeout=WAIT_S)
        return self.event(Happened.CHANNEL_UP).channel, channel

    def get(self, channel: int, flow: int) -> bytes:
        """A message at the reference."""
        found: list[bytes] = []

        def read() -> bool:
            data = self.peer.endpoint.read(channel, flow)
            if data is not None:
                found.append(data)
            return bool(found)

        self.run(read, "a message")
        return found[0]

    def take(self, channel: int, flow: int) -> bytes:
        """The bytes of a flow to their end, at the reference."""
        found = bytearray()

        def read() -> bool:
            data = self.peer.endpoint.read(channel, flow)
            found.extend(data or b"")
            return data == b""

        self.run(read, "the end of the bytes")
        return bytes(found)


@pytest.fixture
def meeting(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Meeting]:
    made = Meeting(tmp_path, getattr(request, "param", 0.0))
    yield made
    made.close()


def read_to_end(flow: Any) -> bytes:
    out = bytearray()
    while data := flow.read(timeout=WAIT_S):
        out += data
    return bytes(out)


@pytest.mark.proves("T-ENC-2", "T-ENC-4")
@pytest.mark.parametrize("by_reference", [True, False], ids=["reference-hails", "engine-hails"])
@pytest.mark.parametrize("meeting", [0.0, 0.03], ids=["", "loss"], indirect=True)
def test_messages_and_bytes_both_ways(meeting: Meeting, by_reference: bool) -> None:
    channel, theirs = meeting.up(by_reference)
    endpoint, peer = meeting.peer.endpoint, meeting.peer
    number = endpoint.open_flow(peer.now_ns, channel, MESSAGES)
    flow = meeting.call(theirs.accept_flow, WAIT_S)
    for size in SIZES:
        data = random.Random(size).randbytes(size)
        endpoint.write(peer.now_ns, channel, number, data)
        assert meeting.call(flow.recv, WAIT_S) == data
        meeting.call(flow.send, data, WAIT_S)
        assert meeting.get(channel, number) == data
    stream = theirs.open_flow("bytes")
    opened = meeting.event(Happened.FLOW_OPENED)
    assert opened.status == BYTES
    data = random.Random("bytes").randbytes(300_000)
    endpoint.write(peer.now_ns, channel, opened.flow, data, end=True)
    assert meeting.call(read_to_end, stream) == data
    writing = meeting.threads.submit(stream.write, data, WAIT_S)
    meeting.run(writing.done, "room")
    stream.end(WAIT_S)
    assert meeting.take(channel, opened.flow) == data
    assert set(endpoint.stats.rejects) <= ({"flow", "grant", "state", "auth"} if meeting.loss else set())


def test_cancel_and_close(meeting: Meeting) -> None:
    channel, theirs = meeting.up(True)
    endpoint, peer = meeting.peer.endpoint, meeting.peer
    number = endpoint.open_flow(peer.now_ns, channel, MESSAGES)
    flow = meeting.call(theirs.accept_flow, WAIT_S)
    endpoint.write(peer.now_ns, channel, number, bytes(1_000_000))
    sent = endpoint.transmit(peer.now_ns)  # its first frame, which declares the rest
    assert sent is not None
    peer.socket.sendto(sent[0], ("127.0.0.1", meeting.port))
    endpoint.cancel(peer.now_ns, channel, number)
    assert endpoint.stats.skips_sent == 1
    endpoint.write(peer.now_ns, channel, number, b"after")
    assert meeting.call(flow.recv, WAIT_S) == b"after"
    flow.close()
    assert meeting.event(Happened.FLOW_CLOSED).flow == number
    with pytest.raises(BrokenPipeError):
        endpoint.read(channel, number)
    endpoint.close_channel(peer.now_ns, channel)
    meeting.run(lambda: endpoint.channel_count == 0, "the receipt for BYE")
    meeting.run(lambda: not meeting.engine.channels(), "the end of the engine's channel")


@pytest.mark.proves("T-RST-1", "T-RST-2", "T-CNF-4", "T-CNT-2")
def test_either_end_restarts(meeting: Meeting) -> None:
    for by_reference in (True, False):
        channel, theirs = meeting.up(by_reference)
        number = meeting.peer.endpoint.open_flow(meeting.peer.now_ns, channel, MESSAGES)
        flow = meeting.call(theirs.accept_flow, WAIT_S)
        meeting.peer.endpoint.write(meeting.peer.now_ns, channel, number, b"one")
        assert meeting.call(flow.recv, WAIT_S) == b"one"
        if by_reference:
            bound = meeting.peer.address
            meeting.peer.close()
            meeting.peer = UdpPeer(SECRET, meeting.folder / "counter", bound)
            meeting.events.clear()
            meeting.introduce()
        else:
            meeting.engine.close()
            meeting.engine = meeting.start_engine()
            meeting.introduce()
    channel, theirs = meeting.up(False)
    number = meeting.peer.endpoint.open_flow(meeting.peer.now_ns, channel, MESSAGES)
    meeting.peer.endpoint.write(meeting.peer.now_ns, channel, number, b"two")
    assert meeting.call(meeting.call(theirs.accept_flow, WAIT_S).recv, WAIT_S) == b"two"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = {}
    for name in ("a", "b"):
        assert main(["key", str(tmp_path / name)]) == 0
        keys[name] = capsys.readouterr().out.strip()
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    port = free_port()
    argv = [sys.executable, "-m", "tether_hw.transport.protocol.udp", "echo", "--bind", f"127.0.0.1:{port}"]
    files = ["--secret", str(tmp_path / "b"), "--counter", str(tmp_path / "b.counter"), "--peer", keys["a"]]
    folder = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [*argv, *files], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=folder, env=os.environ
    ) as echo:
        try:
            assert echo.stderr is not None
            assert b"listening" in echo.stderr.readline()
            words = ["send", "--secret", str(tmp_path / "a"), "--counter", str(tmp_path / "a.counter")]
            assert main([*words, "--peer", f"{keys['b']}@127.0.0.1:{port}", "--loss", "0.1", "hello", "world"]) == 0
            assert capsys.readouterr().out == "hello\nworld\n"
        finally:
            echo.terminate()
