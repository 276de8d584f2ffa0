# SPDX-License-Identifier: Apache-2.0
"""A peer over UDP made of the reference endpoint: for developers and interop tests, not for speed.

    python -m tether_hw.transport.protocol.udp key SECRET_FILE
    python -m tether_hw.transport.protocol.udp echo --secret FILE --counter FILE --bind 127.0.0.1:47001 --peer KEY
    python -m tether_hw.transport.protocol.udp send --secret FILE --counter FILE --peer KEY@127.0.0.1:47001 TEXT...

`key` makes a secret, or reads it, and prints the public key. `echo` answers every message with itself and every byte
with itself. `send` hails, sends each TEXT as a message and prints what comes back. `--loss 0.05` drops frames on their
way out. Lane 0 hails lane 0; `--peer` may stand several times for `echo`.
"""

from __future__ import annotations

import argparse
import os
import random
import select
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tether_hw.transport.protocol.config import MESSAGES, SECOND, Address, Config, Event, Happened, Peer
from tether_hw.transport.protocol.endpoint import Endpoint
from tether_hw.transport.protocol.noise import public_key
from tether_hw.transport.protocol.tags import LaneAddress

UDP4 = 2
STRIDE = 1 << 20  # Hail counters that are made durable at once (T-CNT-2)
RING_FRAMES = 64  # full frames that an unprivileged socket is sure to hold
IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2  # Linux: never fragment (T-ENC-2)
LONGEST_WAIT_S = 0.2


def pack(host: str, port: int) -> bytes:
    """An IPv4 address and a port as section 12.3 writes them."""
    return socket.inet_aton(host) + port.to_bytes(2, "big")


def unpack(data: bytes) -> tuple[str, int]:
    """The reverse of pack()."""
    return socket.inet_ntoa(data[:4]), int.from_bytes(data[4:6], "big")


def take_stride(path: Path) -> tuple[int, int]:
    """The next counters [first, limit): their end is on the disk before the first one is used."""
    first = int(path.read_text()) if path.exists() else 1
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w") as file:
        file.write(f"{first + STRIDE}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return first, first + STRIDE


class UdpPeer:
    """One endpoint on one socket. Times are those of time.monotonic_ns()."""

    def __init__(
        self,
        secret: bytes,
        counter: Path,
        bind: tuple[str, int] = ("127.0.0.1", 0),
        *,
        loss: float = 0.0,
        seed: int = 0,
        frame_blocks: int = 22,
        rtt_ns: int = 2_000_000,
        silence_ns: int = 20_000_000,
    ) -> None:
        """`loss` is the part of the frames that are dropped on their way out."""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(bind)
        self.socket.setblocking(False)
        if sys.platform == "linux":
            self.socket.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RING_FRAMES * 4096)
        own = LaneAddress(0, UDP4, pack(*self.socket.getsockname()))
        self.endpoint = Endpoint(
            Config(
                static_secret=secret, entropy=os.urandom, lane_addresses=(own,), frame_blocks=frame_blocks,
                ring_frames=RING_FRAMES, rtt_ns=rtt_ns, silence_ns=silence_ns,
            )
        )  # fmt: skip
        self.counter = counter
        self.endpoint.add_counters(*take_stride(counter))
        self.loss = loss
        self.random = random.Random(seed)  # noqa: S311 - which frames a test loses is no secret
        self.largest = 64 * (frame_blocks + 2)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self.socket.getsockname()
        return host, port

    @property
    def now_ns(self) -> int:
        """The endpoint's time."""
        return time.monotonic_ns()

    def close(self) -> None:
        """Close the socket; the peer is not told."""
        self.socket.close()

    def step(self, wait_s: float = LONGEST_WAIT_S) -> list[Event]:
        """Send what is due, wait for a frame or the next deadline, take what came; what happened."""
        self._transmit()
        due_s = max(0, self.endpoint.deadline() - self.now_ns) / SECOND
        if select.select([self.socket], [], [], min(wait_s, due_s))[0]:
            self._receive()
        self._transmit()
        events = self.endpoint.events()
        for event in events:
            if event.kind is Happened.NEED_COUNTER:
                first, limit = take_stride(self.counter)
                if event.value >= first:  # a peer has seen more: go on above it, and remember that
                    self.counter.write_text(f"{event.value + 1}\n")
                    first, limit = take_stride(self.counter)
                self.endpoint.add_counters(first, limit)
        return events

    def run(self, until: Callable[[], bool], timeout_s: float, heard: Callable[[Event], None] | None = None) -> bool:
        """step() until a condition holds or the time is over; say whether it holds."""
        end_ns = self.now_ns + int(timeout_s * SECOND)
        while not until():
            if self.now_ns >= end_ns:
                return False
            for event in self.step():
                if heard is not None:
                    heard(event)
        return True

    def _transmit(self) -> None:
        while (sent := self.endpoint.transmit(self.now_ns)) is not None:
            frame, to = sent
            if self.random.random() >= self.loss:
                try:
                    self.socket.sendto(frame, unpack(to.data))
                except OSError:
                    continue  # a full socket, or nobody there: lost like any frame

    def _receive(self) -> None:
        for _ in range(RING_FRAMES):
            try:
                frame, (host, port) = self.socket.recvfrom(self.largest)
            except BlockingIOError:
                return
            except ConnectionError:
                continue  # an answer to an earlier frame: nobody listened there
            self.endpoint.receive(self.now_ns, Address(UDP4, pack(host, port)), frame)


