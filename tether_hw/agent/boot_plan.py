# SPDX-License-Identifier: Apache-2.0
"""The boot plan: what makes this host again, after any boot, what the last confirmed run left. Written only by confirm.

Its steps skip what is there already. A step that fails takes the ones before it back: the host boots on as it would
without us, and says so.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from tether_hw.agent import boot_rules, carry, durable, service, snapshot
from tether_hw.agent.errors import AgentError
from tether_hw.agent.process import boot_id
from tether_hw.agent.readback import read_config, wait_for
from tether_hw.agent.staged import Staged
from tether_hw.plan.checks import FAILED
from tether_hw.plan.effects import Condition, holds
from tether_hw.plan.kinds.registry import parse_data
from tether_hw.plan.undo import undo_order

if TYPE_CHECKING:
    from tether_hw.agent.host import Host
    from tether_hw.agent.run import Run
    from tether_hw.plan.step import Step

SCHEMA = "tether.boot/1"
_DEVICES_S = 60.0
_SERVICE = ("engine", "service")


def read(host: Host) -> Optional[dict[str, Any]]:
    """{"schema", "run", "staged"}; None when nothing is made again at a boot."""
    document = durable.read_json(Path(host.paths.boot_plan))
    return document if isinstance(document, dict) and document.get("schema") == SCHEMA else None


def keep(host: Host, run: Run, staged: Staged) -> None:
    """A run was confirmed: its boot plan from now on, and the one before it kept with the run."""
    before = run.folder / "boot-before.json"
    if not before.exists():
        durable.write_json(before, read(host))
    boot = staged.plan.boot
    if boot is None or not boot.steps:
        drop(host)
    else:
        document = {"schema": SCHEMA, "run": run.name, "staged": replace(staged, plan=boot).to_dict()}
        durable.write_json(Path(host.paths.boot_plan), document)
    # This host is configured now, whatever its last boot left.
    durable.remove(Path(host.paths.boot_result))


def give_back(host: Host, run: Run) -> None:
    """A confirmed run is taken back: the boot plan before it is the one again, if it still is this run's."""
    current = read(host)
    before = run.folder / "boot-before.json"
    if not before.exists() or (current is not None and current["run"] != run.name):
        return
    former = durable.read_json(before)
    if former is None:
        drop(host)
    else:
        durable.write_json(Path(host.paths.boot_plan), former)


def drop(host: Host) -> None:
    """Nothing is made again at a boot."""
    for path in (host.paths.boot_plan, host.paths.boot_result):
        if Path(path).exists():
            durable.remove(Path(path))


def result(host: Host) -> Optional[dict[str, Any]]:
    """How the boot plan went at this boot: {"run", "boot", "at", "ok", "done", "why", "left"}; None: none was tried."""
    document = durable.read_json(Path(host.paths.boot_result))
    return document if isinstance(document, dict) and document.get("boot") == boot_id() else None


def state(host: Host) -> dict[str, Any]:
    """{"plan": the run whose boot plan is kept or null, "result": how it went at this boot or null}"""
    document = read(host)
    return {"plan": None if document is None else document["run"], "result": result(host)}


def failure(host: Host, name: str) -> list[dict[str, Any]]:
    """A check that failed, as `verify` answers it, when this boot left the host unconfigured; nothing otherwise."""
    came = result(host)
    if came is None or came["ok"]:
        return []
    evidence = "its boot plan (run %s) failed, it booted on without it: %s" % (came["run"], came["why"])
    if came["left"]:
        evidence += "; not taken back: %s" % "; ".join(came["left"])
    return [{"host": name, "nic": None, "check": "boot", "id": "boot", "result": FAILED, "evidence": evidence}]


def carry_out(host: Host) -> None:
    """Make this host again what it was, or leave it as it booted, and keep what came of it."""
    document = read(host)
    if document is None:
        return
    staged = Staged.parse(document["staged"])
    done: list[Step] = []
    why: Optional[str] = None
    left: list[str] = []
    place = snapshot.folder(host.run(staged.run))
    try:
        await_devices(host, staged)
        place = snapshot.at_boot(host.run(staged.run), read_config(host, staged))
        for step in staged.plan.steps:
            config = read_config(host, staged)
            if not holds(config, boot_rules.beside(config, step.post)):
                boot_rules.check_free(config, step)
                done.append(step)
                _step(host, staged, step, place)
    except Exception as error:  # noqa: BLE001 - whatever it is, the host must come up
        why = _words(error)
        left = _take_back(host, staged, done, place)
    record = {
        "run": staged.run,
        "boot": boot_id(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "ok": why is None,
        "done": [step.id for step in done],
        "why": why,
        "left": left,
    }
    durable.write_json(Path(host.paths.boot_result), record)


def _step(host: Host, staged: Staged, step: Step, place: Path) -> None:
    config = read_config(host, staged)
    # What it sets may be otherwise than planned: a value that somebody set by hand once is gone with the boot.
    changed = {change.path for change in step.effect}
    needed = [condition for condition in step.pre if condition.path not in changed]
    if not holds(config, boot_rules.beside(config, needed)):
        raise AgentError("%s: the host is not as this step needs it" % step.id)
    try:
        data = parse_data(step.kind, step.data, step.id)
        carry.carry_out(data, host, place, float(step.timeout_s * staged.time_scale))
        wait_for(host, staged, in_time(host, boot_rules.beside(config, step.post)))
    except AgentError as error:
        raise AgentError("%s: %s" % (step.id, error.message)) from None


def in_time(host: Host, conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """What can be waited for: systemd starts an engine only when the boot check is over."""
    if not host.booting or service.manager(host.paths) != service.SYSTEMD:
        return conditions
    return tuple(condition for condition in conditions if condition.path != _SERVICE)


def _take_back(host: Host, staged: Staged, done: list[Step], place: Path) -> list[str]:
    """Undo the steps that were begun; says what could not be."""
    left = []
    for undo in undo_order(done):
        try:
            config = read_config(host, staged)
            before = boot_rules.beside(config, undo.step.pre, boot_rules.places(undo.step))
            if undo.data is not None and not holds(config, before):
                timeout_s = float(undo.step.timeout_s * staged.time_scale)
                carry.carry_out(boot_rules.undo_beside(config, undo.data), host, place, timeout_s)
                wait_for(host, staged, in_time(host, before))
        except Exception as error:  # noqa: BLE001 - the others are taken back all the same
            left.append("%s: %s" % (undo.step.id, _words(error)))
    return left


def _words(error: Exception) -> str:
    return error.message if isinstance(error, AgentError) else "%s: %s" % (type(error).__name__, error)


def await_devices(host: Host, staged: Staged) -> None:
    """Drivers find their devices in their own time. Raises AgentError with those that do not come."""
    limit = time.monotonic() + _DEVICES_S * staged.time_scale
    while True:
        config = read_config(host, staged)
        missing = [
            name
            for table in ("nics", "functions")
            for name in sorted(staged.plan.config[table])
            if name not in config[table]
        ]
        if not missing:
            return
        if time.monotonic() > limit:
            raise AgentError("not there after the boot: %s" % ", ".join(missing))
        time.sleep(0.2)
