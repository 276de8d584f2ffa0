# SPDX-License-Identifier: Apache-2.0
"""What the agent decides: undo or not, fresh session or not, when the dead-man acts."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tether_hw.agent import confirm, deadman, revert
from tether_hw.agent.errors import Decided, NotFresh, Refused
from tether_hw.agent.process import boot_id
from tether_hw.agent.run import CONFIRMED, DEADMAN, REVERTED, Run
from tether_hw.agent.session import Connection


@pytest.mark.pain(2)
@pytest.mark.parametrize(
    ("begun", "pre", "post", "kept", "verdict"),
    [
        (False, True, False, False, revert.SKIP),
        (False, False, True, False, revert.SKIP),  # somebody else made it so: not ours to undo
        (False, False, False, True, revert.SKIP),
        (True, True, False, False, revert.SKIP),  # begin without effect
        (True, True, False, True, revert.SKIP),  # undone already
        (True, False, True, False, revert.UNDO),  # done, with or without its end in the journal
        (True, False, True, True, revert.UNDO),
        (True, False, False, False, revert.UNDO),  # half done
        (True, False, False, True, revert.FOREIGN),  # changed since it was confirmed
    ],
)
def test_a_step_is_undone_by_what_the_host_shows(begun: bool, pre: bool, post: bool, kept: bool, verdict: str) -> None:
    assert revert.decide(begun, pre, post, kept) == verdict


def record(point: str, phase: str, up_ns: int, **data: Any) -> dict[str, Any]:
    return {"point": point, "phase": phase, "up_ns": up_ns, "boot": boot_id(), **data}


RECORDS = [
    record("stage", "begin", 10, peer="c 1 s 22"),
    record("start", "begin", 20, peer="c 2 s 22"),
    record("step", "begin", 30, step="1"),
    record("step", "end", 40, step="1"),
    record("await", "begin", 50),
]


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (None, "did not come over SSH"),
        (Connection("c 1 s 22", 5, 45), "was there before"),
        (Connection("c 2 s 22", 5, 45), "was there before"),
        (Connection("c 3 s 22", 5, 39), "was there"),
        (Connection("c 3 s 22", 5, 40), "was there"),
        (Connection("c 3 s 22", 5, 41), None),
        (Connection(None, 5, 41), None),
    ],
)
def test_only_a_connection_younger_than_the_last_step_may_confirm(seen: Connection | None, reason: str | None) -> None:
    found = confirm.why_not_fresh(seen, RECORDS)
    assert (found is None) == (reason is None)
    assert reason is None or reason in str(found)


def test_only_a_run_that_waits_is_confirmed() -> None:
    assert confirm.waits(RECORDS)
    assert confirm.waits([*RECORDS, record("confirm", "begin", 60)])
    assert not confirm.waits(RECORDS[:-1])
    assert not confirm.waits([*RECORDS, record("resume", "begin", 60)])
    assert not confirm.waits([*RECORDS, record("revert", "begin", 60)])
    assert not confirm.waits([])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    one = Run(tmp_path, "r1")
    one.folder.mkdir(parents=True)
    return one


def test_confirm_outside_ssh_is_refused_and_decides_nothing(run: Run) -> None:
    run.journal.append("await", "begin")
    with pytest.raises(NotFresh):
        confirm.confirm(run)
    assert run.outcome() is None


def test_confirm_of_a_run_that_does_not_wait_is_refused(run: Run) -> None:
    run.journal.append("step", "begin", step="1")
    with pytest.raises(Refused):
        confirm.confirm(run)


def test_confirm_that_lost_says_who_won(run: Run) -> None:
    run.decide(REVERTED, "dead-man")
    with pytest.raises(Decided, match="dead-man"):
        confirm.confirm(run)


def test_confirm_twice_is_once(run: Run) -> None:
    run.decide(CONFIRMED, "me")
    confirm.confirm(run)
    assert run.is_decided(CONFIRMED)


def wait_until(condition: Any, timeout_s: float = 10.0) -> None:
    limit = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def writer(mark: Path) -> Callable[[str], None]:
    def write(why: str) -> None:
        mark.write_text(why)

    return write


@pytest.mark.pain(26)
def test_the_dead_man_takes_back_at_its_deadline(run: Run) -> None:
    mark = run.folder / "taken-back"
    deadman.arm(run, 0.6)
    process = deadman.launch(run, writer(mark))
    assert deadman.launch(run, lambda why: None) == process
    time.sleep(0.3)
    assert not mark.exists()
    assert 0 < (deadman.left_s(run) or 0) < 0.6
    wait_until(mark.exists)
    assert process.wait(5)
    assert run.is_decided(REVERTED)


def test_the_dead_man_obeys_a_deadline_that_was_moved(run: Run) -> None:
    mark = run.folder / "taken-back"
    deadman.arm(run, 60)
    deadman.launch(run, writer(mark))
    deadman.arm(run, 0.1)
    wait_until(mark.exists)


def test_the_dead_man_leaves_a_confirmed_run_alone(run: Run) -> None:
    mark = run.folder / "taken-back"
    deadman.arm(run, 0.5)
    process = deadman.launch(run, writer(mark))
    assert run.decide(CONFIRMED, "me")
    deadman.dismiss(run)
    assert not process.alive()
    time.sleep(0.5)
    assert not mark.exists()
    assert run.is_decided(CONFIRMED)


def test_the_dead_man_survives_hangup_and_its_parents_terminal(run: Run) -> None:
    deadman.arm(run, 60)
    process = deadman.launch(run, lambda why: None)
    os.kill(process.pid, signal.SIGHUP)
    time.sleep(0.2)
    assert process.alive()
    assert run.process(DEADMAN) == process
    assert os.getsid(process.pid) != os.getsid(0)
    process.kill(signal.SIGKILL)
    assert process.wait(5)
    assert deadman.left_s(run) is None


def test_a_deadline_of_an_earlier_boot_counts_for_nothing(run: Run) -> None:
    from tether_hw.agent import durable

    durable.write_json(run.folder / "armed.json", {"deadline_ns": 1, "boot": "an earlier one"})
    assert deadman.deadline_ns(run) is None
