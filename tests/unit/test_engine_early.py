# SPDX-License-Identifier: Apache-2.0
"""Early data between two engines over UDP on loopback: taken once, never from a recording, gone with a restart."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.relay import Relay, warm
from tether_hw.transport.aio import AsyncEngine
from tether_hw.transport.channel import Channel
from tether_hw.transport.config import Address, Lane, Limits, Link, Peer, Roster
from tether_hw.transport.duo import free_udp_port
from tether_hw.transport.early import EarlyMessage
from tether_hw.transport.engine import Engine
from tether_hw.transport.errors import (
    ChannelDown,
    EarlyRefused,
    EarlyUnavailable,
    EngineError,
    MessageTooLarge,
    TimedOut,
)
from tether_hw.transport.identity import public_key

WAIT_S = 20.0
KEYS = {name: name.encode() * 32 for name in "ab"}
OTHER = {"a": "b", "b": "a"}
LINK = {"l": Link(rtt_ns=100_000)}
LIMITS = Limits(
    max_message_bytes=1 << 20,
    rx_cells=2048,
    tx_cells=1024,
    max_channels=8,
    max_flows=8,
    lamp_source_per_s=100_000,
    early_bytes=500,
)
REGISTER = 1024  # counters that a strike register knows
QUEUE = 16  # messages that wait for their reader


class Pair:
    """Engines a and b; a finds b behind a relay."""

    def __init__(self, folder: Path, limits: Limits = LIMITS) -> None:
        self.folder = folder
        self.limits = limits
        self.address = {name: f"127.0.0.1:{free_udp_port()}" for name in "ab"}
        self.relay = Relay(self.address["b"])
        self.engines: dict[str, Engine] = {}

    def start(self, name: str) -> Engine:
        lane = Lane(0, "lo", "lo", 0, "l", "udp", Address(udp=self.address[name]))
        engine = Engine(KEYS[name], [lane], LINK, str(self.folder / f"{name}.counter"), self.limits)
        there = self.relay.front if name == "a" else self.address["a"]
        other = OTHER[name]
        engine.roster(Roster((Peer(other, (public_key(KEYS[other]),), "l", Address(udp=there)),)))
        engine.start()
        self.engines[name] = engine
        return engine

    def restart(self, name: str) -> Engine:
        self.engines[name].close()
        return self.start(name)

    def counter(self, name: str, what: str) -> int:
        return int(getattr(self.engines[name].stats(0)[0], what))

    def know_each_other(self) -> None:
        """A channel that has carried something, so that both have said what they take, and has ended."""
        a, b = self.engines["a"], self.engines["b"]
        channel = a.connect("b", timeout=WAIT_S)
        other = b.accept(WAIT_S)
        with channel.open_flow("message") as flow, other.accept_flow(WAIT_S) as end:
            flow.send(b"x", WAIT_S)
            assert end.recv(WAIT_S) == b"x"
            end.send(b"y", WAIT_S)
            assert flow.recv(WAIT_S) == b"y"
            flow.drain(WAIT_S)
            end.drain(WAIT_S)
        channel.close()
        wait_for(lambda: other.down is not None)
        wait_for(lambda: self.counter("a", "channels") == 0 and self.counter("b", "channels") == 0)


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextlib.contextmanager
def pair_of(folder: Path, limits: Limits = LIMITS) -> Iterator[Pair]:
    pair = Pair(folder, limits)
    with pair.relay:
        try:
            pair.start("a")
            pair.start("b")
            yield pair
        finally:
            for engine in pair.engines.values():
                engine.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with pair_of(tmp_path) as made:
        made.know_each_other()
        yield made


def test_one_message_ahead_of_any_channel(pair: Pair) -> None:
    a, b = pair.engines["a"], pair.engines["b"]
    hails = len([frame for frame in pair.relay.forth if frame[4:8] == bytes(4)])
    a.send_early("b", b"ahead of everything")
    assert b.accept_early(WAIT_S) == EarlyMessage("a", 0, b"ahead of everything")
    b.send_early("a", b"and back")
    assert a.accept_early(WAIT_S) == EarlyMessage("b", 0, b"and back")
    for engine in (a, b):
        assert engine.channels() == []
        with pytest.raises(TimedOut):
            engine.accept_early(0)
    assert len([frame for frame in pair.relay.forth if frame[4:8] == bytes(4)]) == hails, "somebody hailed"
    assert [pair.counter(name, "early_sent") for name in "ab"] == [1, 1]
    assert [pair.counter(name, "early_received") for name in "ab"] == [1, 1]
    with pytest.raises(MessageTooLarge):
        a.send_early("b", bytes(501))
    # a channel is made as ever, and then there is nothing early any more
    channel = a.connect("b", timeout=WAIT_S)
    assert isinstance(channel, Channel)


@pytest.mark.proves("T-WRM-6")
def test_a_recorded_lamp_is_delivered_once(pair: Pair) -> None:
    a, b = pair.engines["a"], pair.engines["b"]
    a.send_early("b", b"once")
    assert b.accept_early(WAIT_S).data == b"once"
    (lamp, *_) = [frame for frame in pair.relay.forth if warm(frame)]
    answers = len([frame for frame in pair.relay.back if warm(frame)])
    before = pair.counter("b", "early_repeated")
    for count in range(1, 4):
        pair.relay.say_again(lamp)
        wait_for(lambda count=count: pair.counter("b", "early_repeated") == before + count)  # type: ignore[misc]
    wait_for(lambda: len([frame for frame in pair.relay.back if warm(frame)]) == answers + 3)
    with pytest.raises(TimedOut):
        b.accept_early(0)
    # older than the register: it cannot know any more, and refuses
    for number in range(REGISTER + 1):
        a.send_early("b", b"%d" % number, timeout=WAIT_S)
        assert b.accept_early(WAIT_S).data == b"%d" % number
    assert pair.counter("b", "early_refused") == 0
    pair.relay.say_again(lamp)
    wait_for(lambda: pair.counter("b", "early_refused") == 1)
    with pytest.raises(TimedOut):
        b.accept_early(0)
    # a forged one is no Lamp at all
    pair.relay.say_again(lamp[:90] + bytes([lamp[90] ^ 1]) + lamp[91:])
    auth = [pair.engines["b"].native.library.tether_reject_name(i) for i in range(16)].index(b"auth")
    wait_for(lambda: b.stats(0)[0].rejects[auth] == 1)


def test_a_message_that_nobody_reads_is_refused(pair: Pair) -> None:
    a, b = pair.engines["a"], pair.engines["b"]
    for number in range(QUEUE):
        a.send_early("b", b"%d" % number)
    with pytest.raises(EarlyRefused):
        a.send_early("b", b"one too many")
    assert pair.counter("b", "early_refused") == 1
    assert [b.accept_early(0).data for _ in range(QUEUE)] == [b"%d" % number for number in range(QUEUE)]
    a.send_early("b", b"one too many")
    assert b.accept_early(WAIT_S).data == b"one too many"


@pytest.mark.proves("T-WRM-3")
def test_a_receiver_that_restarted_knows_no_lamp(pair: Pair) -> None:
    """Neither the one that is sent now nor a recording of one that was taken: the register is gone with the keys."""
    a = pair.engines["a"]
    a.send_early("b", b"before")
    assert pair.engines["b"].accept_early(WAIT_S).data == b"before"
    (lamp, *_) = [frame for frame in pair.relay.forth if warm(frame)]
    b = pair.restart("b")
    pair.relay.say_again(lamp)
    with pytest.raises(TimedOut, match="not known"):
        a.send_early("b", b"after")
    assert pair.counter("b", "early_received") == 0
    with pytest.raises(TimedOut):
        b.accept_early(0)
    stranger = [b.native.library.tether_reject_name(i) for i in range(16)].index(b"stranger")
    assert b.stats(0)[0].rejects[stranger] >= 2
    pair.know_each_other()  # a Hail heals it
    a.send_early("b", b"again")
    assert b.accept_early(WAIT_S).data == b"again"


def test_a_sender_that_restarted_hails(pair: Pair) -> None:
    a = pair.restart("a")
    with pytest.raises(EarlyUnavailable):
        a.send_early("b", b"who am I")
    with pytest.raises(EngineError, match="not in the roster"):
        a.send_early("nobody", b"x")


def test_it_is_off_unless_asked_for(tmp_path: Path) -> None:
    with pair_of(tmp_path, replace(LIMITS, early_bytes=0)) as pair:
        pair.know_each_other()
        with pytest.raises(EarlyUnavailable):
            pair.engines["a"].send_early("b", b"x")
        with pytest.raises(EngineError, match="takes no early data"):
            pair.engines["b"].accept_early(0)


def test_a_reader_hears_of_the_end(pair: Pair) -> None:
    engine = pair.engines["b"]
    engine.close()
    with pytest.raises(ChannelDown):
        engine.accept_early(WAIT_S)


def test_asyncio(tmp_path: Path) -> None:
    pair = Pair(tmp_path)

    async def run() -> None:
        lane = Lane(0, "lo", "lo", 0, "l", "udp", Address(udp=pair.address["a"]))
        async with AsyncEngine(KEYS["a"], [lane], LINK, str(tmp_path / "a.counter"), LIMITS) as a:
            a.roster(Roster((Peer("b", (public_key(KEYS["b"]),), "l", Address(udp=pair.address["b"])),)))
            channel = await a.connect("b")
            other = await asyncio.to_thread(b.accept, WAIT_S)
            async with asyncio.timeout(WAIT_S):
                flow = channel.open_flow("message")
                await flow.send(b"x")
                end = await asyncio.to_thread(other.accept_flow, WAIT_S)
                assert await asyncio.to_thread(end.recv, WAIT_S) == b"x"
                await flow.drain()
                end.send(b"y", WAIT_S)
                assert await flow.recv() == b"y"
                channel.close()
                while other.down is None or pair.counter("b", "channels") or a.engine.stats(0)[0].channels:
                    await asyncio.sleep(0.005)
                await a.send_early("b", b"forth")
                assert (await asyncio.to_thread(b.accept_early, WAIT_S)).data == b"forth"
                waiting = asyncio.ensure_future(a.accept_early())
                await asyncio.sleep(0)
                await asyncio.to_thread(b.send_early, "a", b"back")
                assert await waiting == EarlyMessage("b", 0, b"back")

    with pair.relay:
        b = pair.start("b")
        try:
            asyncio.run(run())
        finally:
            b.close()
