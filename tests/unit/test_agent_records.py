# SPDX-License-Identifier: Apache-2.0
"""The agent's records: journal, lock, outcome, owned; whole after any death, decided once."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tether_hw.agent import durable, owned
from tether_hw.agent.errors import AgentError, Locked, Refused
from tether_hw.agent.journal import Journal
from tether_hw.agent.lock import HostLock
from tether_hw.agent.process import ProcessId, boot_id, read_stat, this_process
from tether_hw.agent.run import CONFIRMED, REVERTED, Run
from tether_hw.plan.effects import Change
from tether_hw.plan.owned import merge

ROOT = Path(__file__).resolve().parents[2]


def make_run(folder: Path, name: str = "r1") -> Run:
    run = Run(folder, name)
    run.folder.mkdir(parents=True)
    return run


def test_a_journal_counts_its_records_and_finds_the_newest(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    assert journal.records() == []
    assert [journal.append("step", phase, step=step) for step in ("1", "2") for phase in ("begin", "end")] == [
        1,
        2,
        3,
        4,
    ]
    last = journal.last("step", "end", step="1")
    assert last is not None
    assert last["n"] == 2
    assert last["boot"] == boot_id()
    assert journal.last("step", "end", step="3") is None
    found = journal.last("step")
    assert found is not None
    assert found["n"] == 4


@pytest.mark.pain(2)
def test_a_torn_line_is_no_record_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("arm", "begin")
    with journal.path.open("ab") as file:
        file.write(b'{"n":2,"point":"arm","pha')
    assert len(journal.records()) == 1
    assert journal.append("arm", "end") == 2
    assert [record["phase"] for record in journal.records()] == ["begin", "end"]


def _append(path: Path, count: int) -> None:
    for _ in range(count):
        Journal(path).append("step", "begin", step="x")


def test_processes_that_append_at_once_lose_nothing_and_number_without_gap(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append, args=(path, 25)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [record["n"] for record in Journal(path).records()] == list(range(1, 76))


def test_a_killed_writer_leaves_whole_records(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom tether_hw.agent.journal import Journal\n"
        "while True: Journal(Path(sys.argv[2])).append('step', 'begin', step='x' * 200)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(ROOT), str(path)])
    deadline = time.monotonic() + 20
    while not (path.exists() and path.stat().st_size > 4096):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    writer.kill()
    writer.wait()
    numbers = [record["n"] for record in Journal(path).records()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert Journal(path).append("step", "end") == len(numbers) + 1


@pytest.mark.pain(4)
def test_the_second_run_is_told_who_holds_the_host_and_since_when(tmp_path: Path) -> None:
    lock = HostLock(tmp_path / "lock")
    lock.take("r1", "eve@one (pid 7)", "apply")
    lock.take("r1", "eve@one (pid 8)", "rollback")
    with pytest.raises(Locked) as locked:
        lock.take("r2", "bob@two (pid 9)", "apply")
    held = lock.holder()
    assert held is not None
    assert locked.value.detail == {"run": "r1", "holder": "eve@one (pid 7)", "since": held["since"]}
    assert not lock.release("r2")
    assert lock.release("r1")
    lock.take("r2", "bob@two (pid 9)", "apply")


def _take(path: Path, name: str, barrier: object, answers: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    try:
        HostLock(path).take(name, name, "apply")
        answers.put(name)  # type: ignore[attr-defined]
    except Locked:
        answers.put("")  # type: ignore[attr-defined]


def test_of_many_at_once_one_gets_the_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_take, args=(tmp_path / "lock", f"r{n}", barrier, answers)) for n in range(4)]
    for worker in workers:
        worker.start()
    won = [name for name in (answers.get(timeout=60) for _ in workers) if name]
    for worker in workers:
        worker.join(60)
    held = HostLock(tmp_path / "lock").holder()
    assert held is not None
    assert won == [held["run"]]


def _decide(folder: Path, outcome: str, barrier: object, answers: object) -> None:
    run = Run(folder, "r1")
    barrier.wait()  # type: ignore[attr-defined]
    answers.put((outcome, run.decide(outcome, outcome)))  # type: ignore[attr-defined]


@pytest.mark.pain(26)
def test_confirm_and_revert_compete_and_exactly_one_stands(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    for round_number in range(3):
        folder = tmp_path / str(round_number)
        run = make_run(folder)
        barrier, answers = context.Barrier(4), context.Queue()
        sides = [CONFIRMED, REVERTED, CONFIRMED, REVERTED]
        workers = [context.Process(target=_decide, args=(folder, side, barrier, answers)) for side in sides]
        for worker in workers:
            worker.start()
        given = [answers.get(timeout=60) for _ in workers]
        for worker in workers:
            worker.join(60)
        winners = [side for side, won in given if won]
        assert len(winners) == 1
        assert run.is_decided(winners[0])


def test_names_that_are_no_runs_are_refused(tmp_path: Path) -> None:
    for name in ("../x", "", "a/b", ".hidden", "A", "x" * 64):
        with pytest.raises(Refused):
            Run(tmp_path, name)


def test_one_process_acts_and_a_dead_one_blocks_nobody(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom tether_hw.agent.run import Run\n"
        "with Run(Path(sys.argv[2]), 'r1').acting(1):\n    print('acts', flush=True); time.sleep(60)\n"
    )
    actor = subprocess.Popen([sys.executable, "-c", code, str(ROOT), str(tmp_path)], stdout=subprocess.PIPE)
    assert actor.stdout is not None
    actor.stdout.readline()
    with pytest.raises(AgentError, match="still changes this host"), run.acting(0.1):
        pass
    actor.kill()
    actor.wait()
    actor.stdout.close()
    with run.acting(1):
        pass


def test_a_process_is_known_by_its_start_not_by_its_pid_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    me = this_process()
    run.remember("executor", me)
    assert run.process("executor") == me
    run.remember("executor", ProcessId(me.pid, me.start + 1))
    assert run.process("executor") is None
    durable.write_json(run.folder / "executor.json", {"pid": me.pid, "start": me.start, "boot": "an earlier one"})
    assert run.process("executor") is None


def test_a_detached_process_has_its_own_session_and_outlives_its_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom tether_hw.agent.process import detach\n"
        "p = detach('tether-test', Path(sys.argv[2]), lambda: time.sleep(30))\n"
        "print(p.pid, p.start, flush=True)\n"
    )
    argv = [sys.executable, "-c", code, str(ROOT), str(tmp_path / "log")]
    # With the output as a pipe: the child must not keep it open, or an SSH session would wait for it.
    done = subprocess.run(argv, stdout=subprocess.PIPE, timeout=20, check=True)
    process = ProcessId(*(int(word) for word in done.stdout.split()))
    try:
        assert process.alive()
        stat = read_stat(process.pid)
        assert stat is not None
        assert stat.name == "tether-test"
        assert os.getsid(process.pid) != os.getsid(0)
    finally:
        process.kill(signal.SIGKILL)
    assert process.wait(5)


def test_files_are_replaced_whole_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "f"
    assert durable.create(path, b"one")
    assert not durable.create(path, b"two")
    assert path.read_bytes() == b"one"
    durable.write(path, b"three", 0o640)
    assert path.read_bytes() == b"three"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]
    assert durable.remove(path)
    assert not durable.remove(path)


def test_what_we_own_keeps_the_first_before_and_falls_out_when_it_is_back() -> None:
    mtu, queues = ("nics", "data0", "mtu"), ("nics", "data0", "queues")
    entries = merge([], [Change(mtu, 1500, 2000), Change(queues, {"rx": 1}, {"rx": 2})])
    assert entries == [
        {"path": list(mtu), "before": 1500, "set": 2000},
        {"path": list(queues), "before": {"rx": 1}, "set": {"rx": 2}},
    ]
    again = merge(entries, [Change(mtu, 2000, 3000)])
    assert again[0] == {"path": list(mtu), "before": 1500, "set": 3000}
    assert merge(again, [Change(mtu, 3000, 1500)]) == entries[1:]
    config = {"nics": {"data0": {"mtu": 2000, "queues": {"rx": 2}}}}
    back = owned.unmerge(again, [Change(mtu, 2000, 3000)], config)
    assert back[0] == {"path": list(mtu), "before": 1500, "set": 2000}
    config["nics"]["data0"]["mtu"] = 1234
    assert owned.unmerge(again, [Change(mtu, 2000, 3000)], config) == entries[1:]
    config["nics"]["data0"]["mtu"] = 1500
    assert owned.unmerge(again, [Change(mtu, 1500, 3000)], config) == entries[1:]


def test_the_owned_record_notes_bundles_and_the_user(tmp_path: Path) -> None:
    record = owned.Owned(tmp_path / "owned.json")
    record.place("b" * 64, None)
    record.place("a" * 64, "tether")
    record.place("a" * 64, None)
    record.kept("r1", [Change(("nics", "d", "mtu"), 1, 2)])
    document = json.loads(record.path.read_text())
    assert document["bundles"] == ["a" * 64, "b" * 64]
    assert document["user"] == "tether"
    assert record.entries() == [{"path": ["nics", "d", "mtu"], "before": 1, "set": 2}]


def test_keeping_a_run_twice_is_keeping_it_once_also_where_it_gave_back_what_was_there(tmp_path: Path) -> None:
    record = owned.Owned(tmp_path / "owned.json")
    record.kept("r1", [Change(("functions", "f", "vfs"), 0, 1)])
    for _ in range(2):  # its agent was killed before it said that the run is closed
        record.kept("r2", [Change(("functions", "f", "vfs"), 1, 0)])
        assert record.entries() == []
