# SPDX-License-Identifier: Apache-2.0
"""Taking a run back on this host: undo in reverse order by read-back, then compare with the snapshot."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tether_hw.agent import boot_hook, boot_plan, carry, close, reboot, reserve, revert, revoked, snapshot
from tether_hw.agent import deadman as watchman
from tether_hw.agent.errors import AgentError, Refused
from tether_hw.agent.journal import BEGIN, END, FAILED
from tether_hw.agent.process import ProcessId, boot_id, detach, this_process
from tether_hw.agent.readback import read_config, wait_for
from tether_hw.agent.run import CONFIRMED, EXECUTOR, REVERTED, REVERTER
from tether_hw.agent.staged import Staged
from tether_hw.plan.cold import volatile
from tether_hw.plan.facts import differences
from tether_hw.plan.kinds.engine_service import EngineService
from tether_hw.plan.kinds.host_reboot import HostReboot
from tether_hw.plan.kinds.nic_reset import NicReset
from tether_hw.plan.roster import config_without, step_without
from tether_hw.plan.undo import undo_order

if TYPE_CHECKING:
    from tether_hw.agent.host import Host
    from tether_hw.agent.run import Run
    from tether_hw.plan.step import Step
    from tether_hw.plan.undo import UndoStep

_OTHERS_S = 60.0
_AGAIN_S = 1.0
_GRACE_S = 1.0  # what a step that is running gets to end when a revert has been decided


def start(host: Host, name: str, by: str) -> None:
    """Decide that the run is taken back, and detach the process that does it. Raises Locked or Refused."""
    run = host.run(name)
    if not run.exists():
        if run.folder.is_dir() or (host.lock.holder() or {}).get("run") == name:
            # Cut off before its plan was kept: nothing of it was ever carried out.
            host.lock.release(name)
            if run.folder.is_dir():
                run.journal.append("close", END, state="rolled-back", restored=True, by=by)
            return
        raise Refused("run %s is not known on this host" % name)
    staged = Staged.of(run)
    if close.closed(run) in ("rolled-back", "taken-back"):
        return
    if run.process(REVERTER) is not None:
        return
    if run.is_decided(CONFIRMED):
        _after_confirm(host, run, staged, by)
    else:
        host.lock.take(name, by, "rollback")
        if not reserve.within(run, lambda: run.decide(REVERTED, by)) and run.is_decided(CONFIRMED):
            raise Refused("run %s was confirmed a moment ago; say rollback again to undo it" % name)
    process = detach("tether-reverter", run.log, lambda: _revert(host, run, staged, "asked by %s" % by))
    run.remember(REVERTER, process)


def _after_confirm(host: Host, run: Run, staged: Staged, by: str) -> None:
    close.finish(host, run, staged)
    later = later_runs(host, run, staged)
    if later:
        raise Refused("later runs changed the same things: %s; take them back first" % ", ".join(later), runs=later)
    host.lock.take(run.name, by, "rollback")


def later_runs(host: Host, run: Run, staged: Staged) -> list[str]:
    """Kept runs after this one that changed something that this one changed too."""
    touched = {change.path for change in staged.changes()}
    found = []
    order = host.all_runs()
    names = [other.name for other in order]
    for other in order[names.index(run.name) + 1 :]:
        if close.closed(other) == "confirmed" and touched & {change.path for change in Staged.of(other).changes()}:
            found.append(other.name)
    return found


def after_deadline(host: Host, run: Run, staged: Staged, why: str) -> None:
    """The dead-man's part, once its decision stands."""
    _revert(host, run, staged, why)


def _revert(host: Host, run: Run, staged: Staged, why: str) -> None:
    _end_actor(run.process(EXECUTOR), run)
    with run.acting(10.0):
        if close.closed(run) in ("rolled-back", "taken-back"):
            return
        reserve.patiently(run, lambda: take_back(host, run, staged, why))


def _end_actor(process: ProcessId | None, run: Run) -> None:
    """End the executor and the command that it may be waiting for."""
    if process is None or process.pid == os.getpid():
        return
    process.kill(signal.SIGCONT)
    if process.wait(_GRACE_S):
        return
    process.kill(signal.SIGKILL)
    process.wait(5.0)


def deadman(host: Host, run: Run) -> None:
    """The dead-man of a timer of systemd, in this process."""
    run.remember(REVERTER, this_process())
    staged = Staged.of(run)
    watchman.watch(run, lambda why: after_deadline(host, run, staged, why))


def take_back(host: Host, run: Run, staged: Staged, why: str) -> None:
    """Undo what was done and close the run; called by the one process that acts for it.

    The boot check does it too: then only what outlives a boot is undone, the boot plan makes the rest again.
    """
    kept = run.is_decided(CONFIRMED)
    booted = host.booting
    if not booted:
        boot_hook.ensure(host)
    reboot.forget(run)
    run.journal.append("revert", BEGIN, why=why)
    if kept:
        boot_plan.give_back(host, run)
    problems: list[str] = []
    # What another host does not let go of yet: it is taken back there at the same time.
    patient = staged.joined is not None and not booted
    limit = time.monotonic() + (_OTHERS_S * staged.time_scale if patient else 0.0)
    taken = run.snapshot()
    gone = revoked.read(host)
    if taken is not None:
        for undo in undo_order(step_without(step, gone) for step in staged.plan.steps):
            problems += _undone(host, run, staged, undo, kept, limit)
        if not booted and reboot.begun(run):
            # What a boot of the run wiped and no step of it made again.
            boot_plan.carry_out(host)
    left: list[dict[str, Any]] = []
    if taken is not None:
        before = config_without(taken["config"], gone)
        left = _left(before, read_config(host, staged), staged, kept, booted)
        while any("nv" not in item["path"] for item in left) and not problems and time.monotonic() < limit:
            time.sleep(_AGAIN_S)
            left = _left(before, read_config(host, staged), staged, kept, booted)
        _boot_back(host, run, staged, left)
    restored = not left and not problems
    run.journal.append("revert", END, why=why, restored=restored, differences=left, problems=problems)
    if not kept:
        watchman.dismiss(run)
    if restored or (kept and not problems):
        close.close_reverted(host, run, staged, restored=restored, why=why, was_kept=kept)


