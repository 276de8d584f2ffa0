# SPDX-License-Identifier: Apache-2.0
"""Mixed traffic in both directions between two engines for a given time, and the accounts at its end.

    .venv/bin/python -m tests.support.soak --carrier udp|af_xdp --seconds 600

Message and byte flows, 1 B to 64 MiB, slow readers, cancelled messages. At the end every byte is accounted for: what
was not cancelled arrived once, whole, in order and unchanged; no ring or buffer overran; no invariant was violated; the
outstanding credit is back at the standing amounts; memory and descriptors are what they were.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import sys
import threading
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tether_hw.transport.channel import Channel
from tether_hw.transport.config import Limits, Link
from tether_hw.transport.duo import Duo
from tether_hw.transport.errors import EngineError, FlowClosed, TimedOut
from tether_hw.transport.flow import Flow
from tether_hw.transport.native import reject_names
from tether_hw.transport.netns import Namespace, veth_pair

LARGEST = 64 << 20
PATIENCE_S = 120.0
LAST_WORD = b"that was all"
QUEUES = 2
HARMLESS = {"flow"}  # repairs that were on their way when their flow was closed by both ends
POOL = random.Random(7).randbytes(1 << 20)  # content is cut from it
LIMITS = Limits(max_message_bytes=LARGEST, tx_cells=65536)


def pick_size(rng: random.Random, largest: int) -> int:
    """1 byte to `largest`, evenly over the orders of magnitude."""
    return min(largest, max(1, round(math.exp(rng.uniform(0, math.log(largest))))))


def content(rng: random.Random, size: int) -> memoryview:
    """`size` bytes that differ from draw to draw."""
    if size <= len(POOL):
        start = rng.randrange(len(POOL) - size + 1)
        return memoryview(POOL)[start : start + size]
    start = rng.randrange(len(POOL))
    turned = POOL[start:] + POOL[:start]
    return memoryview(turned * (size // len(POOL) + 1))[:size]


@dataclass
class Account:
    """What went through, over all workers."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    wrong: list[str] = field(default_factory=list)
    sent_bytes: int = 0
    received_bytes: int = 0
    messages: int = 0
    cancelled: int = 0
    flows: int = 0
    largest: int = 0

    def add(self, **counts: int) -> None:
        with self.lock:
            for name, count in counts.items():
                setattr(self, name, max(self.largest, count) if name == "largest" else getattr(self, name) + count)

    def fail(self, words: str) -> None:
        with self.lock:
            self.wrong.append(words)


