# SPDX-License-Identifier: Apache-2.0
"""Carrying out a staged run, in a process that no session owns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tether_hw.agent import (
    boot_hook,
    carry,
    command,
    deadman,
    joined,
    nic_reset,
    reboot,
    reserve,
    service,
    snapshot,
    stage,
    storage,
    take_back,
    verify,
)
from tether_hw.agent.errors import AgentError, Refused
from tether_hw.agent.host import Host
from tether_hw.agent.journal import BEGIN, END, FAILED
from tether_hw.agent.process import ProcessId, boottime_ns, detach, this_process
from tether_hw.agent.readback import check_facts, read_config, wait_for
from tether_hw.agent.run import EXECUTOR, REVERTED
from tether_hw.agent.staged import Staged
from tether_hw.plan.checks import IN_SOFTWARE, PROVED
from tether_hw.plan.difference_words import brief
from tether_hw.plan.effects import holds, look_up
from tether_hw.plan.kinds.host_reboot import HostReboot
from tether_hw.plan.kinds.nic_reset import NicReset
from tether_hw.plan.kinds.registry import parse_data

if TYPE_CHECKING:
    from tether_hw.agent.run import Run
    from tether_hw.plan.step import Step


_SYSTEMD_S = 30.0


def start(host: Host, name: str, point: str) -> ProcessId:
    """Detach the executor of a staged run; `point` is "start" or "resume". Raises Refused when it may not run."""
    run = host.run(name)
    staged = Staged.of(run)
    holder = host.lock.holder()
    if holder is None or holder["run"] != name:
        raise Refused("run %s does not hold this host" % name)
    if run.outcome() is not None:
        raise Refused("run %s is decided already" % name)
    if run.process(EXECUTOR) is not None:
        raise Refused("run %s is being carried out" % name)
    if run.journal.last("stage", END) is None:
        # Cut off while it was staged: facts were not compared yet.
        check_facts(host, staged)
        run.journal.append("stage", END)
    if point == "start" and run.journal.last("start") is not None:
        raise Refused("run %s was started before; resume goes on with it" % name)
    run.journal.append(point, BEGIN, peer=stage.peer())
    process = detach("tether-executor", run.log, lambda: _carry_out(host, run, staged))
    run.remember(EXECUTOR, process)
    return process


def go_on(host: Host, run: Run, staged: Staged) -> None:
    """After a boot that the run asked for, once the boot check is over: the executor again."""
    if service.manager(host.paths) != service.SYSTEMD:
        run.journal.append("continue", BEGIN)
        after = Host(host.paths)  # no boot check any more: what fails from here on is undone as ever
        run.remember(EXECUTOR, detach("tether-executor", run.log, lambda: _carry_out(after, run, staged)))
        return
    name = "tether-executor-%s-%d" % (run.name, reboot.begun(run))
    argv = ["systemd-run", "--quiet", "--collect", "--no-block", "--unit=" + name, "--property=After=network.target"]
    argv += ["--property=StandardOutput=append:%s" % run.log, "--property=StandardError=append:%s" % run.log]
    run.journal.append("continue", BEGIN)
    command.run([*argv, host.program("tether-agent"), "continue", host.paths.root, run.name], _SYSTEMD_S)


def continued(host: Host, run: Run) -> None:
    """The executor of a run that goes on, in this process."""
    run.remember(EXECUTOR, this_process())
    _carry_out(host, run, Staged.of(run))


def _carry_out(host: Host, run: Run, staged: Staged) -> None:
    with run.acting(10.0):
        if run.outcome() is not None:
            return
        try:
            _transaction(host, run, staged)
        except Exception as error:  # noqa: BLE001 - whatever it is, the host must not stay half changed
            if reserve.patiently(run, lambda: run.decide(REVERTED, "executor")):
                words = _words(error)
                reserve.patiently(run, lambda: take_back.take_back(host, run, staged, words))


def _words(error: Exception) -> str:
    if isinstance(error, AgentError):
        return error.message
    return storage.trouble(error) if isinstance(error, OSError) else "%s: %s" % (type(error).__name__, error)


def _transaction(host: Host, run: Run, staged: Staged) -> None:
    config = read_config(host, staged)
    if run.snapshot() is None:
        # Nothing was changed yet, so the facts must still be those of the plan.
        check_facts(host, staged)
        run.journal.append("snapshot", BEGIN)
        snapshot.take(run, host.paths, config, staged.plan.steps)
        run.journal.append("snapshot", END)
    elif any(reboot.seen(run, step.id) for step in staged.plan.steps):
        snapshot.after_boot(run, config)
    boot_hook.ensure(host)
    run.journal.append("arm", BEGIN)
    deadline_ns = deadman.arm(run, joined.window_left_s(run, staged))
    watcher = deadman.guard(host, run, lambda why: take_back.after_deadline(host, run, staged, why))
    run.journal.append("arm", END, deadline_ns=deadline_ns, deadman=watcher)
    joined.hold_all(run, staged)
    for step in _from_last_boot(run, staged):
        if run.outcome() is not None:
            return
        joined.hold(run, staged, step)
        if run.outcome() is not None:
            return
        data = parse_data(step.kind, step.data, step.id)
        if isinstance(data, HostReboot):
            _reboot(host, run, staged, step, data)
            continue
        _step(host, run, staged, step)
    if run.outcome() is not None:
        return
    run.journal.append("verify", BEGIN)
    plan = staged.plan
    results = verify.local(host, staged.host, staged.devices(), plan.checks, plan.expected(), staged.time_scale)
    bad = [result for result in results if result["result"] not in (PROVED, IN_SOFTWARE)]
    run.journal.append("verify", FAILED if bad else END, checks=results)
    if bad:
        raise AgentError("local verify failed: %s" % "; ".join("%s: %s" % (r["id"], r["evidence"]) for r in bad))
    if staged.joined is None:
        # From here only the confirm is awaited: its window starts now, but never reaches beyond the first deadline.
        left = (deadline_ns - boottime_ns()) / 1e9
        deadline_ns = deadman.arm(run, min(left, float(staged.confirm_timeout_s * staged.time_scale)))
        deadman.guard(host, run, lambda why: take_back.after_deadline(host, run, staged, why))
    run.journal.append("await", BEGIN, deadline_ns=deadline_ns)


def _from_last_boot(run: Run, staged: Staged) -> list[Step]:
    """The steps without those before the last boot of the run: what of them a boot wipes, later steps make again."""
    steps = list(staged.plan.steps)
    through = [number for number, step in enumerate(steps) if reboot.seen(run, step.id)]
    return steps[through[-1] :] if through else steps


def _reboot(host: Host, run: Run, staged: Staged, step: Step, data: HostReboot) -> None:
    """Boot this host, or see that it was booted and what waited for it is in force now."""
    if run.journal.last("step", END, step=step.id) is not None:
        return
    boots = reboot.seen(run, step.id)
    if boots:
        config = read_config(host, staged)
        waiting = [one for one in step.post if "nv" in one.path and not one.holds(config)]
        if not waiting:
            run.journal.append("step", END, step=step.id)
            return
        if boots >= data.budget:
            words = ", ".join("%s is %s" % (one.path[-2], brief(look_up(config, one.path))) for one in waiting)
            message = "needs a power cycle: after %d of %d boots %s" % (boots, data.budget, words)
            run.journal.append("step", FAILED, step=step.id, message=message)
            raise AgentError("%s: %s" % (step.id, message))
    else:
        run.journal.append("step", BEGIN, step=step.id)
    within_s = step.timeout_s * staged.time_scale
    if isinstance(data, NicReset):
        nic_reset.check(data)  # before anything is recorded: what is not offered now boots nothing
    reboot.expect(run, step.id, reboot.begun(run) + 1, reboot.budget(staged), within_s)
    reboot.go(host, data, within_s, lambda: run.outcome() is not None)
    raise AgentError("%s: the host did not boot" % step.id)


def _overtaken(run: Run, staged: Staged, step: Step, config: dict[str, Any]) -> bool:
    """Whether a step that was carried out is no longer to be seen because later ones of its run changed the same.

    A driver that left and came back, rules that went and came: on resume the first of the two must not run again.
    """
    steps = staged.plan.steps
    later = [one for one in steps[steps.index(step) + 1 :] if run.journal.last("step", BEGIN, step=one.id) is not None]
    changed = {change.path for one in later for change in one.effect}
    return all(condition.path in changed for condition in step.post if not condition.holds(config))


def _step(host: Host, run: Run, staged: Staged, step: Step) -> None:
    config = read_config(host, staged)
    begun = run.journal.last("step", BEGIN, step=step.id) is not None
    ended = run.journal.last("step", END, step=step.id) is not None
    if holds(config, step.post):
        if not ended:
            if not begun:
                run.journal.append("step", BEGIN, step=step.id)
            run.journal.append("step", END, step=step.id, found=True)
        return
    if ended and _overtaken(run, staged, step, config):
        return
    if not begun and not holds(config, step.pre):
        raise AgentError("%s: the host is not as this step needs it" % step.id)
    run.journal.append("step", BEGIN, step=step.id)
    try:
        data = parse_data(step.kind, step.data, step.id)
        carry.carry_out(data, host, snapshot.folder(run), float(step.timeout_s * staged.time_scale))
        wait_for(host, staged, step.post)
    except AgentError as error:
        run.journal.append("step", FAILED, step=step.id, message=error.message)
        raise AgentError("%s: %s" % (step.id, error.message)) from None
    run.journal.append("step", END, step=step.id)