def _secret(path: Path) -> bytes:
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(os.urandom(32))
    return path.read_bytes()


def _endpoint_of(word: str) -> tuple[str, int]:
    host, _, port = word.rpartition(":")
    return host, int(port)


def _peers(words: Sequence[str]) -> list[Peer]:
    peers = []
    for number, word in enumerate(words, 1):
        key, _, where = word.partition("@")
        address = pack(*_endpoint_of(where)) if where else pack("127.0.0.1", 9)
        peers.append(Peer(number, (bytes.fromhex(key),), Address(UDP4, address)))
    return peers


def _echo(peer: UdpPeer) -> int:
    flows: set[tuple[int, int]] = set()

    def heard(event: Event) -> None:
        print(event.kind.value, f"channel {event.channel:#x}", f"flow {event.flow}", flush=True)
        if event.kind is Happened.FLOW_OPENED:
            flows.add((event.channel, event.flow))

    def turn() -> bool:
        for channel, flow in list(flows):
            try:
                data = peer.endpoint.read(channel, flow)
                if data:
                    peer.endpoint.write(peer.now_ns, channel, flow, data)
                elif data is not None:
                    peer.endpoint.write(peer.now_ns, channel, flow, b"", end=True)
                    flows.discard((channel, flow))
            except BlockingIOError:
                continue
            except OSError:
                flows.discard((channel, flow))
        return False

    while True:
        peer.run(turn, 3600.0, heard)


def _send(peer: UdpPeer, texts: Sequence[str]) -> int:
    channel = peer.endpoint.open_channel(peer.now_ns, 1, 0)
    up: list[Event] = []

    def heard(event: Event) -> None:
        if event.kind is Happened.CHANNEL_UP:
            up.append(event)

    if not peer.run(lambda: bool(up), 10.0, heard):
        print("no answer", file=sys.stderr)
        return 1
    flow = peer.endpoint.open_flow(peer.now_ns, up[0].channel, MESSAGES)
    for text in texts:
        peer.endpoint.write(peer.now_ns, up[0].channel, flow, text.encode())
        answers: list[bytes] = []

        def read(answers: list[bytes] = answers) -> bool:
            data = peer.endpoint.read(up[0].channel, flow)
            if data is not None:
                answers.append(data)
            return bool(answers)

        if not peer.run(read, 10.0):
            print("no answer", file=sys.stderr)
            return 1
        print(answers[0].decode(errors="replace"))
    peer.endpoint.close_channel(peer.now_ns, channel)
    peer.run(lambda: peer.endpoint.channel_count == 0, 2.0)
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """The command line of the module's text."""
    parser = argparse.ArgumentParser(prog="python -m tether_hw.transport.protocol.udp", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("key").add_argument("secret", type=Path)
    for verb in ("echo", "send"):
        sub = verbs.add_parser(verb)
        sub.add_argument("--secret", type=Path, required=True)
        sub.add_argument("--counter", type=Path, required=True)
        sub.add_argument("--bind", default="127.0.0.1:0")
        sub.add_argument("--peer", action="append", required=True)
        sub.add_argument("--loss", type=float, default=0.0)
        if verb == "send":
            sub.add_argument("text", nargs="+")
    args = parser.parse_args(words)
    if args.verb == "key":
        print(public_key(_secret(args.secret)).hex())
        return 0
    peer = UdpPeer(_secret(args.secret), args.counter, _endpoint_of(args.bind), loss=args.loss)
    peer.endpoint.roster(peer.now_ns, _peers(args.peer))
    print(f"listening on {peer.address[0]}:{peer.address[1]}", file=sys.stderr, flush=True)
    try:
        return _send(peer, args.text) if args.verb == "send" else _echo(peer)
    except KeyboardInterrupt:
        return 130
    finally:
        peer.close()


if __name__ == "__main__":
    sys.exit(main())
