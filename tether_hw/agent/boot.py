# SPDX-License-Identifier: Apache-2.0
"""The boot check: what becomes of an open run when this host boots, and then the boot plan.

A boot that the run asked for goes on with it. Any other takes it back: of what it did only files and flash are left to
be undone, everything else went with the boot, and the boot plan makes again what was there before the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tether_hw.agent import boot_hook, boot_plan, close, deadman, execute, reboot, reserve, take_back
from tether_hw.agent.errors import AgentError
from tether_hw.agent.journal import END
from tether_hw.agent.run import CONFIRMED, REVERTED
from tether_hw.agent.staged import Staged

if TYPE_CHECKING:
    from tether_hw.agent.host import Host
    from tether_hw.agent.run import Run

_ACTOR_S = 10.0


def check(host: Host) -> None:
    """Look after what is open here, then carry out the boot plan unless a run goes on."""
    host.booting = True
    close.tidy(host)
    holder = host.lock.holder()
    goes_on = False
    if holder is not None:
        goes_on = _open_run(host, host.run(holder["run"]))
    if not goes_on:
        boot_plan.carry_out(host)
        boot_hook.settle(host)


def _open_run(host: Host, run: Run) -> bool:
    """Go on with the run, or take it back; True when it goes on."""
    if not run.exists():
        # Cut off before its plan was kept: nothing of it was ever carried out.
        host.lock.release(run.name)
        if run.folder.is_dir():
            run.journal.append("close", END, state="rolled-back", restored=True, by="boot check")
        return False
    staged = Staged.of(run)
    asked_for = reboot.arrived(run)
    if run.outcome() is None and asked_for is not None:
        execute.go_on(host, run, staged)
        return True
    reverting = run.is_decided(REVERTED) or run.journal.last("revert") is not None
    if run.is_decided(CONFIRMED) and not reverting:
        return False  # a run that was kept and is over
    reserve.within(run, lambda: run.decide(REVERTED, "boot check"))
    why = "the host booted, and this run had not asked for it" if asked_for is None else "booted to take it back"
    if asked_for is None and reverting:
        why = "the host booted while it was being taken back"
    with run.acting(_ACTOR_S):
        try:
            boot_plan.await_devices(host, staged)
        except AgentError:
            pass  # what lies on files can be taken back all the same
        reserve.within(run, lambda: take_back.take_back(host, run, staged, why))
    deadman.dismiss(run)
    return False
