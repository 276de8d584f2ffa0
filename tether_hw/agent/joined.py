# SPDX-License-Identifier: Apache-2.0
"""A run that is one transaction with the runs of other hosts: it waits for them, and has one deadline with them.

Hosts do not talk to each other: the controller follows all of them and tells each what it waits for. Without it the
dead-men decide, all at the same time.
"""

from __future__ import annotations

import calendar
import time
from typing import TYPE_CHECKING, Any, Optional

from tether_hw.agent import confirm, deadman, take_back
from tether_hw.agent.errors import Decided, Refused
from tether_hw.agent.journal import BEGIN, END
from tether_hw.agent.process import boot_id, boottime_ns
from tether_hw.agent.staged import Staged

if TYPE_CHECKING:
    from tether_hw.agent.host import Host
    from tether_hw.agent.run import Run
    from tether_hw.plan.step import Step

_LOOK_S = 0.1


def hold_all(run: Run, staged: Staged) -> None:
    """Before the first step: wait until all joined runs compared the facts and are armed, or until it is decided.

    What one of them changes, another may see in its own facts.
    """
    if staged.joined is None or run.journal.last("together") is not None:
        return
    run.journal.append("hold", BEGIN)
    while run.journal.last("together") is None and run.outcome() is None:
        time.sleep(_LOOK_S)


def hold(run: Run, staged: Staged, step: Step) -> None:
    """Before a step: wait until the controller says that what it comes after has ended, or until the run is decided."""
    awaited = [after for after in staged.plan.after if after.step == step.id]
    if staged.joined is None or not awaited or run.journal.last("step", BEGIN, step=step.id) is not None:
        return
    if run.journal.last("proceed", step=step.id) is None:
        run.journal.append("hold", BEGIN, step=step.id, waits=[after.to_dict() for after in awaited])
    while run.journal.last("proceed", step=step.id) is None:
        if run.outcome() is not None:
            return
        time.sleep(_LOOK_S)


def proceed(run: Run, step: Optional[str]) -> None:
    """What a step comes after has ended on the other hosts; no step: all are armed."""
    staged = Staged.of(run)
    if step is None:
        if staged.joined is None:
            raise Refused("run %s is joined to no other" % run.name)
        if run.journal.last("together") is None:
            run.journal.append("together", END)
        return
    if all(after.step != step for after in staged.plan.after):
        raise Refused("step %s of run %s waits for no other host" % (step, run.name))
    if run.journal.last("proceed", step=step) is None:
        run.journal.append("proceed", END, step=step)


def window_left_s(run: Run, staged: Staged) -> float:
    """Seconds until the deadline that a run has when it is armed now.

    One that is joined to others counts from its last start on: time that this host was up by the boot clock, a boot by
    the calendar, which may be wrong by no more than the time that a boot may take.
    """
    if staged.joined is None:
        return staged.window_s()
    records = run.journal.records()
    starts = [number for number, record in enumerate(records) if record["point"] in ("start", "resume")]
    seen = records[starts[-1] :] if starts else []
    here = {"boot": boot_id(), "up_ns": boottime_ns(), "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    most_s = staged.joined.boot_s * staged.time_scale
    spent = sum(_between_s(one, other, most_s) for one, other in zip(seen, [*seen[1:], here]))
    return max(0.0, staged.window_s() - spent)


def _between_s(one: dict[str, Any], other: dict[str, Any], most_s: float) -> float:
    if one["boot"] == other["boot"]:
        return float(other["up_ns"] - one["up_ns"]) / 1e9
    return min(most_s, max(0.0, float(_seconds(other["at"]) - _seconds(one["at"]))))


def _seconds(at: str) -> int:
    return calendar.timegm(time.strptime(at, "%Y-%m-%dT%H:%M:%SZ"))


def ready(host: Host, run: Run) -> None:
    """All joined runs wait for their confirm: from now on its window counts, on all of them.

    Raises Refused where the run does not wait, Decided when it was taken back.
    """
    staged = Staged.of(run)
    if staged.joined is None:
        raise Refused("run %s is joined to no other" % run.name)
    outcome = run.outcome()
    if outcome is not None:
        words = "run %s was decided before (%s, %s)" % (run.name, outcome["by"], outcome["at"])
        raise Decided(words, by=outcome["by"], at=outcome["at"])
    moment = deadman.deadline_ns(run)
    if not confirm.waits(run.journal.records()) or moment is None:
        raise Refused("run %s does not wait for a confirm" % run.name)
    if run.journal.last("ready") is not None:
        return
    left_s = max(0.0, (moment - boottime_ns()) / 1e9)
    window_s = min(left_s, float(staged.confirm_timeout_s * staged.time_scale))
    deadline_ns = deadman.arm(run, window_s)
    deadman.guard(host, run, lambda why: take_back.after_deadline(host, run, staged, why))
    run.journal.append("ready", END, deadline_ns=deadline_ns, members=list(staged.joined.members))


def check_ready(run: Run, staged: Staged) -> None:
    """Raises Refused for a confirm of a joined run before all of them are known to wait."""
    if staged.joined is not None and run.outcome() is None and run.journal.last("ready") is None:
        raise Refused("run %s is one with those of other hosts, and nobody said that all of them wait" % run.name)
