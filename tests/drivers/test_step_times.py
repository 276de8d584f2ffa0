# SPDX-License-Identifier: Apache-2.0
"""Each step of a run is in the host's journal with its times, and people hear of each as it comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drivers.common.transaction import Scene
from tests.drivers.ice.build import PF0, machine
from tether_hw.fleet.progress import Lines


@pytest.mark.pain(23)
def test_each_step_has_its_times(tmp_path: Path) -> None:
    scene = Scene(machine(tmp_path), tmp_path)
    nic = {"family": "e810", "device": {"pci": PF0}, "eswitch": "switchdev", "vfs": 4, "mtu": 3000}
    inventory = scene.inventory({"east": nic})
    plan = scene.plan(inventory)
    applied = scene.apply(inventory, plan)
    assert applied.state == "confirmed", applied.why
    records = applied.run.journal.records()
    times = [record["up_ns"] for record in records]
    assert times == sorted(times)
    for step in plan.hosts["a"].steps:
        phases = [record["phase"] for record in records if record.get("step") == step.id]
        assert phases == ["begin", "end"], step.id


@pytest.mark.pain(23)
def test_a_change_of_words_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    for words in ("connects", "connects", "step 1 of 2", "step 2 of 2"):
        lines.tell("a", words, 0.5)
    lines.tell("b", "step 1 of 2")
    assert capsys.readouterr().err.splitlines() == [
        "a: connects",
        "a: step 1 of 2",
        "a: step 2 of 2",
        "b: step 1 of 2",
    ]
