# SPDX-License-Identifier: Apache-2.0
"""Keeps the engine running where no systemd does: restarts it with back-off, ends it when told."""

from __future__ import annotations

import os
import pwd
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from tether_hw.agent import durable, user
from tether_hw.agent.command import environment
from tether_hw.agent.errors import AgentError
from tether_hw.agent.process import ProcessId, boot_id, detach

if TYPE_CHECKING:
    from tether_hw.agent.host import Host
    from tether_hw.plan.paths import HostPaths

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
LONG_LIFE_S = 30.0  # an engine that lived that long starts again with the first pause
STOP_S = 8.0
LOG_BYTES = 1 << 20  # a longer log is moved aside at the next start


class _Stop:
    """Set by SIGTERM."""

    asked: bool = False

    @classmethod
    def is_asked(cls) -> bool:
        return cls.asked


def _record(paths: HostPaths) -> Path:
    return Path(paths.run) / "supervisor.json"


def living(paths: HostPaths) -> Optional[ProcessId]:
    """The supervisor of this host; None when there is none."""
    record = durable.read_json(_record(paths))
    if record is None or record["boot"] != boot_id():
        return None
    process = ProcessId(record["pid"], record["start"])
    return process if process.alive() else None


def start(host: Host, bundle: str) -> ProcessId:
    """Start the supervisor with the engine of `bundle`; returns when it runs, not when the engine is up."""
    paths = host.paths
    config = durable.read_json(Path(paths.engine_config))
    if not isinstance(config, dict):
        raise AgentError("there is no %s" % paths.engine_config)
    name = config.get("user") or pwd.getpwuid(os.geteuid()).pw_name
    make_run_folder(paths, name)
    log = engine_log(paths)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.old"))
    argv = [host.program("tether-engine", bundle), "serve", "--config", paths.engine_config]
    needed = capabilities(config)
    process = detach("tether-service", log, lambda: _supervise(argv, name, needed))
    durable.write_json(_record(paths), {"pid": process.pid, "start": process.start, "boot": boot_id()}, 0o644)
    return process


def engine_log(paths: HostPaths) -> Path:
    """What the engine and its supervisor say, where no journald listens."""
    return Path(paths.state) / "engine.log"


def last_words(paths: HostPaths) -> str:
    """The last line of the engine's log that is not the supervisor's."""
    try:
        with engine_log(paths).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
            lines = log.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    said = [line for line in lines if line.strip() and " engine ended with " not in line]
    return said[-1] if said else ""


def stop(paths: HostPaths) -> None:
    """End the supervisor and with it the engine."""
    process = living(paths)
    if process is not None:
        process.end(STOP_S)
    if _record(paths).exists():
        durable.remove(_record(paths))


def make_run_folder(paths: HostPaths, name: str) -> None:
    """/run is empty after a boot: make our folder there, the engine's user may write to it."""
    folder = Path(paths.run)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    if os.geteuid() == 0:
        entry = user.known(name)
        if entry is None:
            raise AgentError("there is no user %s" % name)
        os.chown(folder, entry.pw_uid, entry.pw_gid)


def capabilities(config: dict[str, Any]) -> tuple[str, ...]:
    """What the carriers of an engine file need of the kernel, no more."""
    from tether_hw.transport.privilege import NAMES, needed

    carriers = []
    for lane in config.get("lanes", []):
        by_udp = lane["carrier"] == "auto" and "udp" in lane["address"]
        carriers.append("udp" if by_udp else lane["carrier"])
    return tuple(sorted(NAMES[number] for number in needed(carriers)))


def _supervise(argv: list[str], name: str, needed: tuple[str, ...]) -> None:
    signal.signal(signal.SIGTERM, _stop_asked)
    pause = FIRST_PAUSE_S
    while not _Stop.is_asked():
        began = time.monotonic()
        child = _launch(argv, name, needed)
        status = _wait(child)
        if _Stop.is_asked():
            return
        if time.monotonic() - began > LONG_LIFE_S:
            pause = FIRST_PAUSE_S
        sys.stderr.write("tether-service: engine ended with %d, again in %g s\n" % (status, pause))
        limit = time.monotonic() + pause
        while not _Stop.is_asked() and time.monotonic() < limit:
            time.sleep(0.05)
        pause = min(LONGEST_PAUSE_S, pause * 2)


def _launch(argv: list[str], name: str, needed: tuple[str, ...]) -> int:
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            user.become(name, needed)
            os.execve(argv[0], argv, environment())  # noqa: S606 - an argv list of our own
        except BaseException as error:  # noqa: BLE001 - a child must never return into the supervisor
            sys.stderr.write("tether-service: %s\n" % error)
            sys.stderr.flush()
        os._exit(127)
    return child


def _wait(child: int) -> int:
    """The child's wait status; ends the child when a stop is asked, by force after a while."""
    limit = None
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if _Stop.is_asked() and limit is None:
            os.kill(child, signal.SIGTERM)
            limit = time.monotonic() + STOP_S / 2
        if limit is not None and time.monotonic() > limit:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02 if limit is not None else 0.1)


def _stop_asked(_number: int, _frame: Any) -> None:
    _Stop.asked = True
