# SPDX-License-Identifier: Apache-2.0
"""Room that a run keeps for its own end."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tether_hw.agent import reserve
from tether_hw.agent.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(tmp_path, "r1")
    made.folder.mkdir()
    reserve.make(made)
    return made


class Disk:
    """Full until so many attempts were made, or until the room of the run is given back."""

    def __init__(self, run: Run, attempts: int, number: int = errno.ENOSPC) -> None:
        self.run, self.left, self.number = run, attempts, number
        self.reserved: list[bool] = []

    def write(self) -> str:
        self.reserved.append((self.run.folder / "reserve").exists())
        self.left -= 1
        if self.left >= 0:
            raise OSError(self.number, os.strerror(self.number))
        return "written"


def test_it_is_there_and_goes_once(run: Run) -> None:
    assert (run.folder / "reserve").stat().st_size == reserve.BYTES
    assert reserve.release(run)
    assert not reserve.release(run)


def test_what_finds_the_disk_full_is_done_again_in_the_room(run: Run) -> None:
    disk = Disk(run, 1)
    assert reserve.within(run, disk.write) == "written"
    assert disk.reserved == [True, False]


def test_where_there_is_no_more_room_it_is_told(run: Run) -> None:
    with pytest.raises(OSError, match="No space left"):
        reserve.within(run, Disk(run, 2).write)


def test_other_troubles_keep_the_room(run: Run) -> None:
    with pytest.raises(OSError, match="Input/output"):
        reserve.within(run, Disk(run, 1, errno.EIO).write)
    assert reserve.release(run)


def test_the_last_one_waits_for_room(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reserve, "_PAUSE_S", 0.0)
    disk = Disk(run, 5)
    assert reserve.patiently(run, disk.write) == "written"
    assert disk.reserved == [True, False, False, False, False, False]
