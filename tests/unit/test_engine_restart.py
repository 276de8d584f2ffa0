# SPDX-License-Identifier: Apache-2.0
"""An engine that restarts in the middle of messages: nothing comes twice, and what has no receipt comes back."""

from __future__ import annotations

import contextlib
import itertools
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tether_hw.transport.config import Address, Lane, Limits, Link, Peer, Roster
from tether_hw.transport.duo import free_udp_port
from tether_hw.transport.engine import Engine
from tether_hw.transport.errors import EngineError, TimedOut
from tether_hw.transport.flow import Flow
from tether_hw.transport.identity import public_key

SMALL = Limits(max_message_bytes=1 << 20, rx_cells=512, tx_cells=4096, max_channels=8, max_flows=8)
WAIT_S = 40.0


class Side:
    """One node that can be stopped without a word and started again with the same key, port and counter."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.secret = secrets.token_bytes(32)
        self.address = Address(udp=f"127.0.0.1:{free_udp_port()}")
        self.counter = str(folder / name)
        self.other: Side | None = None
        self.engine: Engine | None = None

    def start(self) -> Engine:
        """A new life."""
        assert self.other is not None
        lane = Lane(0, "lo", "lo", 0, "l", "udp", self.address)
        self.engine = Engine(self.secret, [lane], {"l": Link(rtt_ns=100_000)}, self.counter, SMALL)
        peer = Peer(self.other.name, (public_key(self.other.secret),), "l", self.other.address)
        self.engine.roster(Roster((peer,)))
        self.engine.start()
        return self.engine

    def stop(self) -> None:
        """Channels end without a word to the peer."""
        if self.engine is not None:
            self.engine.close()
            self.engine = None


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[tuple[Side, Side]]:
    a, b = Side(tmp_path, "a"), Side(tmp_path, "b")
    a.other, b.other = b, a
    a.start()
    b.start()
    yield a, b
    a.stop()
    b.stop()


def fill(flow: Flow) -> int:
    """Send numbered messages until no more are taken; their count."""
    for number in itertools.count():
        try:
            assert flow.send(number.to_bytes(4, "little") + bytes(3000), 0.5) == number
        except TimedOut:
            return number
    raise AssertionError


def numbers(flow: Flow, least: int) -> list[int]:
    """What can be read now, `least` of it at any rate."""
    got: list[int] = []
    with contextlib.suppress(TimedOut):
        while True:
            got.append(int.from_bytes(flow.recv(WAIT_S if len(got) < least else 0.2)[:4], "little"))
    return got


@pytest.mark.proves("T-RST-1", "T-RST-2", "T-RST-4", "T-CNF-5", "T-FLW-23")
def test_the_receiver_restarts(sides: tuple[Side, Side]) -> None:
    a, b = sides
    assert a.engine is not None and b.engine is not None
    flow = a.engine.connect("b").open_flow("message", 4000)
    there = b.engine.accept(WAIT_S).accept_flow(WAIT_S)
    assert flow.send(b"\0" * 4) == 0
    assert there.recv(WAIT_S) == b"\0" * 4
    flow.drain(WAIT_S)
    b.stop()
    sent = 1
    with contextlib.suppress(TimedOut):
        while True:
            flow.send(sent.to_bytes(4, "little") + bytes(3000), 0.5)
            sent += 1
    b.start()
    assert b.engine is not None
    again = a.engine.connect("b", timeout=WAIT_S)
    with pytest.raises(EngineError):
        flow.recv(WAIT_S)  # its channel fell
    unknown, unsent = flow.outcome(WAIT_S)
    assert unknown.start == 1  # 0 has its receipt
    assert unknown.stop == unsent.start
    assert unsent.stop == sent
    assert len(unknown) >= 1 and len(unsent) >= 1
    second = again.open_flow("message", 4000)
    second.send(b"\1\1\1\1")
    later = b.engine.accept(WAIT_S).accept_flow(WAIT_S)
    assert numbers(later, 1) == [0x01010101]  # nothing of before is sent again


@pytest.mark.proves("T-RST-1", "T-RST-4", "T-CNF-5", "T-FLW-23")
def test_the_sender_restarts(sides: tuple[Side, Side]) -> None:
    a, b = sides
    assert a.engine is not None and b.engine is not None
    flow = a.engine.connect("b").open_flow("message", 4000)
    there = b.engine.accept(WAIT_S).accept_flow(WAIT_S)
    sent = fill(flow)
    first = numbers(there, 100)
    a.stop()
    first += numbers(there, 0) if there.channel.down is None else []
    assert first == sorted(set(first)) and first[-1] < sent  # each once, in order
    a.start()
    assert a.engine is not None
    second = a.engine.connect("b", timeout=WAIT_S).open_flow("message", 4000)
    second.send(b"\2\2\2\2")
    later = b.engine.accept(WAIT_S).accept_flow(WAIT_S)
    assert numbers(later, 1) == [0x02020202]
    with contextlib.suppress(EngineError):
        rest = numbers(there, 0)  # what had arrived of the old channel can still be read, and is no repetition
        assert not set(rest) & set(first)
