# SPDX-License-Identifier: Apache-2.0
"""The SSH connection that a verb came over: which one it is and since when it exists."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Optional

from tether_hw.agent.process import PROC, Stat, ancestors, start_boottime_ns

_SERVERS = ("sshd", "sshd-session", "dropbear")


@dataclass(frozen=True)
class Connection:
    """`peer` is SSH_CONNECTION (client address and port, server address and port); `since_ns` on the boot clock."""

    peer: Optional[str]
    server_pid: int
    since_ns: int

    def document(self) -> dict[str, Any]:
        return {"peer": self.peer, "server_pid": self.server_pid, "since_ns": self.since_ns}


def connection() -> Optional[Connection]:
    """The connection of this process; None when no SSH server is among its ancestors."""
    chain = ancestors(os.getpid())
    servers = [stat for stat in chain if stat.name in _SERVERS]
    # The server starts one process per TCP connection. The outermost one may be the listener, which is older than any
    # connection; it is left out, and it is absent when it died while the session lives on.
    servers = [stat for index, stat in enumerate(servers) if index == 0 or not _is_listener(stat)]
    if not servers:
        return None
    outer = servers[-1]
    return Connection(_peer(chain), outer.pid, start_boottime_ns(outer))


def _is_listener(stat: Stat) -> bool:
    command = _read(stat.pid, "cmdline").replace(b"\0", b" ")
    if b"[listener]" in command:
        return True
    # Per-connection processes rename themselves to "sshd: user [priv]" or "sshd-session: user".
    return not command.startswith((b"sshd: ", b"sshd-session: "))


def _peer(chain: list[Stat]) -> Optional[str]:
    own = os.environ.get("SSH_CONNECTION")
    if own:
        return own
    # sudo clears the environment; the shell that sshd started has it.
    for stat in chain:
        for entry in _read(stat.pid, "environ").split(b"\0"):
            if entry.startswith(b"SSH_CONNECTION="):
                return entry.partition(b"=")[2].decode(errors="replace")
    return None


def _read(pid: int, name: str) -> bytes:
    try:
        return (PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""
