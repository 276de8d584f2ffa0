# SPDX-License-Identifier: Apache-2.0
"""Two engines of the real library over UDP on loopback, by the blocking and the asyncio API."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import mmap
import os
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tether_hw.transport import binding
from tether_hw.transport.aio import AsyncEngine
from tether_hw.transport.config import Address, Lane, Limits, Link, Peer, Roster
from tether_hw.transport.duo import Duo, free_udp_port
from tether_hw.transport.engine import Engine
from tether_hw.transport.errors import ChannelDown, EngineError, FlowClosed, MessageTooLarge, TimedOut
from tether_hw.transport.flow import Flow
from tether_hw.transport.identity import public_key

SMALL = Limits(max_message_bytes=4 << 20, rx_cells=8192, tx_cells=4096, max_channels=16, max_flows=16)
WAIT_S = 20.0


@pytest.fixture(scope="module")
def duo() -> Iterator[Duo]:
    with Duo("udp", 2, limits=SMALL) as pair:
        yield pair


@contextlib.contextmanager
def flow_pair(duo: Duo, kind: str, lane: int = 0, bound: int = 0) -> Iterator[tuple[Flow, Flow]]:
    """A new flow and its other end."""
    with duo.channels[lane].open_flow(kind, bound) as flow, duo.peer_channels[lane].accept_flow(WAIT_S) as other:
        assert (other.number, other.kind) == (flow.number, flow.kind)
        yield flow, other


def test_channels_know_their_ends(duo: Duo) -> None:
    for lane, channel in enumerate(duo.channels):
        info = channel.info()
        assert (info.state, info.initiator, info.remote_lane) == (binding.CHANNEL_UP, 1, lane)
        assert channel.peer == "b"
        assert duo.peer_channels[lane].peer == "a"
        assert duo.peer_channels[lane].info().initiator == 0


def test_the_manifest_names_every_lane(duo: Duo) -> None:
    for channels, engine in ((duo.channels, duo.b), (duo.peer_channels, duo.a)):
        for channel in channels:
            assert channel.peer_lanes(WAIT_S) == {lane.lane: lane.address for lane in engine.lanes}


@pytest.mark.parametrize("size", [1, 63, 64, 65, 1408, 1409, 100_000, 4 << 20])
def test_messages_arrive_whole_both_ways(duo: Duo, size: int) -> None:
    message = os.urandom(size)
    with flow_pair(duo, "message") as (flow, other):
        flow.send(message, WAIT_S)
        assert other.recv(WAIT_S) == message
        other.send(message[::-1], WAIT_S)
        assert flow.recv(WAIT_S) == message[::-1]


def test_messages_keep_their_order_and_borders(duo: Duo) -> None:
    messages = [os.urandom(1 + index * 37 % 5000) for index in range(300)]
    with flow_pair(duo, "message", 1) as (flow, other):

        def send() -> None:
            for message in messages:
                flow.send(message, WAIT_S)

        thread = threading.Thread(target=send)
        thread.start()
        assert [other.recv(WAIT_S) for _ in messages] == messages
        thread.join()


def test_a_stream_arrives_and_ends(duo: Duo) -> None:
    content = os.urandom(10_000_001)
    with flow_pair(duo, "bytes") as (flow, other):

        def write() -> None:
            flow.write(content, WAIT_S)
            flow.end(WAIT_S)

        thread = threading.Thread(target=write)
        thread.start()
        digest = hashlib.sha256()
        for piece in other:
            digest.update(piece)
        thread.join()
        assert digest.digest() == hashlib.sha256(content).digest()
        assert other.at_end
        assert other.read(10, WAIT_S) == b""
        flow.drain(WAIT_S)
        state = flow.state()
        assert (state.unsent_bytes, state.unacknowledged_bytes) == (0, 0)
        assert state.flags & binding.FLOW_LOCAL_END


def test_flushed_bytes_do_not_wait_for_more(duo: Duo) -> None:
    with flow_pair(duo, "bytes") as (flow, other):
        flow.write(b"only three words", WAIT_S, flush=True)
        buffer = bytearray(16)
        assert other.readexactly(buffer, WAIT_S) == 16
        assert buffer == b"only three words"


def test_read_only_buffers_are_sent_without_a_copy(duo: Duo, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(50_000))
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        flow_pair(duo, "message") as (flow, other),
        memoryview(mapped) as view,
    ):
        flow.send(view[1000:40_000], WAIT_S)
        assert other.recv(WAIT_S) == mapped[1000:40_000]


def test_times_are_kept(duo: Duo) -> None:
    with flow_pair(duo, "message") as (flow, _):
        begun = time.monotonic()
        with pytest.raises(TimedOut):
            flow.recv(0.2)
        assert 0.15 < time.monotonic() - begun < 5
        with pytest.raises(TimedOut):
            flow.recv(0)
    with pytest.raises(TimedOut):
        duo.a.accept(0.05)


def test_a_message_above_the_bound_is_refused(duo: Duo) -> None:
    with flow_pair(duo, "message", bound=1000) as (flow, other):
        with pytest.raises(MessageTooLarge):
            flow.send(bytes(1001), WAIT_S)
        flow.send(bytes(1000), WAIT_S)
        assert len(other.recv(WAIT_S)) == 1000
    with pytest.raises(MessageTooLarge):
        duo.channels[0].open_flow("message", bound=(4 << 20) + 1)


def test_a_full_stream_takes_part_of_a_write(duo: Duo) -> None:
    """Nobody reads: buffers fill, the write comes back with what it placed, and all of it arrives in the end."""
    content = os.urandom(32 << 20)
    with flow_pair(duo, "bytes") as (flow, other):
        placed = flow.write(content, 1.0)
        assert 0 < placed < len(content)
        with pytest.raises(TimedOut):
            flow.write(content[placed:], 0)
        flow.write(b"", WAIT_S, flush=True)
        got = bytearray()
        while len(got) < placed:
            got += other.read(1 << 20, WAIT_S)
        assert bytes(got) == content[:placed]


def test_cancelled_messages_give_their_credit_back(duo: Duo) -> None:
    with flow_pair(duo, "message") as (flow, other):
        sent = 0
        try:
            while sent < 64:
                flow.send(bytes([sent]) * (1 << 20), 0)
                sent += 1
        except TimedOut:
            pass
        flow.cancel()
        flow.send(b"last", WAIT_S)
        got = 0
        while (message := other.recv(WAIT_S)) != b"last":
            assert message == bytes([message[0]]) * (1 << 20)
            got += 1
        assert got <= sent
    deadline = time.monotonic() + WAIT_S
    while True:
        stats, _ = duo.b.stats(0)
        if stats.grants_outstanding_slots == stats.standing_slots:
            break
        assert time.monotonic() < deadline, (stats.grants_outstanding_slots, stats.standing_slots)
        time.sleep(0.02)


def test_a_closed_flow_says_so_on_both_ends(duo: Duo) -> None:
    with flow_pair(duo, "message") as (flow, other):
        flow.send(b"x", WAIT_S)
        assert other.recv(WAIT_S) == b"x"
        flow.close()
        flow.close()
        with pytest.raises(FlowClosed):
            other.recv(WAIT_S)
        with pytest.raises(FlowClosed):
            flow.send(b"y", WAIT_S)
        assert list(other) == []


def test_names_not_in_the_roster_are_errors(duo: Duo) -> None:
    with pytest.raises(EngineError, match="c is not in the roster"):
        duo.a.connect("c")


def test_nobody_answers(duo: Duo) -> None:
    begun = time.monotonic()
    with pytest.raises(TimedOut, match="no answer from b"):
        duo.a.connect("b", 0, 9, Address(udp=f"127.0.0.1:{free_udp_port()}"), timeout=0.5)
    assert time.monotonic() - begun < 10


def test_a_removed_peer_goes_down_and_comes_back() -> None:
    with Duo("udp", 1, limits=SMALL) as duo:
        peer = Peer("a", (public_key(bytes(32)),), "bench0", duo.a.lanes[0].address)
        flow = duo.channels[0].open_flow("message")
        flow.send(b"x", WAIT_S)
        other = duo.peer_channels[0].accept_flow(WAIT_S)
        assert other.recv(WAIT_S) == b"x"
        duo.b.roster(Roster((peer,)))  # another key: the channel has to go
        with pytest.raises((ChannelDown, FlowClosed)):
            other.recv(WAIT_S)
        deadline = time.monotonic() + WAIT_S
        while duo.peer_channels[0].down is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert duo.peer_channels[0].down == "no longer in the roster"


def test_closing_an_engine_wakes_who_waits() -> None:
    duo = Duo("udp", 1, limits=SMALL)
    duo.connect()
    flow = duo.channels[0].open_flow("message")
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            flow.recv(None)
        except EngineError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.1)
    duo.a.native.stop()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert isinstance(caught[0], (ChannelDown, FlowClosed))
    duo.close()


def test_engines_leave_nothing_behind() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    with Duo("udp", 1, limits=SMALL):
        pass
    gc.collect()
    before, threads = descriptors(), threading.active_count()
    for _ in range(3):
        with Duo("udp", 1, limits=SMALL) as duo:
            duo.channels[0].open_flow("message").send(b"x", WAIT_S)
    gc.collect()
    assert (descriptors(), threading.active_count()) == (before, threads)


def test_asyncio(tmp_path: Path) -> None:
    """Both ends in one loop, messages and a stream; nothing blocks the loop."""
    secret = [secrets.token_bytes(32), secrets.token_bytes(32)]
    lanes = [[Lane(0, "lo", "lo", 0, "l", "udp", Address(udp=f"127.0.0.1:{free_udp_port()}"))] for _ in (0, 1)]
    links = {"l": Link(rtt_ns=100_000)}
    content = os.urandom(20 << 20)

    async def run() -> None:
        async with (
            AsyncEngine(secret[0], lanes[0], links, str(tmp_path / "0"), SMALL) as a,
            AsyncEngine(secret[1], lanes[1], links, str(tmp_path / "1"), SMALL) as b,
        ):
            a.roster(Roster((Peer("b", (public_key(secret[1]),), "l", lanes[1][0].address),)))
            b.roster(Roster((Peer("a", (public_key(secret[0]),), "l", lanes[0][0].address),)))
            channel = await a.connect("b")
            there = await asyncio.wait_for(b.accept(), WAIT_S)
            assert (channel.peer, there.peer) == ("b", "a")

            async def answer() -> None:
                flow = await there.accept_flow()
                async for message in flow:
                    await flow.send(message[::-1])

            answering = asyncio.create_task(answer())
            flow = channel.open_flow("message")
            for size in (1, 1000, 1 << 20):
                message = os.urandom(size)
                await flow.send(message)
                assert await flow.recv() == message[::-1]
            await flow.drain()
            flow.close()
            await asyncio.wait_for(answering, WAIT_S)

            stream = channel.open_flow("bytes")

            async def write() -> None:
                await stream.write(content)
                await stream.end()

            writing = asyncio.create_task(write())
            other = await there.accept_flow()
            digest = hashlib.sha256()
            async for piece in other:
                digest.update(piece)
            await writing
            assert digest.digest() == hashlib.sha256(content).digest()

            waiting = asyncio.create_task(flow.recv())
            with pytest.raises((FlowClosed, ChannelDown)):
                await asyncio.wait_for(waiting, WAIT_S)
            with pytest.raises(TimedOut):
                await a.connect("b", 0, 9, Address(udp=f"127.0.0.1:{free_udp_port()}"), timeout=0.3)

    asyncio.run(asyncio.wait_for(run(), 60))


def test_an_engine_refuses_what_it_cannot_open(tmp_path: Path) -> None:
    lane = Lane(0, "x", "nodevice0", 0, "l", "af_packet", Address(mac="02:00:00:00:00:01"))
    with pytest.raises(EngineError, match="lane 0"):
        Engine(bytes(range(32)), [lane], {"l": Link()}, str(tmp_path / "counter"), SMALL)
    taken = Lane(0, "lo", "lo", 0, "l", "udp", Address(udp=f"127.0.0.1:{free_udp_port()}"))
    first = Engine(bytes(range(32)), [taken], {"l": Link()}, str(tmp_path / "1"), SMALL)
    try:
        with pytest.raises(EngineError, match="lane 0"):
            Engine(bytes(range(32)), [taken], {"l": Link()}, str(tmp_path / "2"), SMALL)
    finally:
        first.close()