def _left(
    before: dict[str, Any], now: dict[str, Any], staged: Staged, kept: bool, booted: bool
) -> list[dict[str, Any]]:
    """What the run touched and is not as it was; what the boot plan is still to make again does not count."""
    touched = {change.path for change in staged.changes()}
    if not kept:
        touched |= {condition.path for step in staged.plan.steps for condition in step.post}
    found = []
    for item in differences(before, now):
        path = tuple(item["path"])
        lasts = not booted or "nv" in path or not volatile(path)
        if lasts and any(_overlap(path, other) for other in touched):
            found.append(item)
    return found


def _boot_back(host: Host, run: Run, staged: Staged, left: list[dict[str, Any]]) -> None:
    """Settings of firmware that a boot in mid-run put into force go out of force by one more, and by no second one.

    Be it the boot that the run asked for or a power cut before it came so far.

    The boot check goes on from here; this comes back only where no boot is to be had.
    """
    waiting = [item for item in left if "nv" in item["path"] and item["path"][-1] == "current"]
    booted = any(record["boot"] != boot_id() for record in run.journal.records())
    steps = reboot.steps(staged)
    if not waiting or not booted or not steps or reboot.asked(run, reboot.REVERT):
        return
    last = steps[-1]
    within_s = last.timeout_s * staged.time_scale
    reboot.expect(run, reboot.REVERT, 1, 1, within_s)
    try:
        reboot.go(host, last, within_s, lambda: False)
    except AgentError as error:
        run.journal.append("reboot", FAILED, step=reboot.REVERT, message=error.message)
    reboot.forget(run)


def _undone(host: Host, run: Run, staged: Staged, undo: UndoStep, kept: bool, limit: float) -> list[str]:
    """Undo a step, again and again until `limit`; what is in its way at last."""
    while True:
        try:
            _undo(host, run, staged, undo, kept)
            return []
        except Exception as error:  # noqa: BLE001 - the other steps must be taken back all the same
            words = error.message if isinstance(error, AgentError) else "%s: %s" % (type(error).__name__, error)
            run.journal.append("undo", FAILED, step=undo.step.id, message=words)
            if undo.data is None or time.monotonic() >= limit:
                return ["%s: %s" % (undo.step.id, words)]
        time.sleep(_AGAIN_S)


def _undo(host: Host, run: Run, staged: Staged, undo: UndoStep, kept: bool) -> None:
    step = undo.step
    begun = run.journal.last("step", BEGIN, step=step.id) is not None
    if step.kind in (HostReboot.kind, NicReset.kind):
        return  # when everything is undone, and only where something of it waits for a boot
    config = read_config(host, staged)
    last = _last_word(run, step.id)
    undoing = last in (BEGIN, FAILED)
    verdict = revert.decide_step(step, begun, config, kept, host.booting, undoing)
    if verdict == revert.SKIP:
        if begun and last != END:
            run.journal.append("undo", END, step=step.id, found=True)
        return
    if last == END and _overtaken(run, staged, step, config, kept, host.booting):
        return
    if verdict == revert.FOREIGN:
        run.journal.append("undo", "left", step=step.id, message="changed by somebody else since")
        return
    data = undo.data
    if data is None:
        raise AgentError("cannot be undone: %s" % undo.reason)
    if host.booting and isinstance(data, EngineService) and data.action == "start":
        data = replace(data, action="stop")  # its record as it was; the boot plan starts it
    run.journal.append("undo", BEGIN, step=step.id)
    carry.carry_out(data, host, snapshot.folder(run), float(step.timeout_s * staged.time_scale))
    wait_for(host, staged, revert.lasting(step.pre) if host.booting else step.pre)
    run.journal.append("undo", END, step=step.id)


def _last_word(run: Run, step: str) -> str | None:
    """What the journal says of the undo of a step: BEGIN, FAILED, END or "left"; None when it was not come to."""
    found = [one["phase"] for one in run.journal.records() if (one["point"], one.get("step")) == ("undo", step)]
    return found[-1] if found else None


def _overtaken(run: Run, staged: Staged, step: Step, config: dict[str, Any], kept: bool, booted: bool) -> bool:
    """Whether a step that was taken back is not to be seen so any more because earlier steps were taken back after it.

    A taking back that was cut off must not put virtual functions back to what they were before they are gone.
    """
    changed = {change.path for change in step.effect}
    conditions = [one for one in step.pre if not kept or one.path in changed]
    missing = [one.path for one in (revert.lasting(conditions) if booted else conditions) if not one.holds(config)]
    steps = staged.plan.steps
    earlier = steps[: steps.index(step)]
    since = {change.path for one in earlier if _last_word(run, one.id) is not None for change in one.effect}
    taken = any(other[0] == "functions" and other[-1] in ("device", "driver") for other in since)
    return all(
        any(_overlap(path, other) for other in since)
        or (taken and path[0] == "nics" and path[1] not in config["nics"])  # with its driver, which comes again
        for path in missing
    )


def _overlap(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    """True when one path is the other or lies below it."""
    shorter = min(len(left), len(right))
    return left[:shorter] == right[:shorter]
