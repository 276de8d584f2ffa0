# SPDX-License-Identifier: Apache-2.0
"""The steps of an exchange that are about flows and what is written to them; exchange.py lists them."""

from __future__ import annotations

from collections import deque
from typing import Any

from tests.support.exchange_base import HUB, Meeting
from tether_hw.transport.protocol.config import BYTES, MESSAGES, Event, FlowOptions, Happened
from tether_hw.transport.protocol.endpoint import Endpoint

KINDS = {"bytes": BYTES, "messages": MESSAGES}


class FlowSteps(Meeting):
    """Flows, messages, bytes."""

    def do_flow(self, who: str, name: str, kind: str, bound: int = 0) -> None:
        side = self.sides[who]
        number = side.party.open_flow(self._now(who), self._channel(who, name), KINDS[kind], bound)
        assert self._opened(who, name, number).status == KINDS[kind]

    def _opened(self, who: str, name: str, number: int) -> Event:
        self.flows[name] = number
        if who != HUB:
            self.opened[name] = who
        for end in self.names:
            self.expected[end, name] = deque()
        return self._wait_flow(self._other(who, name), Happened.FLOW_OPENED, name)

    def do_open(self, who: str, name: str, options: dict[str, Any]) -> None:
        self._opened(who, name, self._define(who, name, options))

    def do_spurned(self, who: str, name: str, options: dict[str, Any]) -> None:
        self.flows[name] = self._define(who, name, options)
        assert self._wait_flow(who, Happened.FLOW_CLOSED, name).value == 2

    def _define(self, who: str, name: str, options: dict[str, Any]) -> int:
        side = self.sides[who]
        if options["kind"] == "bytes" and (options.get("order") or options.get("reliability")):
            self.positioned.add(name)
        chosen = FlowOptions(**{**options, "kind": KINDS[options["kind"]]})
        if isinstance(side.party, Endpoint):
            return side.party.open_flow(self._now(who), self._channel(who, name), options=chosen)
        return int(side.party.open_flow_options(self._now(who), self._channel(who, name), chosen))

    def do_any(self, who: str, name: str, count: int) -> None:
        side = self.sides[who]
        wanted = self.expected[who, name]
        found = 0

        def read() -> bool:
            nonlocal found
            while found < count:
                message = side.party.read(self._channel(who, name), self.flows[name])
                if message is None:
                    break
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
            while (piece := side.party.read_at(self._channel(who, name), self.flows[name])) is not None:
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
        self._wait_flow(who, Happened.FLOW_HOLE, name)

    def do_refused(self, who: str, name: str, kind: str, bound: int = 0) -> None:
        side = self.sides[who]
        number = side.party.open_flow(self._now(who), self._channel(who, name), KINDS[kind], bound)
        self.flows[name] = number
        assert self._wait_flow(who, Happened.FLOW_CLOSED, name).value == 2

    def do_send(self, who: str, name: str, *sizes: int) -> None:
        side = self.sides[who]
        for size in sizes:
            data = self._data(size)
            taken = side.party.write(self._now(who), self._channel(who, name), self.flows[name], data)
            assert taken == size
            self.expected[self._other(who, name), name].append(data)

    def do_get(self, who: str, name: str, count: int = 1) -> None:
        side = self.sides[who]
        for _ in range(count):
            found: list[bytes] = []

            def read(found: list[bytes] = found) -> bool:
                message = side.party.read(self._channel(who, name), self.flows[name])
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
        self.expected[self._other(who, name), name].append(data)
        sent = 0

        def write() -> bool:
            nonlocal sent
            try:
                sent += side.party.write(
                    self._now(who), self._channel(who, name), self.flows[name], data[sent:], flush=flush, end=end
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
            while len(found) < size:
                data = side.party.read(self._channel(who, name), self.flows[name], min(65536, size - len(found)))
                if data is None:
                    return False
                assert data, f"the bytes end after {len(found)}"
                found.extend(data)
            return True

        self._wait(f"{size} bytes at {who}", read)
        assert found == wanted[:size], "not the bytes that were written"
        self.expected[who, name] = deque([wanted[size:]])

    def do_end(self, who: str, name: str) -> None:
        side = self.sides[who]
        self._wait("the end of the bytes", lambda: side.party.read(self._channel(who, name), self.flows[name]) == b"")

    def do_pipe(self, who: str, name: str) -> None:
        side = self.sides[who]

        def broken() -> bool:
            try:
                data = side.party.read(self._channel(who, name), self.flows[name])
            except BrokenPipeError:
                return True
            assert data != b"", "an abort is shown as the end"
            return False

        self._wait("a broken pipe", broken)

    def do_empty(self, who: str, name: str) -> None:
        side = self.sides[who]
        assert side.party.read(self._channel(who, name), self.flows[name]) is None

    def do_forget(self, who: str, name: str, count: int = 1) -> None:
        for _ in range(count):
            self.expected[self._other(who, name), name].pop()

    def do_cancel(self, who: str, name: str) -> None:
        side = self.sides[who]
        side.party.cancel(self._now(who), self._channel(who, name), self.flows[name])

    def do_close(self, who: str, name: str) -> None:
        side = self.sides[who]
        side.party.close_flow(self._now(who), self._channel(who, name), self.flows[name])

    def do_closed(self, who: str, name: str) -> None:
        self._wait_flow(who, Happened.FLOW_CLOSED, name)

    def do_drained(self, who: str, name: str) -> None:
        self._wait_flow(who, Happened.FLOW_DRAINED, name)

    def do_unknown(self, who: str, name: str, first: int, count: int, never: int) -> None:
        """The application is told which messages have no receipt, before it is told that the flow is gone."""
        event = self._wait_flow(who, Happened.MESSAGE_UNKNOWN, name)
        assert (event.value, event.status, event.extra) == (first, count, never), event
