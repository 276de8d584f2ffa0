# SPDX-License-Identifier: Apache-2.0
"""A live engine under 200,000 forged, replayed, truncated and mutated frames; `make flood` sends ten million."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

FRAMES = 200_000
DEADLINE_S = 400


@pytest.fixture(scope="module")
def flooded(root_folder: Path) -> dict[str, Any]:
    """What the sender tells after a whole run; it ends in 0 only when every promise was kept."""
    command = [str(root_folder / "build/native/tether-flood"), "--frames", str(FRAMES), "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.proves("T-SEA-3", "T-RPW-2", "T-MAC-2", "T-ORD-3", "T-ERR-3", "T-CNT-1")
def test_nothing_of_the_flood_is_accepted(flooded: dict[str, Any]) -> None:
    assert flooded["frames"] == FRAMES == sum(flooded["sent"].values())
    assert flooded["accepted_of_the_flood"] == 0
    assert all(count > FRAMES / 100 for count in flooded["sent"].values()), flooded["sent"]


def test_the_flood_reached_the_engine_and_was_refused_for_many_reasons(flooded: dict[str, Any]) -> None:
    assert flooded["reached_the_engine"] + flooded["dropped_by_the_kernel"] >= FRAMES
    assert flooded["reached_the_engine"] >= FRAMES * 9 // 10
    for reason in ("short", "version", "length", "stranger", "auth", "replay", "counter"):
        assert flooded["refused"].get(reason, 0) > 0, (reason, flooded["refused"])


@pytest.mark.proves("T-LMP-3", "T-LMP-6", "T-STL-1")
def test_what_comes_back_is_no_more_than_what_was_sent(flooded: dict[str, Any]) -> None:
    assert 0 < flooded["bytes_out"] < flooded["bytes_in"]


def test_memory_does_not_grow(flooded: dict[str, Any]) -> None:
    assert flooded["rss_after"] - flooded["rss_before"] <= 512 << 10


def test_the_legitimate_channel_works_all_the_time(flooded: dict[str, Any]) -> None:
    assert flooded["pings"] > 0
    assert flooded["pings_missed"] == 0


@pytest.mark.parametrize("words", [["--frames"], ["--frames", "x"], ["--sources", "0"], ["--colour", "1"]])
def test_usage(root_folder: Path, words: list[str]) -> None:
    command = [str(root_folder / "build/native/tether-flood"), *words]
    assert subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 64
