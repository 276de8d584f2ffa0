# SPDX-License-Identifier: Apache-2.0
"""Staging: a host plan becomes a pending run of this host, or is refused before anything is touched."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from tether_hw.agent import carry, close, durable, package_files, reserve, revoked
from tether_hw.agent.errors import Refused
from tether_hw.agent.host import own_digest
from tether_hw.agent.journal import BEGIN, END
from tether_hw.agent.readback import check_facts
from tether_hw.agent.session import connection
from tether_hw.agent.staged import Staged

if TYPE_CHECKING:
    from tether_hw.agent.host import Host


def peer() -> Optional[str]:
    """The connection that this verb came over, to know it again."""
    seen = connection()
    return None if seen is None else seen.peer


def stage(host: Host, value: Any) -> dict[str, Any]:
    """Lock this host for the run and keep its plan. Raises Locked, Refused or FactsDiffer with nothing changed."""
    staged = Staged.parse(value)
    plan = staged.plan
    if plan.root != host.paths.root:
        raise Refused("the plan is for root %s, this host has %s" % (plan.root, host.paths.root))
    if plan.bundle is not None and not Path(host.program("tether-agent", plan.bundle)).is_file():
        raise Refused("the plan names bundle %s, which is not on this host" % plan.bundle)
    for step in plan.steps:
        carry.check_argv(step, host.paths)
    revoked.check(host, plan.steps)
    lacking = package_files.missing(plan.steps, host.paths)
    if lacking:
        raise Refused("the plan names files that are not on this host: %s" % ", ".join(lacking))
    run = host.run(staged.run)
    if run.exists():
        raise Refused("run %s is on this host already" % run.name)
    host.make_state()
    close.tidy(host)
    number = max((other.number() for other in host.all_runs()), default=0) + 1
    run.folder.mkdir(mode=0o700)
    try:
        run.journal.append("stage", BEGIN, peer=peer(), holder=staged.holder, bundle=own_digest(), seq=number)
        durable.write_json(run.folder / "plan.json", staged.to_dict())
        reserve.make(run)
        host.lock.take(run.name, staged.holder, "apply")
    except BaseException:
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
    try:
        run.journal.append("lock", END)
        check_facts(host, staged)
        run.journal.append("stage", END)
    except Exception:
        # Told no, the controller leaves; nothing was changed yet, so nothing may hold the host either.
        host.lock.release(run.name)
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
    return {"run": run.name, "steps": len(plan.steps)}
