# SPDX-License-Identifier: Apache-2.0
"""The dead-man: takes a run back when nobody confirmed it in time.

It is armed before the first step, belongs to no session, and its deadline is a moment on the boot clock, so neither the
loss of SSH, nor the death of the process that executes, nor a clock that is set changes what it does. Where systemd
runs the host it is a transient timer, elsewhere a process of its own. Neither outlives a boot: the boot check does.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from tether_hw.agent import command, durable, reserve, service
from tether_hw.agent.host import own_bundle
from tether_hw.agent.process import ProcessId, boot_id, boottime_ns, detach
from tether_hw.agent.run import DEADMAN, REVERTED

if TYPE_CHECKING:
    from tether_hw.agent.host import Host
    from tether_hw.agent.run import Run

_LOOK_S = 0.2  # how late it may notice a decision or a deadline that was moved
_SYSTEMD_S = 30.0
_TRANSIENT = Path("/run/systemd/transient")


def arm(run: Run, window_s: float) -> int:
    """Set the deadline `window_s` seconds from now; returns it in ns of the boot clock. A live dead-man sees it."""
    deadline_ns = boottime_ns() + int(window_s * 1e9)
    durable.write_json(run.folder / "armed.json", {"deadline_ns": deadline_ns, "boot": boot_id()})
    return deadline_ns


def deadline_ns(run: Run) -> Optional[int]:
    """The armed deadline; None when there is none in this boot."""
    record = durable.read_json(run.folder / "armed.json")
    if record is None or record["boot"] != boot_id():
        return None
    return int(record["deadline_ns"])


def left_s(run: Run) -> Optional[float]:
    """Seconds until the run is taken back; None when no dead-man watches it."""
    moment = deadline_ns(run)
    if moment is None or not watches(run):
        return None
    return max(0.0, (moment - boottime_ns()) / 1e9)


def watches(run: Run) -> bool:
    """Whether a dead-man waits for the deadline of this run, or acts on it."""
    if run.process(DEADMAN) is not None:
        return True
    name = _timer(run)
    return name is not None and any((_TRANSIENT / (name + kind)).exists() for kind in (".timer", ".service"))


def guard(host: Host, run: Run, take_back: Callable[[str], None]) -> Union[int, str]:
    """Set the dead-man of an armed run to its deadline; gives its pid or the name of its timer."""
    if service.manager(host.paths) != service.SYSTEMD or own_bundle() is None:
        return launch(run, take_back).pid
    return _set_timer(host, run)


def launch(run: Run, take_back: Callable[[str], None]) -> ProcessId:
    """Start the dead-man of an armed run, unless one lives; `take_back(why)` runs in it when the deadline comes."""
    living = run.process(DEADMAN)
    if living is not None:
        return living
    process = detach("tether-deadman", run.log, lambda: watch(run, take_back))
    run.remember(DEADMAN, process)
    return process


def _set_timer(host: Host, run: Run) -> str:
    """A new timer for the deadline of now; then the one before it goes, so that there is always one."""
    moment = deadline_ns(run)
    assert moment is not None
    record = _record(run) or {}
    former = _timer(run)
    number = int(record.get("number", 0)) + 1
    name = "tether-deadman-%s-%d" % (run.name, number)
    left_ms = max(1, (moment - boottime_ns()) // 10**6)
    argv = ["systemd-run", "--quiet", "--collect", "--unit=" + name, "--on-active=%dms" % left_ms]
    argv += ["--timer-property=AccuracySec=100ms", "--description=tether takes run %s back" % run.name]
    argv += ["--property=StandardOutput=append:%s" % run.log, "--property=StandardError=append:%s" % run.log]
    command.run([*argv, host.program("tether-agent"), "deadman", host.paths.root, run.name], _SYSTEMD_S)
    document: dict[str, Any] = {"unit": name, "number": number, "boot": boot_id()}
    durable.write_json(run.folder / (DEADMAN + ".json"), document)
    if former is not None:
        _stop_timer(former)
    return name


def _record(run: Run) -> Optional[dict[str, Any]]:
    record = durable.read_json(run.folder / (DEADMAN + ".json"))
    return record if isinstance(record, dict) else None


def _timer(run: Run) -> Optional[str]:
    """The timer of this boot; None when there is none."""
    record = _record(run)
    if record is None or record["boot"] != boot_id() or "unit" not in record:
        return None
    return str(record["unit"])


def _stop_timer(name: str) -> None:
    """Its service, which may be the caller, lives on."""
    if (_TRANSIENT / (name + ".timer")).exists():
        command.execute(["systemctl", "stop", name + ".timer"], _SYSTEMD_S)


def watch(run: Run, take_back: Callable[[str], None]) -> None:
    """Wait for the deadline, or for somebody to decide; then take back what nobody confirmed."""
    while True:
        if run.outcome() is not None:
            return
        moment = deadline_ns(run)
        if moment is None:
            return
        left = (moment - boottime_ns()) / 1e9
        if left <= 0:
            break
        time.sleep(min(_LOOK_S, left))
    if reserve.patiently(run, lambda: run.decide(REVERTED, "dead-man")):
        reserve.patiently(run, lambda: take_back("not confirmed in time"))


def dismiss(run: Run) -> None:
    """End the dead-man of a decided run, unless it is the caller; it would go by itself, this only waits for it."""
    name = _timer(run)
    if name is not None:
        _stop_timer(name)
    process = run.process(DEADMAN)
    if process is not None and process.pid != os.getpid() and not process.wait(4 * _LOOK_S):
        process.end(1.0)
