# SPDX-License-Identifier: Apache-2.0
"""The engine as a service: systemd's where systemd runs this host, otherwise our own supervisor's."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from tether_hw.agent import command, durable, engine_files
from tether_hw.agent.errors import AgentError
from tether_hw.plan.paths import UNIT_NAME

if TYPE_CHECKING:
    from tether_hw.agent.host import Host
    from tether_hw.plan.kinds.engine_service import EngineService
    from tether_hw.plan.paths import HostPaths

SYSTEMD = "systemd"
SUPERVISED = "supervised"
_SYSTEMCTL_S = 45.0


def manager(paths: HostPaths) -> str:
    """Who runs services here: systemd only where it is this machine's init and we are its root user."""
    if paths.root == "/" and os.geteuid() == 0 and Path("/run/systemd/system").is_dir():
        return SYSTEMD
    return SUPERVISED


def state(paths: HostPaths) -> dict[str, Any]:
    """{"service", "bundle", "unit_sha256"} as facts have them."""
    if manager(paths) == SYSTEMD:
        return _systemd_state(paths)
    record = durable.read_json(Path(paths.service_record))
    if record is None:
        return {"service": "absent", "bundle": None, "unit_sha256": None}
    from tether_hw.agent import supervisor

    running = supervisor.living(paths) is not None
    return {"service": "running" if running else "stopped", "bundle": record["bundle"], "unit_sha256": None}


def _systemd_state(paths: HostPaths) -> dict[str, Any]:
    from tether_hw.plan.unit import UnitError, parse_unit

    try:
        content = Path(paths.unit).read_bytes()
    except FileNotFoundError:
        return {"service": "absent", "bundle": None, "unit_sha256": None}
    bundle: Optional[str] = None
    try:
        start = parse_unit(content.decode("ascii"))["Service"]["ExecStart"]
        bundle = start.split("/opt/tether/", 1)[1].split("/", 1)[0]
    except (UnitError, UnicodeDecodeError):
        pass  # a unit that somebody else wrote: seen by its digest
    try:
        command.run(["systemctl", "is-active", "--quiet", UNIT_NAME], _SYSTEMCTL_S)
        service = "running"
    except AgentError:
        service = "stopped"
    return {"service": service, "bundle": bundle, "unit_sha256": hashlib.sha256(content).hexdigest()}


def last_words(paths: HostPaths) -> str:
    """What the engine said last, where its service manager keeps it; "" when it said nothing."""
    if manager(paths) != SYSTEMD:
        from tether_hw.agent import supervisor

        return supervisor.last_words(paths)
    argv = ["journalctl", "--unit", UNIT_NAME, "--boot", "--lines", "5", "--output", "cat", "--no-pager"]
    argv.append("_TRANSPORT=stdout")  # of the engine itself, not of systemd about it
    try:
        lines = command.execute(argv, _SYSTEMCTL_S).out.splitlines()
    except AgentError:
        return ""
    return next((line for line in reversed(lines) if line.strip()), "")


def carry_out(data: EngineService, host: Host, snapshot: Path) -> None:
    """Make the service what the step says. Raises AgentError with what the service manager said."""
    here = manager(host.paths)
    if data.manager != here:
        raise AgentError("the plan was made for %s, this host has %s" % (data.manager, here))
    if data.bundle is not None and not Path(host.program("tether-engine", data.bundle)).is_file():
        raise AgentError("bundle %s has no engine on this host" % data.bundle[:12])
    if here == SYSTEMD:
        _systemd(data, host.paths, snapshot, wait=not host.booting)
    else:
        _supervised(data, host)


def _systemd(data: EngineService, paths: HostPaths, snapshot: Path, wait: bool) -> None:
    unit = Path(paths.unit)
    if data.action == "remove":
        if unit.exists():
            command.run(["systemctl", "disable", "--now", UNIT_NAME], _SYSTEMCTL_S)
            durable.remove(unit)
            command.run(["systemctl", "daemon-reload"], _SYSTEMCTL_S)
        return
    content: Optional[bytes] = None
    if data.unit is not None:
        content = data.unit.encode()
    elif data.unit_sha256 is not None and _digest(unit) != data.unit_sha256:
        content = engine_files.kept(snapshot, "engine.service", data.unit_sha256)
    if content is not None and _digest(unit) != hashlib.sha256(content).hexdigest():
        durable.write(unit, content, 0o644)
        command.run(["systemctl", "daemon-reload"], _SYSTEMCTL_S)
    if data.action == "start":
        # The engine starts after the network, which waits for the boot check.
        command.run(["systemctl", "restart", *([] if wait else ["--no-block"]), UNIT_NAME], _SYSTEMCTL_S)
    else:
        command.run(["systemctl", "stop", UNIT_NAME], _SYSTEMCTL_S)


def _digest(path: Path) -> Optional[str]:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _supervised(data: EngineService, host: Host) -> None:
    from tether_hw.agent import supervisor

    record = Path(host.paths.service_record)
    supervisor.stop(host.paths)
    if data.action == "remove":
        durable.remove(record)
        return
    if data.bundle is not None:
        durable.write_json(record, {"bundle": data.bundle}, 0o644)
    if data.action == "start":
        assert data.bundle is not None
        supervisor.start(host, data.bundle)
