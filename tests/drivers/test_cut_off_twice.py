# SPDX-License-Identifier: Apache-2.0
"""A taking back that is cut off at any change that it makes is gone on with, and leaves the host as before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drivers.common.scissors import Cut
from tests.drivers.common.strikes import BEHIND, CHANGE, Strikes
from tests.drivers.common.transaction import Applied
from tests.drivers.test_steps_mlx5 import UP, Card
from tether_hw.agent import take_back
from tether_hw.agent.run import REVERTED
from tether_hw.plan.facts import differences

KEPT = pytest.mark.parametrize("kept", [False, True], ids=["pending", "kept"])
CHANGES = 17  # that taking all of it back makes


def done(card: Card, kept: bool) -> Applied:
    """Everything was carried out; kept, or only just."""
    applied = card.done(*UP)
    if not kept:
        folder = applied.run.folder
        (folder / "outcome.json").unlink()
        lines = (folder / "journal.jsonl").read_text().splitlines(keepends=True)
        (folder / "journal.jsonl").write_text("".join(lines[:-3]))  # disarm and close
        card.scene.host.lock.take(applied.run.name, "tests", "apply")
        applied.run.decide(REVERTED, "dead-man")
    return applied


def go_back(card: Card, applied: Applied, strikes: Strikes) -> None:
    with card.scene._agent(), strikes.held(), applied.run.acting(1.0):
        take_back.take_back(card.scene.host, applied.run, applied.staged, "asked")


def cut_at(root: Path, kept: bool, at: int) -> None:
    root.mkdir()
    card = Card(root)
    before = card.facts().config
    applied = done(card, kept)
    strikes = Strikes(at, BEHIND)
    with pytest.raises(Cut):
        go_back(card, applied, strikes)
    card.machine.settle()
    go_back(card, applied, Strikes())
    record = applied.run.journal.last("revert", "end")
    assert record is not None
    assert record["restored"], record
    assert differences(before, card.facts().config) == []
    assert applied.state == ("taken-back" if kept else "rolled-back")


@KEPT
def test_at_every_third_change(tmp_path: Path, kept: bool) -> None:
    card = Card(tmp_path)
    counting = Strikes()
    go_back(card, done(card, kept), counting)
    changes = [number for number, event in enumerate(counting.events, 1) if event.kind == CHANGE]
    assert len(changes) == CHANGES
    for at in changes[kept::3]:
        cut_at(tmp_path / str(at), kept, at)
