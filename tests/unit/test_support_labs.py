# SPDX-License-Identifier: Apache-2.0
"""Programs that tests of the lab run."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.support.labs import run_to_its_end


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2]
    except OSError:
        return False
    return state[0] != "Z"


def gone(pid: int) -> bool:
    until = time.monotonic() + 10
    while running(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not running(pid)


def test_a_child_that_holds_the_outputs_open_is_not_waited_for_and_does_not_stay() -> None:
    done = run_to_its_end(["sh", "-c", "sleep 600 & echo $!; echo told >&2; exit 3"], 60, check=False)
    assert (done.returncode, done.stderr) == (3, "told\n")
    assert gone(int(done.stdout))


def test_a_failure_is_raised_where_it_is_asked_for() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run_to_its_end(["false"], 60)
    assert run_to_its_end(["echo", "here"], 60).stdout == "here\n"


def test_what_does_not_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run_to_its_end(["sh", "-c", f"sleep 600 & echo $! >{tmp_path}/child; wait"], 2)
    assert gone(int((tmp_path / "child").read_text()))
