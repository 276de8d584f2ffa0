# SPDX-License-Identifier: Apache-2.0
"""Processes of this host: identity that survives pid reuse, ancestry, detaching."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Callable, NamedTuple, Optional

PROC = Path("/proc")


def boot_id() -> str:
    """The kernel's name for this boot; a run that sees another one was cut by a reboot."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def boottime_ns() -> int:
    """Time since boot, suspend included: a deadline in it is not moved by a clock that is set."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class ProcessId(NamedTuple):
    """A pid together with its start time (clock ticks after boot): never another process."""

    pid: int
    start: int

    def alive(self) -> bool:
        stat = read_stat(self.pid)
        return stat is not None and stat.start == self.start and stat.state not in ("Z", "X")

    def kill(self, number: int) -> bool:
        """Send a signal if this very process still lives; says whether it did."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def end(self, grace_s: float) -> None:
        """SIGTERM, then SIGKILL after `grace_s` seconds; returns when it is gone."""
        self.kill(signal.SIGTERM)
        self.kill(signal.SIGCONT)
        if not self.wait(grace_s):
            self.kill(signal.SIGKILL)
            self.wait(5.0)

    def wait(self, timeout_s: float) -> bool:
        """True when the process is gone within `timeout_s` seconds."""
        limit = time.monotonic() + timeout_s
        while self.alive():
            if time.monotonic() >= limit:
                return False
            time.sleep(0.01)
        return True


class Stat(NamedTuple):
    pid: int
    name: str
    state: str
    parent: int
    start: int


def read_stat(pid: int) -> Optional[Stat]:
    """One line of /proc/PID/stat; None when there is no such process."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The name may hold spaces and brackets; the last ')' ends it.
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    return Stat(pid, head.partition("(")[2], fields[0], int(fields[1]), int(fields[19]))


def this_process() -> ProcessId:
    stat = read_stat(os.getpid())
    assert stat is not None
    return ProcessId(stat.pid, stat.start)


def ancestors(pid: int) -> list[Stat]:
    """The process and its parents, nearest first, up to pid 1."""
    chain: list[Stat] = []
    while pid > 0 and len(chain) < 64:
        stat = read_stat(pid)
        if stat is None:
            break
        chain.append(stat)
        pid = stat.parent
    return chain


def start_boottime_ns(stat: Stat) -> int:
    """Start of a process on the boot clock, in ns (resolution: one clock tick, rounded down)."""
    return stat.start * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def rename(name: str) -> None:
    """Show `name` in ps (15 characters), so that an operator sees what a detached process is."""
    try:
        (PROC / "self/comm").write_text(name[:15])
    except OSError:
        pass


def detach(name: str, log: Path, body: Callable[[], None]) -> ProcessId:
    """Run `body` in a process that no session owns: double fork, own session, no shared descriptors.

    Returns its identity. The caller's SSH session may end at any moment after that.
    """
    reader, writer = os.pipe()
    first = os.fork()
    if first == 0:
        try:
            os.close(reader)
            os.setsid()
            if os.fork() > 0:
                os._exit(0)
            _become_daemon(name, log, keep=writer)
            os.write(writer, ("%d %d\n" % this_process()).encode())
            os.close(writer)
            body()
        except BaseException:  # noqa: BLE001 - a child must never return into its parent's code
            import traceback

            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    os.close(writer)
    os.waitpid(first, 0)
    with os.fdopen(reader) as answer:
        words = answer.read().split()
    if len(words) != 2:
        raise OSError("the detached process %s did not start, see %s" % (name, log))
    return ProcessId(int(words[0]), int(words[1]))


def _become_daemon(name: str, log: Path, keep: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    for entry in os.listdir("/proc/self/fd"):
        descriptor = int(entry)
        if descriptor > 2 and descriptor != keep:
            try:
                os.close(descriptor)
            except OSError:
                pass
    os.chdir("/")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.stdin = os.fdopen(0, "r", closefd=False)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    rename(name)
