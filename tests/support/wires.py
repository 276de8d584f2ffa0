# SPDX-License-Identifier: Apache-2.0
"""Two named network namespaces with a multi-queue veth pair between them, for one test; and raw frames on them."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from tether_hw.transport.config import Address, Lane, Link
from tether_hw.transport.netns import Namespace

DEVICE = "data0"
ETHERTYPE = 0x88B5
LINK = Link(mtu=1500, rtt_ns=100_000)

T = TypeVar("T")


def ip(*words: str) -> None:
    """Run `ip`; its words are the failure."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


class Wire:
    """Namespaces `a` and `b`, each with data0 of `queues` queues. Queue q of one reaches queue q of the other."""

    def __init__(self, tag: str, queues: int, mtu: int = 1500) -> None:
        self.queues = queues
        self.names = {side: f"tethertest-{tag}-{os.getpid()}-{side}" for side in "ab"}
        for name in self.names.values():
            ip("netns", "add", name)
        count = str(queues)
        ip(
            "link", "add", DEVICE, "netns", self.names["a"], "mtu", str(mtu),
            "numtxqueues", count, "numrxqueues", count, "type", "veth",
            "peer", "name", DEVICE, "netns", self.names["b"], "mtu", str(mtu),
            "numtxqueues", count, "numrxqueues", count,
        )  # fmt: skip
        for name in self.names.values():
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", DEVICE, "up")

    def prefix(self, side: str) -> tuple[str, ...]:
        """What runs a program on one side."""
        return ("nsenter", f"--net=/run/netns/{self.names[side]}")

    def lanes(self, side: str, carrier: str = "af_xdp", count: int | None = None) -> list[Lane]:
        """Lanes of one side, lane q on queue q."""
        return [
            Lane(
                lane, DEVICE, DEVICE, lane, "fabric0", carrier,
                Address(mac=f"02:74:00:00:{ord(side):02x}:{lane:02x}"), lane % (os.cpu_count() or 1),
            )
            for lane in range(count or self.queues)
        ]  # fmt: skip

    def within(self, side: str, function: Callable[[], T]) -> T:
        """Run a function in the namespace of one side."""
        space = Namespace(self.names[side])
        try:
            return space.call(function)
        finally:
            space.close()

    def raw(self, side: str) -> socket.socket:
        """A packet socket on one side's device that sends whole Ethernet frames and sees all."""

        def make() -> socket.socket:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            sock.bind((DEVICE, 3))
            return sock

        return self.within(side, make)

    def close(self) -> None:
        """Take the namespaces away; the veth pair goes with them."""
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=30, check=False)


@contextlib.contextmanager
def wired(tag: str, queues: int = 2) -> Iterator[Wire]:
    """A wire for the time of a block."""
    wire = Wire(tag, queues)
    try:
        yield wire
    finally:
        wire.close()


def ethernet(destination: Address, source: Address, frame: bytes) -> bytes:
    """An Ethernet frame around a Tether frame."""
    assert destination.mac
    assert source.mac
    macs = bytes.fromhex(destination.mac.replace(":", "")) + bytes.fromhex(source.mac.replace(":", ""))
    return macs + struct.pack(">H", ETHERTYPE) + frame


class Tap:
    """Collects the Tether frames that pass a device, for replay."""

    def __init__(self, sock: socket.socket) -> None:
        self.frames: list[bytes] = []
        self._sock = sock
        self._sock.settimeout(0.1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                data = self._sock.recv(65536)
                if data[12:14] == ETHERTYPE.to_bytes(2, "big"):
                    self.frames.append(data)

    def close(self) -> list[bytes]:
        """Stop and return what was seen."""
        self._stop.set()
        self._thread.join()
        return self.frames
