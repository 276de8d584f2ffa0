# SPDX-License-Identifier: Apache-2.0
"""Two or three endpoints on a wire, what their applications know, and how a step waits for what it expects."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.core_party import CoreParty
from tests.support.wire import Wire
from tether_hw.transport.protocol.config import Address, Config, Event, Happened, Peer
from tether_hw.transport.protocol.endpoint import Endpoint
from tether_hw.transport.protocol.header import Header
from tether_hw.transport.protocol.noise import public_key
from tether_hw.transport.protocol.tags import LaneAddress

IMPLEMENTATIONS: dict[str, Any] = {"core": CoreParty, "reference": Endpoint}
IDS = {"a": 1, "b": 2, "c": 3}
HUB = "b"  # everybody else speaks with it only
WAIT_NS = 30_000_000_000


@dataclass
class Side:
    """One end: its endpoint, and what its application knows."""

    party: Any
    counters: int = 1
    starts: int = 0
    channels: dict[str, int] = field(default_factory=dict)  # by whom they go to
    events: list[Event] = field(default_factory=list)


@dataclass
class Meeting:
    """One run of one case. `implementations`: of everybody but the hub, and of the hub."""

    case: dict[str, Any]
    implementations: tuple[str, str]
    seed: int = 1

    def __post_init__(self) -> None:
        self.wire = Wire(seed=self.seed, **self.case.get("wire", {}))
        self.names = self.case.get("parties", "ab")
        self.flows: dict[str, int] = {}
        self.opened: dict[str, str] = {}  # a flow's end that is not the hub
        self.expected: dict[tuple[str, str], deque[bytes]] = {}
        self.positioned: set[str] = set()
        self.written = 0
        self.wait_ns = WAIT_NS
        self.to_lose = dict.fromkeys(self.names, 0)
        self.mute: dict[str, range] = {}  # which of the next data frames are lost
        self.is_cut = False
        self.wire.drop = self._drop
        self.sides = {name: Side(None) for name in self.names}
        for name in self.names:
            self._start(name)

    def _start(self, name: str) -> None:
        side = self.sides[name]
        shared = self.case.get("config", {})
        secret = {who: hashlib.blake2s(f"exchange {who}".encode()).digest() for who in self.names}
        entropy = random.Random(f"{self.seed} {name} {side.starts}")
        config = Config(
            static_secret=secret[name], entropy=entropy.randbytes,
            lane_addresses=(LaneAddress(0, 4, name.encode()),), **{**shared.get("both", {}), **shared.get(name, {})},
        )  # fmt: skip
        party = IMPLEMENTATIONS[self.implementations[name == HUB]](config)
        others = [other for other in self.names if other != name]
        peers = [Peer(IDS[other], (public_key(secret[other]),), Address(4, other.encode())) for other in others]
        party.roster(self._now(name), peers)
        party.add_counters(side.counters, side.counters + (1 << 20))
        side.counters += 1 << 20
        side.starts += 1
        side.party, side.channels, side.events = party, {}, []
        self.wire.add(name.encode(), party)

    def _drop(self, source: bytes, frame: bytes) -> bool:
        name = source.decode()
        header = Header.decode(frame)
        if header.flow and header.length and name in self.mute:
            span = self.mute[name]
            self.mute[name] = range(span.start - 1, span.stop - 1)
            if 0 in span:
                return True
        if self.to_lose[name]:
            self.to_lose[name] -= 1
            return True
        return self.is_cut

    def _now(self, who: str) -> int:
        return self.wire.at(who.encode())

    # who speaks with whom

    def _other(self, who: str, name: str | None = None) -> str:
        """The other end: of a flow, or of the first channel."""
        if who != HUB:
            return HUB
        return self.opened.get(name or "", "a")

    def _channel(self, who: str, name: str | None = None) -> int:
        return self.sides[who].channels.get(self._other(who, name), 0)

    # running

    def run(self) -> None:
        """All steps; AssertionError names the one that did not come true."""
        steps = self.case["steps"]
        for number, step in enumerate(([] if self.case.get("cold") else [["hail", "a"], ["up"]]) + steps):
            try:
                self._step(step)
            except (AssertionError, OSError) as error:
                raise AssertionError(f"step {number} {step}: {error}") from error
        self._check()

    def _step(self, step: list[Any]) -> None:
        getattr(self, f"do_{step[0]}")(*step[1:])

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
                    other = next(name for name, number in IDS.items() if number == event.peer)
                    side.channels[other] = event.channel
                if event.kind is Happened.NEED_COUNTER:
                    side.counters = max(side.counters, event.value + 1)
                    side.party.add_counters(side.counters, side.counters + (1 << 20))
                    side.counters += 1 << 20

    def _wait(self, what: str, holds: Callable[[], Any]) -> None:
        def check() -> bool:
            self._collect()
            return bool(holds())

        assert self.wire.run(check, self.wait_ns), f"{what} did not come"

    def _event(self, who: str, kind: Happened, flow: int = 0, channel: int = 0) -> Event | None:
        return next(
            (
                event
                for event in self.sides[who].events
                if event.kind is kind and event.flow == flow and channel in (0, event.channel)
            ),
            None,
        )

    def _wait_event(self, who: str, kind: Happened, flow: int = 0, channel: int = 0) -> Event:
        self._wait(f"{kind.value} at {who}", lambda: self._event(who, kind, flow, channel))
        event = self._event(who, kind, flow, channel)
        assert event is not None
        self.sides[who].events.remove(event)
        return event

    def _wait_flow(self, who: str, kind: Happened, name: str) -> Event:
        """The event of a flow; its channel may be gone already, so that the flow's id alone is left to tell."""
        channel = self._channel(who, name) if len(self.names) > 2 else 0
        return self._wait_event(who, kind, self.flows[name], channel)

    def _counter(self, who: str, name: str) -> int:
        party = self.sides[who].party
        return int(getattr(party.stats if isinstance(party, Endpoint) else party.statistics, name))

    def _data(self, size: int) -> bytes:
        self.written += 1
        return random.Random(f"data {self.written}").randbytes(size)
