# SPDX-License-Identifier: Apache-2.0
"""Going on with a run that was interrupted, whatever interrupted it and whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tether_hw.agent import close, execute, take_back
from tether_hw.agent.errors import Refused
from tether_hw.agent.staged import Staged
from tether_hw.agent.state import state

if TYPE_CHECKING:
    from tether_hw.agent.host import Host


def resume(host: Host, name: str, by: str) -> None:
    """Start what is missing: the executor, the reverter, or the bookkeeping of a run that is decided."""
    run = host.run(name)
    now = state(run)
    if now == "not-begun":
        if not run.folder.is_dir() and (host.lock.holder() or {}).get("run") != name:
            raise Refused("run %s is not known on this host" % name)
        take_back.start(host, name, by)
    elif now in ("staging", "staged", "interrupted"):
        if run.journal.last("lock") is None:
            # Cut off between keeping the plan and taking the lock: compete for it now.
            close.tidy(host)
            host.lock.take(name, Staged.of(run).holder, "apply")
            run.journal.append("lock", "end")
        execute.start(host, name, "resume")
    elif now == "confirming":
        close.finish(host, run, Staged.of(run))
    elif now == "revert-interrupted":
        take_back.start(host, name, by)
    close.tidy(host)
