# SPDX-License-Identifier: Apache-2.0
"""Many hosts at once: bounded, halted by failures, interrupted at once; and how many may be away."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tether_hw.errors import HostFailed, HostUnreachable
from tether_hw.fleet import runner
from tether_hw.fleet.gate import Blocked, Gate
from tether_hw.fleet.runner import Interrupted
from tether_hw.fleet.watchdog import Watchdog


def test_every_host_is_worked_on_and_failures_are_kept_apart() -> None:
    def work(host: str) -> int:
        if host == "b":
            raise HostFailed(host, "no")
        return len(host)

    results = runner.run(["a", "b", "cc"], work)
    assert results.done == {"a": 1, "cc": 2}
    assert list(results.failed) == ["b"]
    assert results.halted == []


def test_no_more_at_a_time_than_asked() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def work(host: str) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1

    runner.run([str(number) for number in range(12)], work, parallel=3)
    assert most == 3


@pytest.mark.pain(6)
@pytest.mark.parametrize(("max_fail", "begun"), [(0, 1), (1, 2), (2, 5), (None, 5)])
def test_the_run_halts_when_more_than_max_fail_failed(max_fail: int | None, begun: int) -> None:
    bad = {"h0": HostFailed, "h1": HostUnreachable}

    def work(host: str) -> None:
        if host in bad:
            raise bad[host](host, "no")

    results = runner.run([f"h{number}" for number in range(5)], work, parallel=1, max_fail=max_fail)
    assert len(results.done) + len(results.failed) == begun
    assert len(results.halted) == 5 - begun


def test_what_is_no_hosts_error_ends_the_run() -> None:
    def work(host: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        runner.run(["a", "b"], work, parallel=1)


def test_an_interrupt_ends_the_run_at_once_and_says_who_had_begun() -> None:
    forever = threading.Event()

    def work(host: str) -> None:
        if host == "b":
            os.kill(os.getpid(), signal.SIGINT)
            forever.wait(30)

    begun = time.monotonic()
    with pytest.raises(Interrupted) as interrupted:
        runner.run(["a", "b", "c"], work, parallel=1)
    forever.set()
    assert time.monotonic() - begun < 5
    assert interrupted.value.done == ["a"]
    assert interrupted.value.begun == ["b"]


def gate(most: int, links: Mapping[str, Mapping[str, str]]) -> Gate:
    inventory = SimpleNamespace(link_of=links, apply=SimpleNamespace(max_unavailable=most))
    return Gate(cast("Any", inventory))


@pytest.mark.pain(6)
@pytest.mark.parametrize(
    ("most", "disruption", "shared", "together"),
    [(1, "function-reset", True, 1), (2, "reboot", True, 2), (1, "function-reset", False, 2), (1, "traffic", True, 3)],
)
def test_hosts_of_one_link_are_away_one_after_the_other(
    most: int, disruption: str, shared: bool, together: int
) -> None:
    names = ("a", "b", "c")
    links = {name: {"data0": "fabric0" if shared or name == "a" else "fabric1"} for name in names}
    doors, lock, now, seen = gate(most, links), threading.Lock(), 0, 0

    def work(name: str) -> None:
        nonlocal now, seen
        with doors.away(cast("Any", SimpleNamespace(host=name, disruption=disruption))):
            with lock:
                now += 1
                seen = max(seen, now)
            time.sleep(0.1)
            with lock:
                now -= 1

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen == together


@pytest.mark.parametrize(("most", "refused"), [(1, ["b", "c"]), (2, [])])
def test_a_host_that_did_not_come_back_stays_away_for_the_others_of_its_link(most: int, refused: list[str]) -> None:
    doors = gate(most, {name: {"data0": "fabric0"} for name in ("a", "b", "c")})
    with pytest.raises(HostUnreachable), doors.away(cast("Any", SimpleNamespace(host="a", disruption="reboot"))):
        raise HostUnreachable("a", "no answer")
    begun = []
    for name in ("b", "c"):
        try:
            with doors.away(cast("Any", SimpleNamespace(host=name, disruption="reboot"))):
                begun.append(name)
        except Blocked as error:
            assert "a of link fabric0 did not come back" in error.reason
    assert sorted({"b", "c"} - set(begun)) == refused


def test_a_deadline_that_passes_acts_once_and_one_that_is_left_never() -> None:
    watchdog, rung = Watchdog(), threading.Event()
    with watchdog.guard(30, rung.set):
        pass
    with watchdog.guard(0.05, rung.set) as deadline:
        assert rung.wait(5)
    assert deadline.passed
    rung.clear()
    with watchdog.guard(0.2, rung.set) as deadline, watchdog.guard(60, rung.set):
        assert deadline.left() > 0
    assert not rung.wait(0.4)
    assert not deadline.passed
