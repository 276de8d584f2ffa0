# SPDX-License-Identifier: Apache-2.0
"""A peer that a stranger wrote from the RFC and the vectors alone, in JavaScript, against the engine over UDP.

Its source is in interop/node, what its author had to ask in interop/README.md.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.engines import free_port
from tether_hw.transport.channel import Channel
from tether_hw.transport.config import Address, Lane, Limits, Link, Peer, Roster
from tether_hw.transport.engine import Engine
from tether_hw.transport.errors import TimedOut, TransportError
from tether_hw.transport.flow import Flow

pytestmark = pytest.mark.unit
HERE = Path(__file__).resolve().parent
PEER = HERE / "interop" / "node" / "peer.js"
SECRET, ENGINE_SECRET = bytes(range(1, 33)), bytes(range(33, 65))
DEADLINE_S = 40


def node(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the stranger's peer; it ends by itself within its own deadline of 20 s."""
    program = shutil.which("node") or shutil.which("nodejs")
    assert program is not None, "needs nodejs: make setup installs it"
    command = [program, str(PEER), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)


class Echo:
    """An engine that sends back every message of every flow that its peer opens, and counts them."""

    def __init__(self, folder: Path, public: str) -> None:
        self.port, self.peer_port = free_port(), free_port()
        lane = Lane(0, "lo", "lo", 0, "l", "udp", Address(udp=f"127.0.0.1:{self.port}"))
        limits = Limits(max_message_bytes=2 << 20, rx_cells=4096, tx_cells=4096, max_channels=16, max_flows=16)
        links = {"l": Link(1500, 0, 2_000_000, 20_000_000)}
        self.engine = Engine(ENGINE_SECRET, [lane], links, str(folder / "counter"), limits)
        self.engine.start()
        self.engine.roster(Roster((Peer("stranger", (public,), "l", Address(udp=f"127.0.0.1:{self.peer_port}")),)))
        self.messages: list[int] = []
        self.closing = False
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self) -> None:
        while not self.closing:
            with suppress(TransportError):
                self._start(self._flows, self.engine.accept(timeout=0.2))

    def _start(self, target: object, thing: Channel | Flow) -> None:
        thread = threading.Thread(target=target, args=(thing,))  # type: ignore[arg-type]
        self.threads.append(thread)
        thread.start()

    def _flows(self, channel: Channel) -> None:
        while not self.closing:
            try:
                self._start(self._echo, channel.accept_flow(timeout=0.2))
            except TimedOut:
                continue
            except TransportError:
                return

    def _echo(self, flow: Flow) -> None:
        while not self.closing:
            try:
                message = flow.recv(timeout=0.2)
                self.messages.append(len(message))
                flow.send(message, timeout=DEADLINE_S)
            except TimedOut:
                continue
            except TransportError:
                return

    def visit(self, engine_public: str, folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
        """Let the stranger's peer send this engine a message."""
        way = ["--to", f"127.0.0.1:{self.port}", "--listen", self.peer_port]
        keys = ["--key", SECRET.hex(), "--peer", engine_public, "--counter", folder / "hail-counter"]
        return node(*way, *keys, *words)

    def close(self) -> None:
        self.closing = True
        for thread in list(self.threads):
            thread.join(5)
        self.engine.close()


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Echo]:
    public = node("--key", SECRET.hex(), "--public").stdout.strip()
    assert len(public) == 64
    made = Echo(tmp_path, public)
    yield made
    made.close()


@pytest.fixture
def engine_public() -> str:
    return node("--key", ENGINE_SECRET.hex(), "--public").stdout.strip()


def test_it_reads_every_vector() -> None:
    done = node("--vectors", HERE / "vectors")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.proves("T-HAI-1")
@pytest.mark.parametrize("size", [1, 1408, 1409, 20_000])
def test_a_message_goes_there_and_back(echo: Echo, engine_public: str, tmp_path: Path, size: int) -> None:
    done = echo.visit(engine_public, tmp_path, "--bytes", size)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OK" in done.stdout
    assert echo.messages == [size]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_message_goes_through_loss(echo: Echo, engine_public: str, tmp_path: Path, seed: int) -> None:
    done = echo.visit(engine_public, tmp_path, "--bytes", 20_000, "--loss", 5, "--seed", seed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert echo.messages == [20_000]
