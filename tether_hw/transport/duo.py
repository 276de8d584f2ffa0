# SPDX-License-Identifier: Apache-2.0
"""Two engines that face each other in one process: over UDP on loopback, or over AF_XDP between two namespaces."""

from __future__ import annotations

import contextlib
import secrets
import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Optional

from .channel import Channel
from .config import Address, Lane, Limits, Link, Peer, Roster
from .engine import Engine
from .identity import public_key
from .native import DebugFiles
from .netns import Namespace

LINK = "bench0"


def _run_here(function: Callable[[], Engine]) -> Engine:
    return function()


def free_udp_port() -> int:
    """A UDP port of loopback that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Duo:
    """Engines "a" and "b" with one channel per lane, a's lane q to b's lane q. Use as a context manager."""

    def __init__(
        self,
        carrier: str,
        queues: int = 1,
        device: str = "data0",
        spaces: Optional[tuple[Namespace, Namespace]] = None,
        limits: Optional[Limits] = None,
        link: Optional[Link] = None,
        cpus: int = 0,
        prefer_cipher: int = 0,
        traces: Sequence[Optional[str]] = (None, None),
    ) -> None:
        self._traces = tuple(traces)
        self.carrier = carrier
        self.queues = queues
        self.link = link or Link(rtt_ns=100_000)
        self._folder = tempfile.TemporaryDirectory(prefix="tether-duo-")
        self._engines: list[Engine] = []
        self.channels: list[Channel] = []
        self.peer_channels: list[Channel] = []
        try:
            self._make(device, spaces, limits, cpus, prefer_cipher)
        except BaseException:
            self.close()
            raise

    @property
    def a(self) -> Engine:
        """The engine that opened the channels."""
        return self._engines[0]

    @property
    def b(self) -> Engine:
        """The other one."""
        return self._engines[1]

    def connect(self, timeout: float = 10.0) -> None:
        """One channel per lane."""
        for lane in self.b.lanes:
            channel = self.a.connect("b", lane.lane, lane.lane, lane.address, timeout)
            self.channels.append(channel)
        for _ in self.b.lanes:
            self.peer_channels.append(self.b.accept(timeout))
        self.peer_channels.sort(key=lambda channel: channel.lane)

    def close(self) -> None:
        """Stop both engines."""
        for engine in self._engines:
            with contextlib.suppress(OSError):
                engine.close()
        self._engines.clear()
        self._folder.cleanup()

    def __enter__(self) -> Duo:
        self.connect()
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _lanes(self, side: int, device: str, cpus: int) -> list[Lane]:
        lanes: list[Lane] = []
        for number in range(self.queues):
            if self.carrier == "udp":
                address = Address(udp=f"127.0.0.1:{free_udp_port()}")
            else:
                address = Address(mac=f"02:74:be:{side:02x}:00:{number:02x}", vlan=self.link.vlan)
            cpu = (number * 2 + side) % cpus if cpus else None
            lanes.append(Lane(number, device, device, number, LINK, self.carrier, address, cpu))
        return lanes

    def _make(
        self,
        device: str,
        spaces: Optional[tuple[Namespace, Namespace]],
        limits: Optional[Limits],
        cpus: int,
        prefer_cipher: int,
    ) -> None:
        private = [secrets.token_bytes(32), secrets.token_bytes(32)]
        lanes = [self._lanes(side, device, cpus) for side in (0, 1)]
        links = {LINK: self.link}
        for side in (0, 1):

            def build(side: int = side) -> Engine:
                counter = str(Path(self._folder.name) / f"counter-{side}")
                files = DebugFiles("ab"[side], self._traces[side])
                engine = Engine(
                    private[side], lanes[side], links, counter, limits, prefer_cipher=prefer_cipher, files=files
                )
                try:
                    other = 1 - side
                    peer = Peer("ab"[other], (public_key(private[other]),), LINK, lanes[other][0].address)
                    engine.roster(Roster((peer,)))
                    engine.start()
                except BaseException:
                    engine.close()
                    raise
                return engine

            self._engines.append(spaces[side].call(build) if spaces else _run_here(build))
