# SPDX-License-Identifier: Apache-2.0
"""Boots that a run asks for: recorded before they happen, so that the boot check knows them from all others."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

from tether_hw.agent import command, durable, nic_reset, service
from tether_hw.agent.errors import AgentError
from tether_hw.agent.host import own_bundle
from tether_hw.agent.journal import BEGIN, END
from tether_hw.agent.process import boot_id, boottime_ns
from tether_hw.plan.kinds.host_reboot import HostReboot
from tether_hw.plan.kinds.nic_reset import NicReset
from tether_hw.plan.kinds.registry import parse_data

if TYPE_CHECKING:
    from tether_hw.agent.host import Host
    from tether_hw.agent.run import Run
    from tether_hw.agent.staged import Staged

#: The name, in place of a step's, of the boot that brings back what was in force before a run.
REVERT = "revert"
_ASK_S = 60.0
_CHECK_S = 180  # how long after a boot its boot check may take to look at the run


def _file(run: Run) -> Path:
    return run.folder / "reboot.json"


def expect(run: Run, step: str, number: int, of: int, within_s: float) -> None:
    """From here on the next boot is the run's own: number `number` of at most `of`."""
    record = {"step": step, "number": number, "of": of, "boot": boot_id(), "within_s": within_s}
    durable.write_json(_file(run), record)
    run.journal.append("reboot", BEGIN, step=step, number=number, of=of, within_s=within_s)


def expected(run: Run) -> Optional[dict[str, Any]]:
    """The boot that the run waits for; None when it waits for none."""
    record = durable.read_json(_file(run))
    return record if isinstance(record, dict) else None


def forget(run: Run) -> None:
    """A run that does not go on waits for no boot."""
    durable.remove(_file(run))


def arrived(run: Run) -> Optional[dict[str, Any]]:
    """The record of the boot that this one is; None when the run did not ask for this one. True once."""
    record = expected(run)
    if record is None:
        return None
    records = run.journal.records()
    first_since = record["boot"] != boot_id() and bool(records) and records[-1]["boot"] == record["boot"]
    if first_since:
        run.journal.append("reboot", END, step=record["step"], number=record["number"], of=record["of"])
    forget(run)
    return record if first_since else None


def waits(run: Run) -> bool:
    """Whether the host is on its way through a boot of the run: going down, or up and not yet looked at."""
    record = expected(run)
    if record is None:
        return False
    return bool(record["boot"] == boot_id() or boottime_ns() < _CHECK_S * 10**9)


def begun(run: Run) -> int:
    """How many boots the run asked for so far."""
    return sum(1 for one in run.journal.records() if one["point"] == "reboot" and one["phase"] == BEGIN)


def asked(run: Run, step: str) -> bool:
    """Whether the run asked for a boot of this name before."""
    return run.journal.last("reboot", BEGIN, step=step) is not None


def seen(run: Run, step: str) -> int:
    """How many boots of a step the host went through."""
    records = run.journal.records()
    return sum(1 for one in records if (one["point"], one["phase"], one.get("step")) == ("reboot", END, step))


def budget(staged: Staged) -> int:
    """How many boots a run may ask for in all."""
    return sum(data.budget for data in steps(staged))


def steps(staged: Staged) -> list[HostReboot]:
    """The steps of a run that boot its host."""
    kinds = (HostReboot.kind, NicReset.kind)
    found = [parse_data(step.kind, step.data, step.id) for step in staged.plan.steps if step.kind in kinds]
    return [data for data in found if isinstance(data, HostReboot)]


def start(host: Host) -> None:
    """Tell this machine's init to boot. Only an agent that was pushed to a host of its own does that."""
    if host.paths.root != "/" or own_bundle() is None:
        raise AgentError("a host below %s is not booted" % host.paths.root)
    if service.manager(host.paths) == service.SYSTEMD:
        command.run(["systemctl", "reboot"], _ASK_S)
        return
    program = shutil.which("reboot", path=command.SEARCH)
    if program is None:
        raise AgentError("this host has no program reboot")
    command.run([program], _ASK_S)


def leave(host: Host, within_s: float, enough: Callable[[], bool]) -> None:
    """Boot this machine and wait for the end of this process; comes back when there is none, or it is `enough`."""
    start(host)
    _go(within_s, enough)


def leave_by_reset(data: NicReset, within_s: float, enough: Callable[[], bool]) -> None:
    """The same by the reset of the card that carries this machine."""
    nic_reset.start(data)
    _go(within_s, enough)


def go(host: Host, data: HostReboot, within_s: float, enough: Callable[[], bool]) -> None:
    """The one that a step asks for."""
    if isinstance(data, NicReset):
        leave_by_reset(data, within_s, enough)
    else:
        leave(host, within_s, enough)


def _go(within_s: float, enough: Callable[[], bool]) -> None:
    limit = time.monotonic() + within_s
    while time.monotonic() < limit and not enough():
        time.sleep(0.2)
