# SPDX-License-Identifier: Apache-2.0
"""Boots as the agent sees them: its own and all others, the timer of systemd, what calls it at a boot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import plan_steps
from tether_hw.agent import boot_hook, command, deadman, execute, journal, reboot, service, state
from tether_hw.agent import run as run_module
from tether_hw.agent.errors import AgentError
from tether_hw.agent.host import Host
from tether_hw.agent.process import boottime_ns
from tether_hw.agent.run import Run
from tether_hw.agent.staged import Staged
from tether_hw.plan.canonical import digest
from tether_hw.plan.effects import fold
from tether_hw.plan.kinds.base import make_step
from tether_hw.plan.kinds.host_reboot import HostReboot
from tether_hw.plan.kinds.nic_nv import NicNv
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.plan import HostPlan

PF0 = plan_steps.PF0
PROGRAM = "/opt/tether/x/bin/tether-agent"


class Machine:
    """The boots of a host that nobody boots, and the programs that it is asked to run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.boot = "boot-1"
        self.ran: list[list[str]] = []
        for module in (reboot, journal, run_module, deadman, state):
            monkeypatch.setattr(module, "boot_id", lambda: self.boot)
        for name in ("run", "execute"):
            monkeypatch.setattr(command, name, lambda argv, timeout_s: self.ran.append(list(argv)))
        monkeypatch.setattr(Host, "program", lambda host, name, bundle=None: f"/opt/tether/x/bin/{name}")
        self.host = Host(HostPaths(str(folder)))
        self.run = Run(folder, "r1")
        self.run.folder.mkdir()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path)


def test_only_the_boot_that_a_run_asked_for_is_its_own(machine: Machine) -> None:
    run = machine.run
    assert reboot.arrived(run) is None
    reboot.expect(run, "01-host_reboot", 1, 2, 900)
    assert reboot.waits(run)
    machine.boot = "boot-2"
    found = reboot.arrived(run)
    assert found is not None
    assert (found["number"], found["of"]) == (1, 2)
    assert reboot.seen(run, "01-host_reboot") == 1
    # The next one is nobody's.
    run.journal.append("continue", "begin")
    machine.boot = "boot-3"
    assert reboot.arrived(run) is None
    assert not reboot.waits(run)
    assert reboot.seen(run, "01-host_reboot") == 1


def test_a_boot_that_did_not_come_is_not_taken_for_the_next_one(machine: Machine) -> None:
    reboot.expect(machine.run, "01-host_reboot", 1, 1, 900)
    assert reboot.arrived(machine.run) is None  # the boot check of the same boot, run by hand
    machine.boot = "boot-2"
    assert reboot.arrived(machine.run) is None


def test_a_boot_between_two_is_not_the_run_s_own(machine: Machine) -> None:
    reboot.expect(machine.run, "01-host_reboot", 1, 1, 900)
    machine.boot = "boot-2"
    machine.run.journal.append("revert", "begin")  # another agent looked after it in a boot that had no boot check
    machine.boot = "boot-3"
    assert reboot.arrived(machine.run) is None


def test_only_a_pushed_agent_of_a_whole_host_boots_it(machine: Machine) -> None:
    with pytest.raises(AgentError, match="is not booted"):
        reboot.start(machine.host)
    with pytest.raises(AgentError, match="is not booted"):
        reboot.start(Host(HostPaths("/")))  # this code is no bundle's
    assert machine.ran == []


def staged(next_now: str = "True(1)") -> Staged:
    """A plan that sets what the firmware starts with, and boots."""
    config = plan_steps.carded().config
    nv = {"SRIOV_EN": {"next": "False(0)", "current": "False(0)"}}
    mlx5: dict[str, Any] = {
        "steering_mode": None,
        "inline": None,
        "encap": None,
        "autoprobe": None,
        "params": {},
        "vfs": {},
        "sfs": {},
    }
    config["functions"][PF0]["mlx5"] = {**mlx5, "nv": nv}
    steps = []
    now = config
    for number, data in enumerate(
        (NicNv(PF0, {"SRIOV_EN": next_now}, {"SRIOV_EN": "False(0)"}), HostReboot.planned(config, (), "firmware")), 1
    ):
        step = make_step(data, now, HostPaths(), number, "a", None)
        now = fold(now, step.effect)
        steps.append(step)
    plan = HostPlan("a", "/", digest(config), config, None, tuple(steps), ())
    return Staged("r1", "a", "me", "p", "i", 60, 1.0, plan)