class Worker:
    """One flow after the other from one channel to its other end, a thread on each side."""

    def __init__(
        self, number: int, ours: Channel, theirs: Channel, account: Account, until: float, largest: int
    ) -> None:
        self.rng = random.Random(number)
        self.kind = ("message", "bytes", "cancel", "slow")[number % 4]
        self.ours = ours
        self.theirs = theirs
        self.account = account
        self.until = until
        self.largest = largest
        self.name = f"worker {number} ({self.kind}) on lane {ours.lane}"

    def run(self) -> None:
        while time.monotonic() < self.until and not self.account.wrong:
            try:
                if self.kind in ("message", "cancel"):
                    self.messages()
                else:
                    self.stream()
            except EngineError as error:
                self.account.fail(f"{self.name}: {type(error).__name__}: {error}")
            self.account.add(flows=1)

    def pair(self, kind: str) -> tuple[Flow, Flow]:
        """A new flow and its other end. Workers that share a channel open one at a time."""
        with PAIRING:
            flow = self.ours.open_flow(kind)
            flow.send(b"\0", PATIENCE_S) if kind == "message" else flow.write(b"\0", PATIENCE_S, flush=True)
            return flow, self.theirs.accept_flow(PATIENCE_S)

    def messages(self) -> None:
        flow, other = self.pair("message")
        other.recv(PATIENCE_S)
        sent: dict[int, tuple[int, int]] = {}
        after_cancel = [-1]
        reader = threading.Thread(target=self.read_messages, args=(other, sent, after_cancel), daemon=True)
        reader.start()
        for index in range(self.rng.randrange(1, 24)):
            body = content(self.rng, pick_size(self.rng, self.largest - 8))
            message = index.to_bytes(8, "little") + body.tobytes()
            sent[index] = (len(message), zlib.crc32(message))
            flow.send(message, PATIENCE_S)
            self.account.add(sent_bytes=len(message), messages=1, largest=len(message))
            if self.kind == "cancel" and self.rng.random() < 0.3:
                flow.cancel()
                after_cancel[0] = index
        flow.send(LAST_WORD, PATIENCE_S)
        reader.join(PATIENCE_S)
        if reader.is_alive():
            self.account.fail(f"{self.name}: messages do not arrive: {state_words(flow)} / {state_words(other)}")
        other.close()
        flow.close()

    def read_messages(self, flow: Flow, sent: dict[int, tuple[int, int]], after_cancel: list[int]) -> None:
        got: list[int] = []
        try:
            while True:
                message = flow.recv(PATIENCE_S)
                if message == LAST_WORD:
                    break
                index = int.from_bytes(message[:8], "little")
                if sent.get(index) != (len(message), zlib.crc32(message)):
                    self.account.fail(f"{self.name}: message {index} is not what was sent")
                if got and index <= got[-1]:
                    self.account.fail(f"{self.name}: message {index} after {got[-1]}")
                got.append(index)
                self.account.add(received_bytes=len(message))
        except EngineError as error:
            self.account.fail(f"{self.name}: reading: {type(error).__name__}: {error}")
            return
        lost = sorted(set(sent) - set(got))
        if any(index > after_cancel[0] for index in lost):
            self.account.fail(f"{self.name}: messages {lost} were not cancelled and did not arrive")
        self.account.add(cancelled=len(lost), sent_bytes=-sum(sent[index][0] for index in lost))

    def stream(self) -> None:
        flow, other = self.pair("bytes")
        size = pick_size(self.rng, self.largest)
        digests: list[str] = []
        reader = threading.Thread(target=self.read_stream, args=(other, size, digests), daemon=True)
        reader.start()
        digest = hashlib.sha256(b"\0")
        left = size
        while left:
            piece = content(self.rng, min(left, pick_size(self.rng, 4 << 20)))
            flush = self.rng.random() < 0.2
            if flow.write(piece, PATIENCE_S, flush) < len(piece):
                raise TimedOut(f"{self.name}: the stream stands: {state_words(flow)} / {state_words(other)}")
            digest.update(piece)
            left -= len(piece)
            self.account.add(sent_bytes=len(piece))
        self.account.add(largest=size)
        flow.end(PATIENCE_S)
        reader.join(PATIENCE_S)
        if digests != [digest.hexdigest()]:
            self.account.fail(f"{self.name}: a stream of {size} bytes did not arrive as sent: {state_words(flow)}")
        flow.close()
        other.close()

    def read_stream(self, flow: Flow, size: int, digests: list[str]) -> None:
        digest = hashlib.sha256()
        rng = random.Random(size)
        got = 0
        buffer = memoryview(bytearray(1 << 20))
        try:
            while count := flow.readinto(buffer[: pick_size(rng, len(buffer))], PATIENCE_S):
                digest.update(buffer[:count])
                got += count
                if self.kind == "slow" and rng.random() < 0.02:
                    time.sleep(rng.uniform(0, 0.02))
        except FlowClosed:
            return
        except EngineError as error:
            self.account.fail(f"{self.name}: reading: {type(error).__name__}: {error}")
            return
        self.account.add(received_bytes=got - 1)
        digests.append(digest.hexdigest())


PAIRING = threading.Lock()


def state_words(flow: Flow) -> str:
    """The counters of a flow, for a failure."""
    try:
        state = flow.state()
    except EngineError as error:
        return str(error)
    return " ".join(f"{name}={getattr(state, name)}" for name, *_ in state._fields_ if name != "struct_size")


def private_bytes() -> int:
    """Private writable memory of this process, touched or not: a pool that fills slowly is no growth."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    """Open descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def warm(duo: Duo, largest: int) -> None:
    """One largest message over every lane both ways: buffers that the kernel has not given yet are no growth later."""
    for ours, theirs in zip(duo.channels, duo.peer_channels):
        for one, other in ((ours, theirs), (theirs, ours)):
            with one.open_flow("message") as flow:
                flow.send(bytes(largest), PATIENCE_S)
                with other.accept_flow(PATIENCE_S) as end:
                    assert len(end.recv(PATIENCE_S)) == largest


def refusals(duo: Duo) -> dict[str, int]:
    """Refused frames of both engines by reason."""
    found = dict.fromkeys(reject_names(), 0)
    for engine in (duo.a, duo.b):
        for lane in engine.lanes:
            stats, _ = engine.stats(lane.lane)
            for index, name in enumerate(found):
                found[name] += stats.rejects[index]
    return found


