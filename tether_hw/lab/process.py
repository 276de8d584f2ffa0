# SPDX-License-Identifier: Apache-2.0
"""Processes of a lab, found by the mark in their environment, from any process and after any crash."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tether_hw.lab.errors import LabError
from tether_hw.lab.names import MARK

PROC = Path("/proc")
GONE_S = 10.0


def alive(pid: int) -> bool:
    """True for a process that runs; a zombie does not."""
    try:
        stat = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def marked(value: str, name: str = MARK) -> list[int]:
    """Pids of all processes whose environment has that mark, but for this one."""
    mark = f"{name}={value}".encode()
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:  # gone by now, or another user's
            continue
        if mark in environment.split(b"\0") and alive(int(entry.name)):
            found.append(int(entry.name))
    return found


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def wait_gone(pids: list[int], within_s: float = GONE_S) -> None:
    """Raises LabError when one of them still runs after that time."""
    deadline = time.monotonic() + within_s
    left = [pid for pid in pids if alive(pid)]
    while left:
        if time.monotonic() > deadline:
            raise LabError(f"processes do not end: {', '.join(map(str, left))}")
        time.sleep(0.005)
        left = [pid for pid in left if alive(pid)]


def kill_marked(lab_id: str) -> int:
    """Ends every process with the mark; a second empty look makes sure that none was just being started."""
    ended = 0
    empty = 0
    deadline = time.monotonic() + GONE_S
    while empty < 2:
        pids = marked(lab_id)
        if not pids:
            empty += 1
            time.sleep(0.02)
            continue
        if time.monotonic() > deadline:
            raise LabError(f"processes of the lab do not end: {', '.join(map(str, pids))}")
        empty = 0
        ended += len(pids)
        for pid in pids:
            kill(pid)
        wait_gone(pids)
    return ended


def namespace(pid: int, kind: str) -> str:
    """What the kernel calls that namespace of a process, such as ``net:[4026532000]``."""
    return os.readlink(PROC / str(pid) / "ns" / kind)


def in_pid_namespace_of(init: int) -> list[int]:
    """Pids, as this process sees them, of everything in the pid namespace of ``init`` but init itself."""
    wanted = namespace(init, "pid")
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != init:
            try:
                if namespace(int(entry.name), "pid") == wanted:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def parent(pid: int) -> int | None:
    try:
        stat = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1])


def descendants(pid: int) -> list[int]:
    """Children, their children, and so on."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            above = parent(int(entry.name))
            if above is not None:
                children.setdefault(above, []).append(int(entry.name))
    found: list[int] = []
    todo = [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def command_name(pid: int) -> str:
    try:
        return (PROC / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def listens(pid: int, port: int) -> bool:
    """True when some socket of that process's network namespace listens on this TCP port."""
    for table in ("tcp", "tcp6"):
        try:
            lines = (PROC / str(pid) / "net" / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                return True
    return False
