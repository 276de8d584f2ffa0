# SPDX-License-Identifier: Apache-2.0
"""The end of a run: disarmed, the owned record up to date, the host free. Doing it twice is the same as once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from tether_hw.agent import boot_hook, boot_plan, deadman, kept, offload_probe, reserve
from tether_hw.agent.journal import BEGIN, END
from tether_hw.agent.readback import read_config
from tether_hw.agent.run import CONFIRMED
from tether_hw.agent.staged import Staged

if TYPE_CHECKING:
    from tether_hw.agent.host import Host
    from tether_hw.agent.run import Run


_ACTOR_S = 10.0


def closed(run: Run) -> Optional[str]:
    """How the run ended: "confirmed", "rolled-back" or "taken-back" (after a confirm); None while it is open."""
    record = run.journal.last("close", END)
    if record is None:
        return None
    # A rollback of a confirmed run opens it again.
    for later in run.journal.records()[record["n"] :]:
        if later["point"] == "revert":
            return None
    return str(record["state"])


def finish(host: Host, run: Run, staged: Staged) -> None:
    """Close a confirmed run."""
    if not run.is_decided(CONFIRMED):
        return
    with run.acting(_ACTOR_S):
        if closed(run) is not None or run.journal.last("revert") is not None:
            return
        reserve.within(run, lambda: _finish(host, run, staged))


def _finish(host: Host, run: Run, staged: Staged) -> None:
    run.journal.append("disarm", BEGIN)
    deadman.dismiss(run)
    run.journal.append("disarm", END)
    host.owned.kept(run.name, staged.changes())
    kept.write(host, run.name, staged, "confirmed", staged.plan.expected())
    boot_plan.keep(host, run, staged)
    run.journal.append("close", END, state="confirmed")
    reserve.release(run)
    host.lock.release(run.name)
    boot_hook.settle(host)


def close_reverted(host: Host, run: Run, staged: Staged, restored: bool, why: str, was_kept: bool) -> None:
    """Close a run that was taken back."""
    if was_kept:
        config = read_config(host, staged)
        host.owned.given_back(staged.changes(), config)
        kept.write(host, run.name, staged, "taken-back", config)
    state = "taken-back" if was_kept else "rolled-back"
    run.journal.append("close", END, state=state, restored=restored, why=why)
    reserve.release(run)
    host.lock.release(run.name)
    boot_hook.settle(host)


def tidy(host: Host) -> None:
    """Free a host whose run is over but was cut off before it said so."""
    holder = host.lock.holder()
    if holder is None:
        return
    if holder["for"] == offload_probe.PURPOSE:
        offload_probe.mend(host)
        return
    run = host.run(holder["run"])
    if not run.exists():
        return
    finish(host, run, Staged.of(run))
    if closed(run) is not None:
        host.lock.release(run.name)
