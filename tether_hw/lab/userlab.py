# SPDX-License-Identifier: Apache-2.0
"""The lab without root: hosts as processes of one user, each with its own sshd, port and folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tether_hw.lab.errors import LabError
from tether_hw.lab.faults import CUT_SSH, POWER_CUT, SSH_ALL, SSH_SILENT, need_root
from tether_hw.lab.inventory import inventory_text
from tether_hw.lab.keys import known_hosts_line, make_key, public_key
from tether_hw.lab.names import (
    FIRST_PORT,
    MARK,
    MAX_USER_HOSTS,
    MAX_USER_QUEUES,
    PORT_SLICES,
    PORTS,
    LabNames,
    Ports,
)
from tether_hw.lab.process import alive, command_name, descendants, kill, kill_marked, listens, marked, wait_gone
from tether_hw.lab.state import UP, LabState, StateFolder
from tether_hw.lab.tools import need_tools, sbin_path

ADDRESS = "127.0.0.1"
READY_S = 30.0
TOOLS = {"sshd": "openssh-server", "ssh-keygen": "openssh-client"}
HOST_MARK = "TETHER_LAB_HOST"
SSHD_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/ssh_host_ed25519_key
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100:30:200
MaxSessions 100
Subsystem sftp internal-sftp
PidFile {folder}/sshd.pid
SetEnv {mark}={lab_id} {host_mark}={name}
"""


