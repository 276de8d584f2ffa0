# SPDX-License-Identifier: Apache-2.0
"""Contact plans: from calendar time to the engine's clock, and two engines that keep to them over UDP on loopback."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.engines import Node, finish, introduce, random_file, running, udp_lanes
from tether_hw.transport import binding
from tether_hw.transport.config import Link
from tether_hw.transport.contact import NEVER, PIECES_MAX, WINDOWS_MAX, Contact, Declarer, RoundTrip, Window
from tether_hw.transport.duo import LINK as DUO_LINK
from tether_hw.transport.duo import Duo

SECOND = 10**9
WAIT_S = 30.0
SENT = {"sent", "repair", "granted", "nack", "receipt", "blocked", "refresh", "lamp"}


# -- the arithmetic


def test_a_window_is_told_on_the_clock_of_the_host() -> None:
    plan = Contact((Window(1000, 50), Window(2000, 70)))
    assert plan.declared(900, 10_000) == [(10_100, 50), (11_100, 70)]
    assert plan.declared(1010, 10_000) == [(9_990, 50), (10_990, 70)]  # in the first one
    assert plan.declared(1050, 10_000) == [(10_950, 70)]  # its end is outside
    assert plan.declared(2070, 10_000) == list(NEVER)
    assert Contact().declared(5, 5) == []


def test_what_began_before_the_clock_did_is_cut() -> None:
    assert Contact((Window(1000, 500),)).declared(1200, 50) == [(0, 350)]
    assert Contact(rtt=(RoundTrip(1000, 7),)).round_trips(1200, 50) == [(0, 7)]


def test_repeated_windows() -> None:
    plan = Contact((Window(1000, 50, 100),))
    assert plan.upcoming(0, 3) == [(1000, 1050), (1100, 1150), (1200, 1250)]
    assert plan.upcoming(1049, 1) == [(1000, 1050)]
    assert plan.upcoming(1050, 1) == [(1100, 1150)]
    assert plan.upcoming(10**9, 1) == [(10**9, 10**9 + 50)]
    assert len(plan.upcoming(0)) == WINDOWS_MAX


def test_windows_are_in_order_and_those_that_meet_are_one() -> None:
    plan = Contact((Window(5000, 10), Window(1000, 500, 1000), Window(1400, 200)))
    assert plan.upcoming(0, 3) == [(1000, 1600), (2000, 2500), (3000, 3500)]
    assert (5000, 5500) in plan.upcoming(0)
    for_ever = Contact((Window(0, 60, 100), Window(50, 60, 100)))
    (only,) = for_ever.upcoming(0)
    assert only[0] == 0 and only[1] >= PIECES_MAX * 50


def test_the_table_tells_what_holds_now_and_what_follows() -> None:
    plan = Contact(rtt=(RoundTrip(100, 1), RoundTrip(200, 2), RoundTrip(300, 3)))
    assert plan.round_trips(250, 1000) == [(950, 2), (1050, 3)]
    assert plan.round_trips(50, 1000) == [(1050, 1), (1150, 2), (1250, 3)]
    many = Contact(rtt=tuple(RoundTrip(number, number) for number in range(1, 100)))
    assert len(many.round_trips(0, 0)) == WINDOWS_MAX


class Clocks:
    """What a Declarer declares, and the clocks that it reads."""

    def __init__(self) -> None:
        self.clock_ns = 10_000 * SECOND
        self.unix_ns = 500_000 * SECOND
        self.said: list[tuple[str, int, list[tuple[int, int]]]] = []

    def now(self) -> int:
        return self.clock_ns

    def windows(self, lane: int, pairs: Sequence[tuple[int, int]]) -> None:
        self.said.append(("windows", lane, list(pairs)))

    def rtt_table(self, lane: int, pairs: Sequence[tuple[int, int]]) -> None:
        self.said.append(("rtt", lane, list(pairs)))

    def pass_by(self, seconds: int) -> None:
        self.clock_ns += seconds * SECOND
        self.unix_ns += seconds * SECOND


def declarer() -> tuple[Clocks, Declarer]:
    clocks = Clocks()
    native: Any = clocks
    return clocks, Declarer(native, lambda: clocks.unix_ns)


def test_windows_that_have_passed_give_way_to_the_next() -> None:
    clocks, keeper = declarer()
    keeper.plan({3: Contact((Window(clocks.unix_ns, 10 * SECOND, 100 * SECOND),))})
    first = clocks.said[0][2]
    assert clocks.said == [("windows", 3, first), ("rtt", 3, [])]
    assert first == [(clocks.clock_ns + number * 100 * SECOND, 10 * SECOND) for number in range(WINDOWS_MAX)]
    assert list(keeper.windows(3) or ()) == first
    for _ in range(39):
        clocks.pass_by(10)
        keeper.refresh()
    assert len(clocks.said) == 2  # nothing new to say
    clocks.pass_by(10)
    keeper.refresh()
    assert clocks.said[2] == ("windows", 3, [(first[4][0] + n * 100 * SECOND, 10 * SECOND) for n in range(16)])


def test_a_calendar_that_is_set_moves_the_windows() -> None:
    clocks, keeper = declarer()
    keeper.plan({0: Contact((Window(clocks.unix_ns + 50 * SECOND, SECOND),))})
    clocks.unix_ns += 5_000_000  # slewed a little: below what is worth a word
    keeper.refresh()
    assert len(clocks.said) == 2
    clocks.unix_ns += 20 * SECOND
    keeper.refresh()
    assert clocks.said[2] == ("windows", 0, [(clocks.clock_ns + 30 * SECOND - 5_000_000, SECOND)])


def test_a_plan_is_taken_back() -> None:
    clocks, keeper = declarer()
    keeper.plan({0: Contact((Window(0, 1),)), 1: None})
    assert clocks.said[0] == ("windows", 0, list(NEVER))
    keeper.plan({0: None, 1: None})
    assert clocks.said[2:] == [("windows", 0, []), ("rtt", 0, [])]
    assert keeper.windows(0) is None


def test_the_library_takes_as_many_as_are_declared() -> None:
    assert binding.WINDOWS_MAX == WINDOWS_MAX


# -- engines


def outside(times: Iterable[int], windows: Sequence[tuple[int, int]], slack_ns: int = 0) -> list[int]:
    """The times that lie in none of the windows."""
    return [
        at for at in times if not any(start - slack_ns <= at < start + length + slack_ns for start, length in windows)
    ]


def in_windows(length_s: float, gap_s: float, begin_s: float = 1.0) -> Contact:
    """From soon on: two windows and the gap between them."""
    start = time.time_ns() + int(begin_s * SECOND)
    first = Window(start, int(length_s * SECOND))
    return Contact((first, Window(start + int((length_s + gap_s) * SECOND), 600 * SECOND)))


@pytest.mark.proves("T-WIN-1", "T-WIN-4")
def test_a_transfer_waits_for_its_windows(tmp_path: Path) -> None:
    """What two engines send is inside their windows, from the first Hail on; a gap in the middle costs nothing."""
    link = Link(rtt_ns=2_000_000, rate_bps=40_000_000, contact=in_windows(1.0, 1.5))
    traces = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    content = os.urandom(8_000_000)  # more than the first window takes at this rate
    with Duo("udp", link=link, traces=(str(traces[0]), str(traces[1]))) as duo:
        declared = [list(engine.windows(0) or ()) for engine in (duo.a, duo.b)]
        flow = duo.channels[0].open_flow("bytes")

        def write() -> None:
            flow.write(content, WAIT_S)
            flow.end(WAIT_S)

        writer = threading.Thread(target=write)
        writer.start()
        other = duo.peer_channels[0].accept_flow(WAIT_S)
        got, away = bytearray(), False
        while piece := other.read(1 << 20, WAIT_S):
            got += piece
            away = away or duo.channels[0].info().away_ns != 0
        writer.join()
        assert bytes(got) == content
        assert duo.channels[0].down is None
    for path, windows in zip(traces, declared):
        events = [json.loads(line) for line in path.read_text().splitlines()]
        times = [event["at_ns"] for event in events if event.get("event") in SENT and not event.get("heard")]
        assert len(times) > 100
        assert outside(times, windows) == []
        assert min(times) >= windows[0][0]
        assert max(times) >= windows[1][0], "the gap was not reached: nothing is shown"


def test_a_plan_is_changed_while_the_engine_runs() -> None:
    with Duo("udp") as duo:
        assert duo.a.windows(0) is None
        flow = duo.channels[0].open_flow("message")
        other = duo.peer_channels[0].accept_flow(WAIT_S)
        start = time.time_ns() + SECOND
        duo.a.contact(DUO_LINK, Contact((Window(start, 600 * SECOND),)))
        assert duo.a.links[DUO_LINK].contact is not None
        deadline = time.monotonic() + WAIT_S
        while not (duo.channels[0].info().away_ns or duo.a.now() >= (duo.a.windows(0) or NEVER)[0][0]):
            assert time.monotonic() < deadline
        flow.send(b"in the window", WAIT_S)
        assert other.recv(WAIT_S) == b"in the window"
        assert duo.a.now() >= (duo.a.windows(0) or NEVER)[0][0]
        duo.a.contact(DUO_LINK, None)
        assert duo.a.windows(0) is None
        flow.send(b"and without", WAIT_S)
        assert other.recv(WAIT_S) == b"and without"


def test_a_round_trip_that_changes_reaches_the_peer() -> None:
    table = Contact(rtt=(RoundTrip(0, 700_000_000),))
    with Duo("udp", link=Link(rtt_ns=100_000, contact=table)) as duo, duo.channels[0].open_flow("message") as flow:
        flow.send(b"x", WAIT_S)
        assert duo.peer_channels[0].accept_flow(WAIT_S).recv(WAIT_S) == b"x"


# -- daemons


def test_daemons_keep_to_the_plan_of_their_files(tmp_path: Path) -> None:
    link = Link(rtt_ns=100_000, contact=in_windows(600.0, 1.0, begin_s=3.0))
    a, b = (Node(tmp_path, name, udp_lanes(1), link) for name in "ab")
    introduce(a, b)
    source, target = random_file(tmp_path / "source", 3_000_000), tmp_path / "target"
    assert link.contact is not None
    opens = link.contact.windows[0].start_unix_ns
    with running(a, b):
        early = a.stats()
        if time.time_ns() < opens:  # on a machine that is not too slow for it
            assert early["lanes"][0]["frames_sent"] == 0
            assert early["lanes"][0]["contact"]["open"] is False
            assert early["lanes"][0]["contact"]["changes_in_s"] > 0
        receiving = b.begin("recv", "--to", str(target))
        document = a.document("send", str(source), "b", "--wait", "60", timeout_s=120)
        assert document["transfers"][0]["size"] == 3_000_000
        assert time.time_ns() >= opens
        assert finish(receiving)[0] == 0
        assert target.read_bytes() == source.read_bytes()
        stats = a.stats()
        assert stats["lanes"][0]["contact"]["open"] is True
        assert stats["peers"][0]["contact"] is True
        # the plan is over: whoever asks sees it, and nothing is sent until there is another
        over = replace(link, contact=Contact((Window(1, 1),)))
        a.config = replace(a.config, links={"fabric0": over})
        a.write()
        assert a.document("reload")["contact"] == ["fabric0"]
        deadline = time.monotonic() + WAIT_S
        while a.stats()["peers"][0]["contact"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert a.stats()["lanes"][0]["contact"] == {"open": False, "changes_in_s": None}
        assert "up, away" in a.run("stats").stdout
        sent = a.stats()["lanes"][0]["frames_sent"]
        assert a.run("ping", "b", "-c", "1", "--timeout", "0.3").returncode == 1
        assert a.stats()["lanes"][0]["frames_sent"] == sent
        a.config = replace(a.config, links={"fabric0": replace(link, contact=None)})
        a.write()
        assert a.document("reload")["contact"] == ["fabric0"]
        assert a.document("ping", "b", "-c", "2", "--timeout", "20")["lost"] == 0
        assert a.stats()["lanes"][0]["contact"] is None
