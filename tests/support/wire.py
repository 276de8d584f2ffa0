# SPDX-License-Identifier: Apache-2.0
"""Endpoints of either implementation on a wire in virtual time: delay, loss, duplicates, reordering by a seed."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tether_hw.transport.protocol.config import NEVER, Address, Event


class Party(Protocol):
    """What both implementations can do: the reference has it, and the C core behind its ctypes binding."""

    def receive(self, now_ns: int, source: Address, frame: bytes) -> Any:
        """One frame in."""
        ...

    def transmit(self, now_ns: int) -> tuple[bytes, Address] | None:
        """One frame out."""
        ...

    def deadline(self) -> int:
        """When transmit() is due."""
        ...

    def events(self) -> list[Event]:
        """What happened."""
        ...

    def open_channel(self, now_ns: int, peer_id: int, remote_lane: int) -> int: ...
    def close_channel(self, now_ns: int, channel: int) -> None: ...
    def open_flow(self, now_ns: int, channel: int, kind: int, bound: int = 0) -> int: ...
    def write(
        self, now_ns: int, channel: int, flow: int, data: bytes, *, flush: bool = True, end: bool = False
    ) -> int: ...
    def read(self, channel: int, flow: int, capacity: int | None = None) -> bytes | None: ...
    def cancel(self, now_ns: int, channel: int, flow: int) -> None: ...
    def close_flow(self, now_ns: int, channel: int, flow: int) -> None: ...


@dataclass(order=True)
class InFlight:
    """A frame on its way."""

    at_ns: int
    number: int
    to: bytes = field(compare=False)
    source: bytes = field(compare=False)
    frame: bytes = field(compare=False)


@dataclass
class Wire:
    """Parties by the bytes of their in-memory address, and the frames between them."""

    seed: int = 1
    delay_ns: int = 20_000
    jitter_ns: int = 0
    loss: float = 0.0
    duplicates: float = 0.0
    rate_bps: int = 10_000_000_000
    mtu: int = 1 << 16  # larger frames vanish
    kind: int = 4
    now_ns: int = 1_000_000_000
    clocks: dict[str, int] = field(default_factory=dict)  # how far that party's clock is ahead, in ns
    parties: dict[bytes, Party] = field(default_factory=dict)
    drop: Callable[[bytes, bytes], bool] | None = None  # (sender, frame) -> lost on purpose
    seen: list[tuple[bytes, bytes]] = field(default_factory=list)  # (sender, frame) of all that left
    seen_to: list[bytes] = field(default_factory=list)  # where each went

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._queue: list[InFlight] = []
        self._number = 0
        self._free_ns: dict[bytes, int] = {}

    def add(self, name: bytes, party: Party) -> None:
        """One more party; an old one of that name is gone."""
        self.parties[name] = party

    def run(self, until: Callable[[], bool], for_ns: int = 10_000_000_000, frames: int = 200_000) -> bool:
        """Run until a condition holds, or the time or the frames are over; say whether it holds."""
        end_ns = self.now_ns + for_ns
        while not until():
            sent = self._transmit()
            frames -= sent
            assert frames > 0, "the parties talk without end"
            if sent:
                continue
            next_ns = min((party.deadline() - self._ahead(name) for name, party in self.parties.items()), default=NEVER)
            if self._queue:
                next_ns = min(next_ns, self._queue[0].at_ns)
            next_ns = max(next_ns, self.now_ns + 1)
            if next_ns >= end_ns:
                self.now_ns = end_ns
                return until()
            self.now_ns = next_ns
            while self._queue and self._queue[0].at_ns <= self.now_ns:
                flying = heapq.heappop(self._queue)
                if flying.to in self.parties:
                    self.parties[flying.to].receive(self.at(flying.to), Address(self.kind, flying.source), flying.frame)
        return True

    def _ahead(self, name: bytes) -> int:
        return self.clocks.get(name.decode(), 0)

    def at(self, name: bytes) -> int:
        """What that party's clock says now."""
        return self.now_ns + self._ahead(name)

    def idle(self, for_ns: int = 100_000_000) -> None:
        """Let time pass."""
        self.run(lambda: False, for_ns)

    def _transmit(self) -> int:
        count = 0
        for name, party in self.parties.items():
            for _ in range(64):
                sent = party.transmit(self.at(name))
                if sent is None:
                    break
                count += 1
                self._carry(name, sent[1].data, sent[0])
        return count

    def _carry(self, source: bytes, to: bytes, frame: bytes) -> None:
        self.seen.append((source, frame))
        self.seen_to.append(to)
        start_ns = max(self.now_ns, self._free_ns.get(source, 0))
        self._free_ns[source] = start_ns + len(frame) * 8 * 1_000_000_000 // self.rate_bps
        if (
            len(frame) > self.mtu
            or self.random.random() < self.loss
            or (self.drop is not None and self.drop(source, frame))
        ):
            return
        copies = 2 if self.random.random() < self.duplicates else 1
        for _ in range(copies):
            at_ns = self._free_ns[source] + self.delay_ns + self.random.randrange(self.jitter_ns + 1)
            self._number += 1
            heapq.heappush(self._queue, InFlight(at_ns, self._number, to, source, frame))
