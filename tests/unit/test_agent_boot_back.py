# SPDX-License-Identifier: Apache-2.0
"""What a boot in mid-run put into force, once its settings are undone: one more boot, where it helps, never two."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_agent_boots import PF0, Machine, staged
from tether_hw.agent import reboot, take_back
from tether_hw.agent.errors import AgentError
from tether_hw.plan.plan import HostPlan

IN_FORCE = {"path": ["functions", PF0, "mlx5", "nv", "SRIOV_EN", "current"], "left": "False(0)", "right": "True(1)"}
NEXT = {**IN_FORCE, "path": [*IN_FORCE["path"][:-1], "next"]}
OTHER = {"path": ["nics", "eth0", "mtu"], "left": 1500, "right": 9000}


class Trial:
    """The boots that taking back asks for; `answer` is what the machine says to one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.machine = Machine(monkeypatch, folder)
        monkeypatch.setattr(take_back, "boot_id", lambda: self.machine.boot)
        monkeypatch.setattr(reboot, "leave", self._leave)
        self.run = self.machine.run
        self.answer: BaseException | None = SystemExit()
        self.asked: list[tuple[float, dict[str, Any] | None]] = []
        self.run.journal.append("step", "begin", step="02-host_reboot")

    def _leave(self, host: object, within_s: float, enough: Any) -> None:
        assert not enough()
        self.asked.append((within_s, reboot.expected(self.run)))
        if self.answer is not None:
            raise self.answer

    def boot_back(self, left: list[dict[str, Any]], plan: HostPlan | None = None) -> None:
        one = staged()
        if plan is not None:
            one = replace(one, plan=plan)
        take_back._boot_back(self.machine.host, self.run, one, left)


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Trial:
    return Trial(monkeypatch, tmp_path)


def test_what_is_in_force_goes_by_one_boot_that_is_the_run_s_own(trial: Trial) -> None:
    trial.machine.boot = "boot-2"
    with pytest.raises(SystemExit):
        trial.boot_back([OTHER, IN_FORCE])
    ((within_s, expected),) = trial.asked
    assert within_s == 900
    assert expected is not None
    assert (expected["step"], expected["number"], expected["of"], expected["boot"]) == (reboot.REVERT, 1, 1, "boot-2")
    # Recorded before it happened, and known by the boot check behind it.
    trial.machine.boot = "boot-3"
    found = reboot.arrived(trial.run)
    assert found is not None and found["step"] == reboot.REVERT


def test_a_second_one_is_not_asked_for(trial: Trial) -> None:
    trial.machine.boot = "boot-2"
    with pytest.raises(SystemExit):
        trial.boot_back([IN_FORCE])
    trial.machine.boot = "boot-3"
    reboot.arrived(trial.run)
    trial.boot_back([IN_FORCE])
    assert len(trial.asked) == 1
    assert reboot.expected(trial.run) is None


@pytest.mark.parametrize("left", [[], [OTHER], [NEXT]])
def test_a_boot_that_would_not_help_is_not_made(trial: Trial, left: list[dict[str, Any]]) -> None:
    trial.machine.boot = "boot-2"
    trial.boot_back(left)
    assert trial.asked == []
    assert reboot.expected(trial.run) is None


def test_without_a_boot_in_mid_run_nothing_was_put_into_force_by_it(trial: Trial) -> None:
    trial.boot_back([IN_FORCE])
    assert trial.asked == []


def test_a_plan_that_may_not_boot_is_not_taken_back_by_one(trial: Trial) -> None:
    trial.machine.boot = "boot-2"
    whole = staged().plan
    trial.boot_back([IN_FORCE], HostPlan("a", "/", whole.facts_digest, whole.config, None, whole.steps[:1], ()))
    assert trial.asked == []


@pytest.mark.parametrize("answer", [AgentError("reboot: exit 1: busy"), None])
def test_where_no_boot_is_to_be_had_the_run_waits_for_none(trial: Trial, answer: AgentError | None) -> None:
    trial.machine.boot = "boot-2"
    trial.answer = answer
    trial.boot_back([IN_FORCE])
    assert len(trial.asked) == 1
    assert reboot.expected(trial.run) is None
    failed = trial.run.journal.last("reboot", "failed", step=reboot.REVERT)
    assert (failed is not None) == (answer is not None)
    if failed is not None:
        assert failed["message"] == "reboot: exit 1: busy"
    # The boot of somebody else that comes later is not taken for it.
    trial.machine.boot = "boot-3"
    assert reboot.arrived(trial.run) is None
