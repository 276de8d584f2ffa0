# SPDX-License-Identifier: Apache-2.0
"""Engine daemons as processes: their files, their life, their `tether-engine` commands."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.schema_check import mistakes
from tether_hw.fleet.schemas import DOCUMENTS
from tether_hw.transport import identity
from tether_hw.transport.config import Address, EngineConfig, Lane, Limits, Link, Peer, Roster, dumps

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "tether_hw.transport.commands")
READY_S = 20.0
SMALL = Limits(max_message_bytes=8 << 20, rx_cells=8192, tx_cells=4096, max_channels=16, max_flows=32)


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """A port of loopback that was free a moment ago."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Node:
    """One engine: its folder, its files, its process. `prefix` runs it elsewhere, such as in a namespace."""

    def __init__(
        self,
        folder: Path,
        name: str,
        lanes: Sequence[Lane],
        link: Link,
        prefix: Sequence[str] = (),
        user: str | None = None,
        metrics: str | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.folder = folder / name
        self.folder.mkdir(mode=0o755)
        self.state = self.folder / "state"
        self.state.mkdir()
        self.name = name
        self.prefix = tuple(prefix)
        self.command = tuple(command)
        self.process: subprocess.Popen[bytes] | None = None
        self.options: tuple[str, ...] = ()  # more words for `serve`
        self.log = self.folder / "log"
        self.key = identity.make(str(self.state / "identity.key"))
        self.config = EngineConfig(
            node=name,
            user=user,
            identity=str(self.state / "identity.key"),
            counter=str(self.state / "hail.counter"),
            roster=str(self.folder / "roster.json"),
            socket=str(self.state / "s"),
            links={"fabric0": link},
            lanes=tuple(lanes),
            limits=SMALL,
            metrics_listen=metrics,
        )
        self.peers: dict[str, Peer] = {}
        self.write()

    @property
    def hail(self) -> Address:
        """Where others hail it."""
        return self.config.lanes[0].address

    def write(self) -> None:
        """Write engine file and roster."""
        (self.folder / "engine.json").write_text(dumps(self.config.to_json()))
        (self.folder / "roster.json").write_text(dumps(Roster(tuple(self.peers.values())).to_json()))

    def allow(self, *others: Node) -> None:
        """Put others in the roster file."""
        for other in others:
            self.peers[other.name] = Peer(other.name, (other.key,), "fabric0", other.hail)
        self.write()

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        argv = [*self.prefix, *self.command, "serve", "--config", str(self.folder / "engine.json"), *self.options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=ROOT)
        deadline = time.monotonic() + READY_S
        while not Path(self.config.socket).exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"engine {self.name} does not start:\n{self.log.read_text()}")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        Path(self.config.socket).unlink(missing_ok=True)  # so that start() waits for the new one

    def stop(self) -> int:
        """SIGTERM and wait; the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"engine {self.name} does not end:\n{self.log.read_text()}") from None

    def argv(self, *words: str) -> list[str]:
        """The command line of a sub-verb against this daemon."""
        return [*self.command, *words, "--socket", self.config.socket]

    def run(self, *words: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a sub-verb to its end."""
        return subprocess.run(
            self.argv(*words), capture_output=True, text=True, timeout=timeout_s, cwd=ROOT, check=False
        )

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Begin a sub-verb."""
        return subprocess.Popen(self.argv(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)

    def document(self, *words: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """The document of a sub-verb that must succeed."""
        done = self.run(*words, "--json", timeout_s=timeout_s)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.log.read_text()}"
        document: dict[str, Any] = json.loads(done.stdout)
        assert mistakes(document, DOCUMENTS[document["schema"]]) == []
        return document

    def stats(self) -> dict[str, Any]:
        """The statistics document."""
        return self.document("stats")

    def wait_up(self, *peers: str, channels: int = 1, limit_s: float = 20.0) -> None:
        """Wait until there are that many channels to each of these peers."""
        deadline = time.monotonic() + limit_s
        while True:
            up = [peer["name"] for peer in self.stats()["peers"] if peer["state"] == "up"]
            if all(up.count(peer) >= channels for peer in peers):
                return
            assert time.monotonic() < deadline, f"{self.name} has {up}\n{json.dumps(self.stats(), indent=1)}"
            time.sleep(0.1)

    def rejects(self) -> dict[str, int]:
        """Refused frames by reason, over all lanes."""
        total: dict[str, int] = {}
        for lane in self.stats()["lanes"]:
            for reason, count in lane["rejects"].items():
                total[reason] = total.get(reason, 0) + count
        return total


def udp_lanes(count: int) -> list[Lane]:
    """Lanes on free ports of loopback."""
    return [
        Lane(lane, "lo", "lo", lane, "fabric0", "udp", Address(udp=f"127.0.0.1:{free_port()}")) for lane in range(count)
    ]


def introduce(*nodes: Node) -> None:
    """Everybody into everybody's roster."""
    for node in nodes:
        node.allow(*(other for other in nodes if other is not node))


@contextlib.contextmanager
def running(*nodes: Node) -> Iterator[tuple[Node, ...]]:
    """Start daemons and stop them in the end."""
    try:
        for node in nodes:
            node.start()
        yield nodes
    finally:
        for node in nodes:
            with contextlib.suppress(OSError):
                node.stop()


def finish(process: subprocess.Popen[str], timeout_s: float = 60.0) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a begun sub-verb."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"does not end:\n{out}\n{err}") from None
    return process.returncode, out, err


def random_file(path: Path, size: int) -> Path:
    """A file of random bytes."""
    with path.open("wb") as file:
        left = size
        while left > 0:
            left -= file.write(os.urandom(min(left, 1 << 20)))
    return path
