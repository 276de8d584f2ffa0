# SPDX-License-Identifier: Apache-2.0
"""Exchanges between two endpoints as data: the steps of a case, run with either implementation at either end.

A case is a JSON object: `says`, `proves` (requirements), `wire` (fields of Wire), `config` (fields of Config, for
"both", "a" or "b"), `rejects` (reasons that may be counted), and `steps`. A step is a list of words:

    up                          both know the channel that a hailed for (every case begins so unless it says "cold")
    hail WHO / bye WHO / down WHO STATUS
    flow WHO NAME KIND [BOUND]  open a flow; the other end has been told of it
    open WHO NAME OPTIONS       ... with fields of FlowOptions; unfit WHO NAME OPTIONS: the opener may not
    refused WHO NAME KIND       ... which the other end refuses
    send WHO NAME SIZE...       queue messages        get WHO NAME [COUNT]   read and compare the next ones
    put WHO NAME SIZE [end]     write bytes           take WHO NAME SIZE     read and compare as many
    queue WHO NAME SIZE         bytes without flush
    end WHO NAME                the bytes are at their end       pipe WHO NAME    ... or are broken off
    empty WHO NAME              nothing to read
    any WHO NAME COUNT          messages in whatever order
    place WHO NAME SIZE         bytes by their offsets, to the end       hole WHO NAME  the application is told of one
    cancel WHO NAME / close WHO NAME / closed WHO NAME / drained WHO NAME
    forget WHO NAME             what was sent and not read is not expected any more
    fails ERRNO STEP...         the step raises that error
    lose WHO COUNT              the next frames that leave are lost
    cut / mend                  nothing gets through / everything does
    idle MS / restart WHO / rewind WHO / quiet / count WHO COUNTER LEAST
"""

from __future__ import annotations

import errno
import hashlib
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from tests.support.core_party import CoreParty
from tests.support.wire import Wire
from tether_hw.transport.protocol.config import BYTES, MESSAGES, Address, Config, Event, FlowOptions, Happened, Peer
from tether_hw.transport.protocol.endpoint import Endpoint
from tether_hw.transport.protocol.noise import public_key
from tether_hw.transport.protocol.tags import LaneAddress

KINDS = {"bytes": BYTES, "messages": MESSAGES}
IMPLEMENTATIONS: dict[str, Any] = {"core": CoreParty, "reference": Endpoint}
IDS = {"a": 1, "b": 2}
WAIT_NS = 30_000_000_000
OTHER = {"a": "b", "b": "a"}


@dataclass
class Side:
    """One end: its endpoint, and what its application knows."""

    party: Any
    counters: int = 1
    starts: int = 0
    channel: int = 0
    events: list[Event] = field(default_factory=list)


