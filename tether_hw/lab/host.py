# SPDX-License-Identifier: Apache-2.0
"""One host made of namespaces: power on, power off, its sshd."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tether_hw.lab.errors import LabError
from tether_hw.lab.image import PRIVATE
from tether_hw.lab.process import alive, command_name, in_pid_namespace_of, kill, listens, parent, wait_gone

SSH_PORT = 22
READY_S = 60.0
SSHD_CONFIG = """\
Port 22
HostKey /etc/ssh/ssh_host_ed25519_key
UsePAM no
UseDNS no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowTcpForwarding yes
MaxStartups 100:30:200
MaxSessions 100
Subsystem sftp internal-sftp
PidFile /run/sshd.pid
"""


@dataclass(frozen=True)
class Host:
    """``folder`` holds the host's disk and its pid file; ``environment`` carries the lab's mark."""

    name: str
    folder: Path
    image: Path
    environment: dict[str, str]

    @property
    def host_key(self) -> Path:
        return self.folder / "ssh_host_ed25519_key"

    @property
    def pid_file(self) -> Path:
        return self.folder / "pid"

    @property
    def reboot_asked(self) -> Path:
        """There when the host ended because it wants to boot again."""
        return self.folder / "disk" / "var/lib/reboot-asked"

    def pid(self) -> int | None:
        """The first process of the host as this machine sees it, or None when the host is off."""
        try:
            pid = int(self.pid_file.read_text(encoding="ascii"))
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except (OSError, ValueError):
            return None
        marks = [f"{name}={value}".encode() for name, value in self.environment.items()]
        ours = all(mark in environment.split(b"\0") for mark in marks)
        return pid if ours and alive(pid) else None

    def files(self, addresses: dict[str, str], client_key: str) -> list[tuple[str, str, int]]:
        """What this host has and no other: path, text, mode."""
        hosts = "127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in addresses.items())
        return [
            ("etc/hostname", f"{self.name}\n", 0o644),
            ("etc/hosts", hosts, 0o644),
            ("etc/resolv.conf", "", 0o644),
            ("etc/ssh/sshd_config", SSHD_CONFIG, 0o600),
            ("etc/ssh/ssh_host_ed25519_key", self.host_key.read_text(encoding="ascii"), 0o600),
            ("etc/ssh/ssh_host_ed25519_key.pub", Path(f"{self.host_key}.pub").read_text(encoding="ascii"), 0o644),
            ("root/.ssh/authorized_keys", client_key + "\n", 0o600),
            ("usr/local/sbin/reboot", "#!/bin/sh\nexec kill -INT 1\n", 0o755),
        ]

    def power_on(self, files: list[tuple[str, str, int]], plug: Callable[[int], None]) -> PoweringOn:
        """Begins: makes namespaces and root, and plugs the cables in; ``wait`` of the result ends it."""
        root = self.folder / "root"
        root.mkdir(parents=True, exist_ok=True)
        self.reboot_asked.unlink(missing_ok=True)
        spec: dict[str, Any] = {
            "name": self.name,
            "root": str(root),
            "image": str(self.image),
            "disk": str(self.folder / "disk"),
            "private": PRIVATE,
            "files": files,
            "init": Path(__file__).with_name("init.py").read_text(encoding="utf-8"),
            "environment": self.environment,
        }
        with open(self.folder / "log", "wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", str(Path(__file__).with_name("boot.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self.environment},
                cwd="/",
            )
        begun = PoweringOn(self, process)
        try:
            begun.tell(json.dumps(spec))
            pid = int(begun.answer())
            self.pid_file.write_text(f"{pid}\n", encoding="ascii")
            plug(pid)
            begun.tell("go")
        except BaseException:
            begun.close()
            raise
        return begun

    def watch(self, state: Path) -> None:
        """A process beside a host that is on: it powers the host on again if the host ends by a reboot of its own."""
        pid = self.pid()
        if pid is None:
            return
        subprocess.Popen(
            [sys.executable, "-m", "tether_hw.lab.again", str(state), self.name, str(pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **self.environment, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            cwd="/",
            start_new_session=True,
        )

    def power_off(self) -> None:
        """All processes of the host end at once, as when its plug is pulled."""
        pid = self.pid()
        if pid is None:
            return
        kill(pid)
        wait_gone([pid])
        self.pid_file.unlink(missing_ok=True)

    def sshd_pids(self) -> list[int]:
        """Listener and sessions."""
        pid = self.pid()
        return [] if pid is None else [p for p in in_pid_namespace_of(pid) if command_name(p) == "sshd"]

    def listener_pid(self) -> int | None:
        pid = self.pid()
        for candidate in self.sshd_pids():
            if parent(candidate) == pid:
                return candidate
        return None

    def ssh_listens(self) -> bool:
        pid = self.pid()
        return pid is not None and listens(pid, SSH_PORT)

    def stop_ssh(self, sessions: bool) -> None:
        """Ends the listener, and with ``sessions`` every session too; else those that stand live on."""
        listener = self.listener_pid()
        pids = self.sshd_pids() if sessions else [] if listener is None else [listener]
        for pid in pids:
            kill(pid)
        wait_gone(pids)

    def start_ssh(self) -> None:
        pid = self.pid()
        if pid is None:
            raise LabError(f"host {self.name} is off")
        os.kill(pid, signal.SIGUSR2)
        deadline = time.monotonic() + READY_S
        while not self.ssh_listens():
            if time.monotonic() > deadline:
                raise LabError(f"sshd of host {self.name} does not start")
            time.sleep(0.01)


@dataclass
class PoweringOn:
    """A host between its first process and its sshd."""

    host: Host
    process: subprocess.Popen[bytes]
    _rest: bytes = b""

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise LabError(f"host {self.host.name}: power on failed") from None

    def answer(self) -> str:
        """One line of what the host says. Raises LabError at its end, at the deadline and for a failure."""
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        deadline = time.monotonic() + READY_S
        while b"\n" not in self._rest:
            readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                raise LabError(f"host {self.host.name}: not on after {READY_S:.0f} s")
            more = os.read(descriptor, 65536)
            if not more:
                raise LabError(f"host {self.host.name}: power on failed")
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        text = line.decode(errors="replace")
        if text.startswith("failed"):
            raise LabError(f"host {self.host.name}: power on {text}")
        return text

    def wait(self) -> None:
        """Returns when sshd listens."""
        try:
            answer = self.answer()
            if answer != "ready":
                raise LabError(f"host {self.host.name}: unexpected answer {answer!r}")
        finally:
            self.close()

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.process.wait()