@dataclass(frozen=True)
class UserLab:
    """One lab in one state folder; ``hosts/NAME`` is what the host takes for its root, ``sshd/NAME`` is the lab's."""

    folder: StateFolder

    @property
    def names(self) -> LabNames:
        return LabNames(self.folder.path)

    def up(self, state: LabState, say: Callable[[str], None]) -> None:
        need_tools(TOOLS)
        if len(state.hosts) > MAX_USER_HOSTS or state.queues > MAX_USER_QUEUES:
            raise LabError(f"without root a lab has at most {MAX_USER_HOSTS} hosts of {MAX_USER_QUEUES} lanes")
        try:
            state.place = self._free_ports(state)
            self.folder.write(state)
            self._keys(state)
            for name in state.hosts:
                self._power_on(state, name)
            self.folder.replace(self.folder.inventory, inventory_text(self.folder.path, state))
            state.phase = UP
            self.folder.write(state)
        except BaseException:
            self.clear()
            raise
        say("without root: no queues, rings or MTU of its own; lanes are UDP ports on loopback")

    def clear(self) -> int:
        ended = 0
        for pid in self._everything():
            kill(pid)
            ended += 1
        return ended + kill_marked(self.names.lab_id)

    def leftovers(self) -> list[str]:
        return [f"process {pid}" for pid in marked(self.names.lab_id)]

    def complete(self, state: LabState) -> bool:
        return state.phase == UP and all(self._pid(name) is not None for name in state.hosts if not state.is_off(name))

    def reboot(self, state: LabState, name: str) -> None:
        """Ends every process of the host, empties its run and tmp folders, and starts its sshd again."""
        self._power_off(name)
        for folder in ("run", "tmp"):
            shutil.rmtree(self.folder.host(name) / folder, ignore_errors=True)
        state.faults.pop(name, None)
        self._power_on(state, name)
        self.folder.write(state)

    def fault(self, state: LabState, name: str, fault: str, cut: str) -> None:
        if state.is_off(name):
            raise LabError(f"host {name} is off", hint=f"tether lab reboot {name}")
        if fault == POWER_CUT:
            self._power_off(name)
            state.faults[name] = [POWER_CUT]
            self.folder.write(state)
            return
        if fault != CUT_SSH:
            raise need_root(f"fault {fault}", "loopback has no switch and no link to cut")
        if cut == SSH_SILENT:
            raise need_root("fault cut-ssh --how silent", "loopback has no link that drops packets")
        sessions = [pid for pid in self._processes(name) if command_name(pid) == "sshd"]
        listener = [pid for pid in sessions if pid == self._listener(name)]
        ended = sessions if cut == SSH_ALL else listener
        for pid in ended:
            kill(pid)
        wait_gone(ended)
        state.faults[name] = sorted({*state.faults.get(name, []), f"{CUT_SSH}={cut}"})
        self.folder.write(state)

    def heal(self, state: LabState, name: str) -> list[str]:
        if state.is_off(name):
            self.reboot(state, name)
            return [POWER_CUT]
        healed = state.faults.pop(name, [])
        pid = self._pid(name)
        if pid is None:
            raise LabError(f"host {name} is off", hint=f"tether lab reboot {name}")
        port = Ports(state.place).ssh(state.hosts.index(name))
        if not listens(pid, port):
            os.kill(pid, signal.SIGUSR2)
            deadline = time.monotonic() + READY_S
            while not listens(pid, port):
                if time.monotonic() > deadline:
                    raise LabError(f"sshd of host {name} does not start")
                time.sleep(0.02)
        self.folder.write(state)
        return healed

    def describe(self, state: LabState) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for index, name in enumerate(state.hosts):
            pid = self._pid(name)
            port = Ports(state.place).ssh(index)
            found.append(
                {
                    "name": name,
                    "role": "host",
                    "address": ADDRESS,
                    "port": port,
                    "jump": None,
                    "running": pid is not None,
                    "pid": pid,
                    "boots": state.boots.get(name, 0),
                    "ssh": pid is not None and listens(pid, port),
                    "data_link": None,
                    "faults": state.faults.get(name, []),
                }
            )
        return found

    def _sshd_folder(self, name: str) -> Path:
        return self.folder.path / "sshd" / name

    def _keys(self, state: LabState) -> None:
        make_key(self.folder.client_key, "tether-lab")
        lines = []
        for index, name in enumerate(state.hosts):
            folder = self._sshd_folder(name)
            make_key(folder / "ssh_host_ed25519_key", name)
            self.folder.replace(folder / "authorized_keys", public_key(self.folder.client_key) + "\n", 0o600)
            port = Ports(state.place).ssh(index)
            config = SSHD_CONFIG.format(
                port=port, folder=folder, mark=MARK, lab_id=self.names.lab_id, host_mark=HOST_MARK, name=name
            )
            self.folder.replace(folder / "sshd_config", config, 0o600)
            lines.append(known_hosts_line(ADDRESS, port, public_key(folder / "ssh_host_ed25519_key")))
        self.folder.replace(self.folder.known_hosts, "".join(lines))

    def _power_on(self, state: LabState, name: str) -> None:
        root = self.folder.host(name)
        root.mkdir(parents=True, exist_ok=True)
        folder = self._sshd_folder(name)
        port = Ports(state.place).ssh(state.hosts.index(name))
        program = str(Path(__file__).with_name("supervisor.py"))
        sshd = shutil.which("sshd", path=sbin_path())
        assert sshd is not None
        login = pwd.getpwuid(os.geteuid())
        environment = {"PATH": sbin_path(), "HOME": login.pw_dir, "USER": login.pw_name, "LANG": "C.UTF-8"}
        environment |= {MARK: self.names.lab_id, HOST_MARK: name}
        process = subprocess.Popen(
            [sys.executable, "-I", program, sshd, str(folder / "sshd_config"), str(folder / "sshd.log"), str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
            start_new_session=True,
            text=True,
        )
        assert process.stdin is not None and process.stdout is not None
        self.folder.replace(folder / "pid", f"{process.pid}\n")
        try:
            process.stdin.write("go\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        process.stdin.close()
        process.stdout.close()
        if answer != "ready\n":
            process.kill()
            process.wait()
            log = folder / "sshd.log"
            words = log.read_text(encoding="utf-8", errors="replace").strip() if log.exists() else ""
            raise LabError(f"host {name} does not start: {answer.strip()} {words}".rstrip())
        process.returncode = 0  # it stays: Popen must not warn that nobody waited for it
        state.boots[name] = state.boots.get(name, 0) + 1

    def _power_off(self, name: str) -> None:
        pids = self._processes(name)
        while pids:
            for pid in pids:
                kill(pid)
            wait_gone(pids)
            pids = self._processes(name)

    def _pid(self, name: str) -> int | None:
        try:
            pid = int((self._sshd_folder(name) / "pid").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        return pid if pid in marked(self.names.lab_id) else None

    def _listener(self, name: str) -> int | None:
        try:
            return int((self._sshd_folder(name) / "sshd.pid").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def _processes(self, name: str) -> list[int]:
        """What carries the host's mark, what descends from its first process, and what works in its folder."""
        pids = set(marked(name, HOST_MARK)) & set(marked(self.names.lab_id))
        supervisor = self._pid(name)
        if supervisor is not None:
            pids |= {supervisor, *descendants(supervisor)}
        return sorted(pid for pid in pids if alive(pid))

    def _everything(self) -> list[int]:
        pids = set(marked(self.names.lab_id))
        for pid in list(pids):
            pids |= set(descendants(pid))
        return sorted(pids)

    def _free_ports(self, state: LabState) -> int:
        first = self.names.first_port
        if self.names.is_default:
            if not ports_free(first, state):
                raise LabError(f"a port from {first} on is in use", hint="another lab? use --state DIR")
            return first
        for step in range(PORT_SLICES):
            candidate = FIRST_PORT + (first - FIRST_PORT + step * PORTS) % (PORT_SLICES * PORTS)
            if ports_free(candidate, state):
                return candidate
        raise LabError("no free ports for this lab")


def ports_free(first: int, state: LabState) -> bool:
    """True when each port that this lab would use can be bound now."""
    ports = Ports(first)
    wanted: list[tuple[socket.SocketKind, int]] = []
    for index in range(len(state.hosts)):
        wanted += [(socket.SOCK_STREAM, ports.ssh(index)), (socket.SOCK_STREAM, ports.metrics(index))]
        wanted += [(socket.SOCK_DGRAM, ports.udp(index) + lane) for lane in range(state.queues)]
    for kind, port in wanted:
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ADDRESS, port))
            except OSError:
                return False
    return True
