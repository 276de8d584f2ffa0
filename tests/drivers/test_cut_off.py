# SPDX-License-Identifier: Apache-2.0
"""A run that is cut off at any change that it makes: taken back it leaves the host as before, resumed it ends well."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.common.scissors import Cut, Scissors
from tests.drivers.common.transaction import Applied, Scene
from tests.drivers.ice import sign
from tests.drivers.ice.build import PF0, PF1, machine
from tests.drivers.ice.draws import Picture
from tests.support.e810_variants import variant
from tether_hw.agent import close, execute, take_back
from tether_hw.agent.run import CONFIRMED, REVERTED
from tether_hw.agent.staged import Staged

OLD, NEW = sign.signed(variant()), sign.signed(variant(version=(1, 3, 77, 0)))
CHANGES = 13  # that the run makes
POINTS = range(1, CHANGES + 1)


def nics() -> dict[str, Any]:
    """A wish that takes every kind of step: another package, switchdev, VFs, rules of both tools, queues, MTU."""
    ddp = {"package": "new.pkg", "sha256": hashlib.sha256(NEW).hexdigest()}
    rules = [
        {"name": "up", "match": {"destination": "02:00:00:00:00:12"}, "action": {"redirect": {"vf": 1}}},
        {"name": "away", "match": {"destination": "02:00:00:00:00:13"}, "action": "drop"},
    ]
    lane = [{"name": "q", "match": {"destination": "02:00:00:00:00:14"}, "action": {"queue": 3}}]
    return {
        "east": {
            "family": "e810",
            "device": {"pci": PF0},
            "ddp": ddp,
            "eswitch": "switchdev",
            "vfs": 2,
            "steering": {"rules": rules},
        },
        "west": {
            "family": "e810",
            "device": {"pci": PF1},
            "ddp": ddp,
            "queues": 8,
            "mtu": 3000,
            "steering": {"rules": lane},
        },
    }


def cut_off(folder: Path, scissors: Scissors) -> tuple[Scene, Picture, Applied | None]:
    """A run that the scissors end; None where they had nothing more to cut."""
    scene = Scene(machine(folder, OLD), folder)
    before = Picture.of(scene.machine)
    inventory = scene.inventory(nics(), {"new.pkg": NEW})
    plan = scene.plan(inventory)
    assert plan.refusals == ()
    with scissors.held():
        try:
            scene.apply(inventory, plan)
        except Cut:
            run = scene.host.all_runs()[-1]
            return scene, before, Applied(run, Staged.of(run))
    return scene, before, None


def test_there_is_enough_to_cut(tmp_path: Path) -> None:
    scissors = Scissors()
    scene, before, applied = cut_off(tmp_path, scissors)
    assert applied is None
    assert scissors.made == CHANGES
    assert before.differences(Picture.of(scene.machine))


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("at", POINTS)
def test_taken_back(tmp_path: Path, at: int, behind: bool) -> None:
    scene, before, applied = cut_off(tmp_path, Scissors(at, behind))
    assert applied is not None
    with scene._agent(), applied.run.acting(1.0):
        assert applied.run.decide(REVERTED, "dead-man")
        take_back.take_back(scene.host, applied.run, applied.staged, "the deadline passed")
    record = applied.run.journal.last("revert", "end")
    assert record is not None
    assert record["restored"], record
    assert not before.differences(Picture.of(scene.machine))


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("at", POINTS)
def test_resumed(tmp_path: Path, at: int, behind: bool) -> None:
    scene, _, applied = cut_off(tmp_path, Scissors(at, behind))
    assert applied is not None
    with scene._agent():
        execute._carry_out(scene.host, applied.run, applied.staged)
        assert applied.run.outcome() is None, applied.why
        assert applied.run.decide(CONFIRMED, "tests")
        close.finish(scene.host, applied.run, applied.staged)
    inventory = scene.inventory(nics(), {"new.pkg": NEW})
    again = scene.plan(inventory)
    assert [step.summary for step in again.steps] == []
    assert scene.roll_back(applied)["restored"]
