# SPDX-License-Identifier: Apache-2.0
"""A throw-away sshd of the user who runs the tests, on a free loopback port, with its own keys and known_hosts."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tether_hw.fleet.connect import Target

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin:/sbin") or ""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Sshd:
    """Started by `start`, ended by `stop`; everything of it lies in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.key("host")
        self.key("client")
        (folder / "authorized_keys").write_text((folder / "client.pub").read_text())
        (folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nUsePAM no\nUseDNS no\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nPidFile none\nPasswordAuthentication no\n"
            f"SetEnv HOME={folder}\n"  # nothing of the user's own shell start-up runs, or is killed in the middle
            "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
        )
        self.trust()

    def key(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(self.folder / name)]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)

    def trust(self) -> None:
        """Record the present host key as the known one."""
        words = (self.folder / "host.pub").read_text().split()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {words[0]} {words[1]}\n")

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def target(self, name: str = "h") -> Target:
        return Target(
            name,
            "127.0.0.1",
            self.port,
            getpass.getuser(),
            identity_file=str(self.folder / "client"),
            known_hosts=self.known_hosts,
        )

    def start(self) -> None:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        argv = [SSHD, "-D", "-e", "-f", str(self.folder / "config")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(200):
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def children(self) -> list[int]:
        """The processes that serve connections."""
        assert self.process is not None
        return descendants(self.process.pid)

    def stop_listener(self) -> None:
        """No new connection; those that are there live on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is None:
            return
        for pid in reversed(self.children()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.stop_listener()
        self.process = None


def descendants(pid: int) -> list[int]:
    """The children of a process and theirs, parents first."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        try:
            text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        except OSError:
            continue
        children = [int(word) for word in text.split()]
        found += children
        waiting += children
    return found
