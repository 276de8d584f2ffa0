# SPDX-License-Identifier: Apache-2.0
"""A lab as the tests use it: made and removed by the command line, looked into from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def tether(
    *words: str, check: bool = True, timeout: float = 900.0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs `tether` of this checkout in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tether_hw.cli.main", *words],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"tether {' '.join(words)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def run_to_its_end(argv: list[str], timeout: float, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs a program until it ends itself, and ends what it leaves behind.

    An ssh that gives up leaves its ProxyCommand, which holds its outputs open and may wait for minutes: they are files
    here, so that nobody waits for their end.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        try:
            process.wait(timeout)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        out.seek(0)
        err.seek(0)
        done = subprocess.CompletedProcess(argv, process.returncode, out.read(), err.read())
    if check:
        done.check_returncode()
    return done


class Lab:
    """A lab of its own state folder, name and addresses: two of them, or two test sessions, do not meet."""

    def __init__(self, state: Path) -> None:
        self.state = state

    @cached_property
    def places(self) -> dict[str, dict[str, Any]]:
        """Where each host is; that does not change while the lab is up."""
        return {host["name"]: host for host in self.status()["hosts"]}

    @property
    def inventory(self) -> Path:
        return self.state / "inventory.yaml"

    @property
    def known_hosts(self) -> Path:
        return self.state / "known_hosts"

    @property
    def client_key(self) -> Path:
        return self.state / "id_ed25519"

    def run(self, verb: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return tether("lab", verb, *words, "--state", str(self.state), check=check)

    def up(self, hosts: int = 2, queues: int = 2) -> None:
        self.run("up", "--hosts", str(hosts), "--queues", str(queues))

    def down(self) -> None:
        self.run("down")

    def fault(self, host: str, what: str, how: str = "all") -> None:
        self.run("fault", what, host, "--how", how)

    def heal(self, host: str) -> None:
        self.run("heal", host)

    def reboot(self, host: str) -> None:
        self.run("reboot", host)

    def status(self) -> dict[str, Any]:
        document = json.loads(self.run("status", "--json").stdout)
        assert isinstance(document, dict)
        return document

    def host(self, name: str) -> dict[str, Any]:
        """The status of one host."""
        found: dict[str, Any] = next(host for host in self.status()["hosts"] if host["name"] == name)
        return found

    def inside(self, host: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a program of the host in all its namespaces, without SSH."""
        pid = self.host(host)["pid"]
        assert pid is not None, f"{host} is off"
        argv = [
            "nsenter",
            "-t",
            str(pid),
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--root",
            "--wd=/",
            "--",
            *command,
        ]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=check, stdin=subprocess.DEVNULL)

    def ssh_argv(self, host: str) -> list[str]:
        """An OpenSSH client's command line to a host, through the bastion where the lab says so."""
        options = ["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes"]
        options += [
            "-o",
            f"UserKnownHostsFile={self.known_hosts}",
            "-o",
            "ConnectTimeout=10",
            "-i",
            str(self.client_key),
        ]
        entry = self.places[host]
        argv = ["ssh", "-F", "none", *options, "-p", str(entry["port"])]
        if entry["jump"]:
            through = " ".join(
                ["ssh", "-F", "none", *options, "-W", "%h:%p", f"root@{self.places[entry['jump']]['address']}"]
            )
            argv += ["-o", f"ProxyCommand={through}"]
        return [*argv, f"root@{entry['address']}"]

    def ssh(self, host: str, command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run_to_its_end([*self.ssh_argv(host), command], 60, check)