@pytest.mark.pain(13)
def test_what_is_not_in_force_after_the_budget_needs_a_power_cycle(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = staged()
    step = one.plan.steps[1]
    data = HostReboot.parse(step.data, "data")
    booted: list[str] = []

    def goes_down(host: Host, within_s: float, enough: Any) -> None:
        booted.append(machine.boot)
        raise SystemExit

    monkeypatch.setattr(reboot, "leave", goes_down)
    after_nv = fold(one.plan.config, one.plan.steps[0].effect)
    monkeypatch.setattr(execute, "read_config", lambda host, staged: after_nv)
    with pytest.raises(SystemExit):
        execute._reboot(machine.host, machine.run, one, step, data)
    machine.boot = "boot-2"
    assert reboot.arrived(machine.run) is not None
    with pytest.raises(AgentError, match="needs a power cycle: after 1 of 1 boots SRIOV_EN is False"):
        execute._reboot(machine.host, machine.run, one, step, data)
    assert booted == ["boot-1"]
    # With the setting in force the same boot is the end of the step.
    monkeypatch.setattr(execute, "read_config", lambda host, staged: one.plan.expected())
    execute._reboot(machine.host, machine.run, one, step, data)
    assert machine.run.journal.last("step", "end", step=step.id) is not None
    assert execute._from_last_boot(machine.run, one) == [step]


def test_where_systemd_is_the_dead_man_is_a_timer_and_there_is_always_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(service, "manager", lambda paths: service.SYSTEMD)
    monkeypatch.setattr(deadman, "own_bundle", lambda: tmp_path)
    monkeypatch.setattr(deadman, "_TRANSIENT", tmp_path / "transient")
    (tmp_path / "transient").mkdir()
    deadman.arm(machine.run, 100)
    first = deadman.guard(machine.host, machine.run, lambda why: None)
    argv = machine.ran[0]
    assert argv[0] == "systemd-run"
    assert argv[-4:] == [PROGRAM, "deadman", str(tmp_path), "r1"]
    (delay,) = (word for word in argv if word.startswith("--on-active="))
    assert 99_000 < int(delay[len("--on-active=") : -2]) <= 100_000
    assert not deadman.watches(machine.run)
    (tmp_path / "transient" / f"{first}.timer").touch()
    assert deadman.watches(machine.run)
    assert 99 < (deadman.left_s(machine.run) or 0) <= 100
    deadman.arm(machine.run, 5)
    second = deadman.guard(machine.host, machine.run, lambda why: None)
    assert second != first
    assert machine.ran[-1] == ["systemctl", "stop", f"{first}.timer"]
    machine.boot = "boot-2"
    assert not deadman.watches(machine.run)


def test_the_hook_is_there_while_something_is_open_or_kept(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(boot_hook, "own_bundle", lambda: tmp_path)
    host = machine.host
    boot_hook.settle(host)
    assert not boot_hook.there(host)
    host.lock.take("r1", "me", "apply")
    boot_hook.settle(host)
    script = Path(host.paths.boot_script)
    assert script.stat().st_mode & 0o111
    assert f"exec {PROGRAM} boot {tmp_path}" in script.read_text()
    host.lock.release("r1")
    boot_hook.settle(host)
    assert not script.exists()


@pytest.mark.pain(5)
@pytest.mark.pain(28)
def test_the_unit_of_systemd_comes_before_the_network(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(boot_hook, "own_bundle", lambda: tmp_path)
    monkeypatch.setattr(service, "manager", lambda paths: service.SYSTEMD)
    assert boot_hook.ensure(machine.host)
    unit = Path(machine.host.paths.boot_unit).read_text()
    assert "Before=network-pre.target network.target " in unit
    assert "Wants=network-pre.target network.target\n" in unit
    assert f"ExecStart={PROGRAM} boot /\n" in unit
    assert ["systemctl", "enable", "--quiet", "tether-boot.service"] in machine.ran
    boot_hook.drop(machine.host)
    assert not Path(machine.host.paths.boot_unit).exists()


def test_a_run_that_waits_for_its_boot_does_not_rest(machine: Machine) -> None:
    (machine.run.folder / "plan.json").write_text("{}")
    machine.run.journal.append("start", "begin")
    assert state.state(machine.run) == "interrupted"
    reboot.expect(machine.run, "01-host_reboot", 1, 1, 900)
    assert state.state(machine.run) == "rebooting"
    assert "rebooting" not in state.RESTING
    machine.boot = "boot-2"
    early = boottime_ns() < reboot._CHECK_S * 10**9
    assert (state.state(machine.run) == "rebooting") == early