@dataclass
class Exchange:
    """One run of one case."""

    case: dict[str, Any]
    implementations: tuple[str, str]
    seed: int = 1

    def __post_init__(self) -> None:
        self.wire = Wire(seed=self.seed, **self.case.get("wire", {}))
        self.flows: dict[str, int] = {}
        self.expected: dict[tuple[str, str], deque[bytes]] = {}
        self.positioned: set[str] = set()
        self.written = 0
        self.to_lose = {"a": 0, "b": 0}
        self.is_cut = False
        self.wire.drop = self._drop
        self.sides = {name: Side(None) for name in IDS}
        for name in IDS:
            self._start(name)

    def _start(self, name: str) -> None:
        side = self.sides[name]
        shared = self.case.get("config", {})
        secret = {who: hashlib.blake2s(f"exchange {who}".encode()).digest() for who in IDS}
        entropy = random.Random(f"{self.seed} {name} {side.starts}")
        config = Config(
            static_secret=secret[name], entropy=entropy.randbytes,
            lane_addresses=(LaneAddress(0, 4, name.encode()),), **{**shared.get("both", {}), **shared.get(name, {})},
        )  # fmt: skip
        party = IMPLEMENTATIONS[self.implementations["ab".index(name)]](config)
        other = OTHER[name]
        peer = Peer(IDS[other], (public_key(secret[other]),), Address(4, other.encode()))
        party.roster(self.wire.now_ns, [peer])
        party.add_counters(side.counters, side.counters + (1 << 20))
        side.counters += 1 << 20
        side.starts += 1
        side.party, side.channel, side.events = party, 0, []
        self.wire.add(name.encode(), party)

    def _drop(self, source: bytes, _frame: bytes) -> bool:
        name = source.decode()
        if self.to_lose[name]:
            self.to_lose[name] -= 1
            return True
        return self.is_cut

    # running

    def run(self) -> None:
        """All steps; AssertionError names the one that did not come true."""
        steps = self.case["steps"]
        for number, step in enumerate(([] if self.case.get("cold") else [["hail", "a"], ["up"]]) + steps):
            try:
                getattr(self, f"do_{step[0]}")(*step[1:])
            except (AssertionError, OSError) as error:
                raise AssertionError(f"step {number} {step}: {error}") from error
        self._check()

    def _check(self) -> None:
        allowed = set(self.case.get("rejects", ()))
        for side in self.sides.values():
            if isinstance(side.party, Endpoint):
                assert set(side.party.stats.rejects) <= allowed, side.party.stats.rejects
                assert side.party.stats.invariant_violations == 0
            else:
                assert side.party.statistics.invariant_violations == 0

    def _collect(self) -> None:
        for side in self.sides.values():
            for event in side.party.events():
                side.events.append(event)
                if event.kind is Happened.CHANNEL_UP:
                    side.channel = event.channel
                if event.kind is Happened.NEED_COUNTER:
                    side.counters = max(side.counters, event.value + 1)
                    side.party.add_counters(side.counters, side.counters + (1 << 20))
                    side.counters += 1 << 20

    def _wait(self, what: str, holds: Any) -> None:
        def check() -> bool:
            self._collect()
            return bool(holds())

        assert self.wire.run(check, WAIT_NS), f"{what} did not come"

    def _event(self, who: str, kind: Happened, flow: int = 0) -> Event | None:
        return next((event for event in self.sides[who].events if event.kind is kind and event.flow == flow), None)

    def _wait_event(self, who: str, kind: Happened, flow: int = 0) -> Event:
        self._wait(f"{kind.value} at {who}", lambda: self._event(who, kind, flow))
        event = self._event(who, kind, flow)
        assert event is not None
        self.sides[who].events.remove(event)
        return event

    def _data(self, size: int) -> bytes:
        self.written += 1
        return random.Random(f"data {self.written}").randbytes(size)

    # steps

    def do_hail(self, who: str) -> None:
        side = self.sides[who]
        side.channel = side.party.open_channel(self.wire.now_ns, IDS[OTHER[who]], 0)

    def do_up(self) -> None:
        for who in IDS:
            self._wait_event(who, Happened.CHANNEL_UP)

    def do_bye(self, who: str) -> None:
        side = self.sides[who]
        side.party.close_channel(self.wire.now_ns, side.channel)

    def do_down(self, who: str, status: str | list[str]) -> None:
        event = self._wait_event(who, Happened.CHANNEL_DOWN)
        words = [status] if isinstance(status, str) else status
        assert event.status in [-getattr(errno, word) if word else 0 for word in words], event

    def do_flow(self, who: str, name: str, kind: str, bound: int = 0) -> None:
        side = self.sides[who]
        number = side.party.open_flow(self.wire.now_ns, side.channel, KINDS[kind], bound)
        self.flows[name] = number
        for end in IDS:
            self.expected[end, name] = deque()
        event = self._wait_event(OTHER[who], Happened.FLOW_OPENED, number)
        assert event.status == KINDS[kind], event

    def do_open(self, who: str, name: str, options: dict[str, Any]) -> None:
        side = self.sides[who]
        if options["kind"] == "bytes" and (options.get("order") or options.get("reliability")):
            self.positioned.add(name)
        chosen = FlowOptions(**{**options, "kind": KINDS[options["kind"]]})
        if isinstance(side.party, Endpoint):
            number = side.party.open_flow(self.wire.now_ns, side.channel, options=chosen)
        else:
            number = side.party.open_flow_options(self.wire.now_ns, side.channel, chosen)
        self.flows[name] = number
        for end in IDS:
            self.expected[end, name] = deque()
        self._wait_event(OTHER[who], Happened.FLOW_OPENED, number)

    def do_any(self, who: str, name: str, count: int) -> None:
        side = self.sides[who]
        wanted = self.expected[who, name]
        found = 0

        def read() -> bool:
            nonlocal found
            while found < count and (message := side.party.read(side.channel, self.flows[name])) is not None:
                wanted.remove(message)
                found += 1
            return found == count

        self._wait(f"{count} messages at {who}", read)

    def do_place(self, who: str, name: str, size: int) -> None:
        side = self.sides[who]
        found, wanted = bytearray(size), b"".join(self.expected[who, name])
        there = 0

        def read() -> bool:
            nonlocal there
            while (piece := side.party.read_at(side.channel, self.flows[name])) is not None:
                if not piece.data and not piece.hole:
                    return True
                stop = piece.offset + (len(piece.data) or piece.hole)
                found[piece.offset : stop] = piece.data or wanted[piece.offset : stop]
                there += len(piece.data)
            return False

        self._wait(f"the end of {size} bytes at {who}", read)
        assert found == wanted[:size]
        assert there == size or self._event(who, Happened.FLOW_HOLE, self.flows[name])
        self.expected[who, name].clear()

    def do_hole(self, who: str, name: str) -> None:
        self._wait_event(who, Happened.FLOW_HOLE, self.flows[name])

    def do_refused(self, who: str, name: str, kind: str, bound: int = 0) -> None:
        side = self.sides[who]
        number = side.party.open_flow(self.wire.now_ns, side.channel, KINDS[kind], bound)
        self.flows[name] = number
        assert self._wait_event(who, Happened.FLOW_CLOSED, number).value == 2

    def do_send(self, who: str, name: str, *sizes: int) -> None:
        side = self.sides[who]
        for size in sizes:
            data = self._data(size)
            taken = side.party.write(self.wire.now_ns, side.channel, self.flows[name], data)
            assert taken == size
            self.expected[OTHER[who], name].append(data)

    def do_get(self, who: str, name: str, count: int = 1) -> None:
        side = self.sides[who]
        for _ in range(count):
            found: list[bytes] = []

            def read(found: list[bytes] = found) -> bool:
                message = side.party.read(side.channel, self.flows[name])
                if message is not None:
                    found.append(message)
                return bool(found)

            self._wait(f"a message at {who}", read)
            assert found[0] == self.expected[who, name].popleft(), f"{len(found[0])} bytes, not what was sent"

    def do_put(self, who: str, name: str, size: int, *words: str) -> None:
        flush = name not in self.positioned  # which know no flush (T-FLW-20)
        self._put(who, name, size, flush=flush, end="end" in words)

    def do_queue(self, who: str, name: str, size: int) -> None:
        self._put(who, name, size, flush=False, end=False)

    def _put(self, who: str, name: str, size: int, flush: bool, end: bool) -> None:
        side = self.sides[who]
        data = self._data(size)
        self.expected[OTHER[who], name].append(data)
        sent = 0

        def write() -> bool:
            nonlocal sent
            try:
                sent += side.party.write(
                    self.wire.now_ns, side.channel, self.flows[name], data[sent:], flush=flush, end=end
                )
            except BlockingIOError:
                return False
            return bool(sent == size)

        self._wait(f"room for {size} bytes at {who}", write)

    def do_take(self, who: str, name: str, size: int) -> None:
        side = self.sides[who]
        wanted = b"".join(self.expected[who, name])
        found = bytearray()

        def read() -> bool:
            data = side.party.read(side.channel, self.flows[name], min(65536, size - len(found)))
            if data is not None:
                assert data or len(found) == size, f"the bytes end after {len(found)}"
                found.extend(data)
            return len(found) == size

        self._wait(f"{size} bytes at {who}", read)
        assert found == wanted[:size], "not the bytes that were written"
        self.expected[who, name] = deque([wanted[size:]])

    def do_end(self, who: str, name: str) -> None:
        side = self.sides[who]
        self._wait("the end of the bytes", lambda: side.party.read(side.channel, self.flows[name]) == b"")

    def do_pipe(self, who: str, name: str) -> None:
        side = self.sides[who]

        def broken() -> bool:
            try:
                data = side.party.read(side.channel, self.flows[name])
            except BrokenPipeError:
                return True
            assert data != b"", "an abort is shown as the end"
            return False

        self._wait("a broken pipe", broken)

    def do_empty(self, who: str, name: str) -> None:
        side = self.sides[who]
        assert side.party.read(side.channel, self.flows[name]) is None

    def do_forget(self, who: str, name: str, count: int = 1) -> None:
        for _ in range(count):
            self.expected[OTHER[who], name].pop()

    def do_cancel(self, who: str, name: str) -> None:
        side = self.sides[who]
        side.party.cancel(self.wire.now_ns, side.channel, self.flows[name])

    def do_close(self, who: str, name: str) -> None:
        side = self.sides[who]
        side.party.close_flow(self.wire.now_ns, side.channel, self.flows[name])

    def do_closed(self, who: str, name: str) -> None:
        self._wait_event(who, Happened.FLOW_CLOSED, self.flows[name])

    def do_drained(self, who: str, name: str) -> None:
        self._wait_event(who, Happened.FLOW_DRAINED, self.flows[name])

    def do_fails(self, error: str, *step: Any) -> None:
        try:
            getattr(self, f"do_{step[0]}")(*step[1:])
        except OSError as found:
            assert found.errno == getattr(errno, error), found
        else:
            raise AssertionError(f"{step} did not fail")

    def do_lose(self, who: str, count: int) -> None:
        self.to_lose[who] = count

    def do_cut(self) -> None:
        self.is_cut = True

    def do_mend(self) -> None:
        self.is_cut = False

    def do_idle(self, ms: int) -> None:
        self.wire.idle(ms * 1_000_000)
        self._collect()

    def do_restart(self, who: str) -> None:
        self._start(who)

    def do_rewind(self, who: str) -> None:
        """Its counter goes back, as that of a restored image does."""
        self.sides[who].counters = 1

    def do_count(self, who: str, name: str, least: int) -> None:
        party = self.sides[who].party
        found = getattr(party.stats if isinstance(party, Endpoint) else party.statistics, name)
        assert found >= least, f"{name} is {found}"

    def do_quiet(self) -> None:
        """I8: with no demand and everything read, nothing is outstanding but the standing amounts."""
        self.do_idle(200)
        for side in self.sides.values():
            party = side.party
            if isinstance(party, Endpoint):
                assert party.outstanding_slots == party.standing_slots
                assert party.node.cells.free == party.node.cells.total - 9 * party.channel_count
            else:
                assert party.statistics.grants_outstanding_slots == party.statistics.standing_slots
        count = len(self.wire.seen)
        self.do_idle(5000)
        assert len(self.wire.seen) == count, "an idle channel talks"