def settle(duo: Duo, limit_s: float = 20.0) -> list[str]:
    """Wait until the outstanding credit is back at the standing amounts; what is wrong after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while True:
        wrong = []
        for name, engine in (("a", duo.a), ("b", duo.b)):
            for lane in engine.lanes:
                stats, _ = engine.stats(lane.lane)
                if stats.grants_outstanding_slots != stats.standing_slots:
                    outstanding, standing = stats.grants_outstanding_slots, stats.standing_slots
                    wrong.append(f"{name} lane {lane.lane}: {outstanding} slots outstanding, {standing} standing")
        if not wrong or time.monotonic() > deadline:
            return wrong
        time.sleep(0.05)


def books(duo: Duo) -> tuple[list[str], dict[str, int]]:
    """What the counters say against us, and their sums."""
    wrong = []
    sums: dict[str, int] = {}
    for name, engine in (("a", duo.a), ("b", duo.b)):
        for lane in engine.lanes:
            stats, carrier = engine.stats(lane.lane)
            for what, value in (
                ("overruns", carrier.overruns),
                ("invariant violations", stats.invariant_violations),
                ("misdirected", carrier.misdirected),
            ):
                if value:
                    wrong.append(f"{name} lane {lane.lane}: {value} {what}")
            for what in ("frames_sent", "repairs_sent", "nacks_sent", "blocked_sent", "refresh_sent", "skips_sent"):
                sums[what] = sums.get(what, 0) + getattr(stats, what)
    return wrong, sums


def soak(carrier: str, seconds: float, largest: int = LARGEST, workers: int = 8) -> dict[str, Any]:
    """Run it. The accounts; `wrong` is empty when all is well."""
    spaces = None
    if carrier == "af_xdp":
        spaces = (Namespace(), Namespace())
        veth_pair(*spaces, "data0", QUEUES, 1500)
    account = Account()
    samples: list[tuple[int, int]] = []
    try:
        with Duo(carrier, QUEUES, spaces=spaces, limits=LIMITS, link=Link(rtt_ns=200_000)) as duo:
            warm(duo, largest)
            before = refusals(duo)  # a Hail that was repeated is answered twice; after that nothing may be refused
            begun = time.monotonic()
            until = begun + seconds
            threads = []
            for number in range(workers):
                lane = number // 4 % QUEUES
                ends = (duo.channels[lane], duo.peer_channels[lane])
                ours, theirs = ends if (number + number // 4) % 2 == 0 else ends[::-1]
                worker = Worker(number, ours, theirs, account, until, largest)
                threads.append(threading.Thread(target=worker.run, name=worker.name, daemon=True))
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                time.sleep(0.5)
                samples.append((private_bytes(), descriptors()))
            wrong = [*account.wrong, *settle(duo)]
            found, sums = books(duo)
            wrong += found
            for reason, count in refusals(duo).items():
                if count > before[reason] and reason not in HARMLESS:
                    wrong.append(f"{count - before[reason]} frames refused: {reason}")
    finally:
        for space in spaces or ():
            space.close()
    wrong += growth(samples)
    if account.sent_bytes != account.received_bytes:
        wrong.append(f"{account.sent_bytes} bytes sent and not cancelled, {account.received_bytes} received")
    return {
        "schema": "tether.engine.soak/1",
        "carrier": carrier,
        "seconds": round(time.monotonic() - begun, 1),
        "bytes": account.received_bytes,
        "messages": account.messages,
        "cancelled": account.cancelled,
        "flows": account.flows,
        "largest": account.largest,
        "counters": sums,
        "private_bytes": [samples[len(samples) // 2][0], samples[-1][0]],
        "wrong": wrong,
    }


def growth(samples: list[tuple[int, int]]) -> list[str]:
    """Memory and descriptors of the last third against the third before it, by their least values."""
    third = len(samples) // 3
    if third < 5:
        return []
    wrong = []
    middle, last = samples[third : 2 * third], samples[2 * third :]
    before, after = min(memory for memory, _ in middle), min(memory for memory, _ in last)
    if after > before * 1.1 + (64 << 20):
        wrong.append(f"memory grew from {before >> 20} to {after >> 20} MiB")
    if min(fds for _, fds in last) > min(fds for _, fds in middle):
        wrong.append("descriptors grew")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--carrier", choices=("udp", "af_xdp"), default="udp")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--workers", type=int, default=8)
    args = parser.parse_args()
    result = soak(args.carrier, args.seconds, workers=args.workers)
    print(json.dumps(result, indent=1))
    return 1 if result["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
