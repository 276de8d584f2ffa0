# SPDX-License-Identifier: Apache-2.0
"""Carrying out a staged run, in a process that no session owns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tether_hw.agent import carry, deadman, snapshot, stage, storage, take_back, verify
from tether_hw.agent.errors import AgentError, Refused
from tether_hw.agent.journal import BEGIN, END, FAILED
from tether_hw.agent.process import ProcessId, boottime_ns, detach
from tether_hw.agent.readback import check_facts, read_config, wait_for
from tether_hw.agent.run import EXECUTOR, REVERTED
from tether_hw.agent.staged import Staged
from tether_hw.plan.checks import IN_SOFTWARE, PROVED
from tether_hw.plan.effects import holds
from tether_hw.plan.kinds.registry import parse_data

if TYPE_CHECKING:
    from tether_hw.agent.host import Host
    from tether_hw.agent.run import Run
    from tether_hw.plan.step import Step


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


def _carry_out(host: Host, run: Run, staged: Staged) -> None:
    with run.acting(10.0):
        if run.outcome() is not None:
            return
        try:
            _transaction(host, run, staged)
        except Exception as error:  # noqa: BLE001 - whatever it is, the host must not stay half changed
            if run.decide(REVERTED, "executor"):
                words = _words(error)
                take_back.take_back(host, run, staged, words)


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
    run.journal.append("arm", BEGIN)
    deadline_ns = deadman.arm(run, staged.window_s())
    watcher = deadman.launch(run, lambda why: take_back.after_deadline(host, run, staged, why))
    run.journal.append("arm", END, deadline_ns=deadline_ns, deadman=watcher.pid)
    for step in staged.plan.steps:
        if run.outcome() is not None:
            return
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
    # From here only the confirm is awaited: its window starts now, but never reaches beyond the first deadline.
    left = (deadline_ns - boottime_ns()) / 1e9
    deadline_ns = deadman.arm(run, min(left, float(staged.confirm_timeout_s * staged.time_scale)))
    run.journal.append("await", BEGIN, deadline_ns=deadline_ns)


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
