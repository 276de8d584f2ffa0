# SPDX-License-Identifier: Apache-2.0
"""The lab without root, run by an ordinary user that this test creates."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.labs import ROOT

MISSING = 'mount --bind /dev/null /usr/sbin/sshd && exec "$@"'


@dataclass(frozen=True)
class User:
    """An account with a copy of the package in its home: the checkout may lie where only root can read."""

    name: str
    home: Path
    python: str

    def argv(self, *command: str) -> list[str]:
        change = ["setpriv", f"--reuid={self.name}", f"--regid={self.name}", "--clear-groups"]
        return [*change, "env", "-i", f"HOME={self.home}", "PATH=/usr/bin:/bin", *command]

    def run(self, *command: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*before, *self.argv(*command)],
            cwd=self.home / "src",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def lab(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.python, "-m", "tether_hw.cli.main", "lab", *words)

    def processes(self) -> list[str]:
        """Command lines of what runs as this user."""
        uid = pwd.getpwnam(self.name).pw_uid
        found = []
        for process in Path("/proc").iterdir():
            try:
                if process.name.isdigit() and process.stat().st_uid == uid:
                    words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                    if words:  # the dead that nobody buried yet have none
                        found.append(words)
            except OSError:
                continue
        return found

    def ssh(self, port: int, command: str) -> subprocess.CompletedProcess[str]:
        state = self.home / ".local/state/tether/lab"
        options = ["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes"]
        options += ["-o", f"UserKnownHostsFile={state}/known_hosts", "-i", f"{state}/id_ed25519", "-p", str(port)]
        return self.run("ssh", "-F", "none", *options, f"{self.name}@127.0.0.1", command)


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    name = f"tlab{os.getpid()}"
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=True)
    home = Path(pwd.getpwnam(name).pw_dir)
    source = home / "src"
    shutil.copytree(ROOT / "tether_hw", source / "tether_hw", ignore=shutil.ignore_patterns("__pycache__", "core"))
    shutil.copytree(ROOT / "inventory", source / "inventory")
    subprocess.run(["chown", "-R", f"{name}:", str(source)], check=True)
    probe = User(name, home, "").run(sys.executable, "-c", "pass")
    one = User(name, home, sys.executable if probe.returncode == 0 else "/usr/bin/python3")
    yield one
    one.lab("down")
    left = one.processes()
    for _ in range(50):
        if subprocess.run(["userdel", "--remove", name], capture_output=True, check=False).returncode == 0:
            break
        time.sleep(0.1)
    assert left == []


@pytest.fixture
def hosts(user: User) -> Iterator[dict[str, int]]:
    """Name to port of the hosts of a lab that is up."""
    done = user.lab("up", "--json")
    assert done.returncode == 0, done.stderr
    yield {host["name"]: host["port"] for host in json.loads(done.stdout)["hosts"]}
    assert user.lab("down").returncode == 0
    assert user.processes() == []
    assert not (user.home / ".local/state/tether/lab").exists()


def test_up_status_and_inventory(user: User, hosts: dict[str, int]) -> None:
    status = json.loads(user.lab("status", "--json").stdout)
    assert status["schema"] == "tether.lab.status/1"
    assert (status["state"], status["kind"]) == ("up", "user")
    assert [host["ssh"] for host in status["hosts"]] == [True, True]
    committed = (ROOT / "inventory/lab-user.yaml").read_text(encoding="utf-8")
    assert user.lab("inventory").stdout == committed
    assert Path(status["inventory"]).read_text(encoding="utf-8") == committed
    assert hosts == {"a": 27001, "b": 27002}


def test_each_host_has_its_own_key_and_folder(user: User, hosts: dict[str, int]) -> None:
    lines = (user.home / ".local/state/tether/lab/known_hosts").read_text(encoding="ascii").splitlines()
    assert len({line.split()[2] for line in lines}) == 2
    for name, port in hosts.items():
        done = user.ssh(port, f"id -un; ls -d ~/.local/state/tether/lab/hosts/{name}")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[0] == user.name


def test_daemons_that_hide_are_found_by_reboot_and_down(user: User, hosts: dict[str, int]) -> None:
    hide = "env -i setsid sleep 777 >/dev/null 2>&1 </dev/null & (sleep 778 >/dev/null 2>&1 </dev/null &)"
    for port in hosts.values():
        user.ssh(port, hide)
    assert sum("sleep 77" in words for words in user.processes()) == 4
    root = user.home / ".local/state/tether/lab/hosts/a"
    user.ssh(hosts["a"], f"mkdir -p {root}/run/tether {root}/var/lib; touch {root}/run/tether/x {root}/var/lib/kept")
    assert user.lab("reboot", "a").returncode == 0
    assert sum("sleep 77" in words for words in user.processes()) == 2
    assert not (root / "run").exists() and (root / "var/lib/kept").exists()
    assert user.ssh(hosts["a"], "true").returncode == 0


def test_ssh_is_cut_and_healed(user: User, hosts: dict[str, int]) -> None:
    assert user.lab("fault", "cut-ssh", "a").returncode == 0
    assert user.ssh(hosts["a"], "true").returncode == 255
    assert user.ssh(hosts["b"], "true").returncode == 0
    assert user.lab("heal", "a").returncode == 0
    assert user.ssh(hosts["a"], "true").returncode == 0


def test_what_needs_root_is_a_refusal_that_names_it(user: User, hosts: dict[str, int]) -> None:
    for words in (("cut-link", "a"), ("wrong-queue", "a"), ("cut-ssh", "a", "--how", "silent")):
        done = user.lab("fault", *words)
        assert done.returncode == 1 and f"fault {words[0]}" in done.stderr and "needs root" in done.stderr
    assert json.loads(user.lab("status", "--json").stdout)["hosts"][0]["faults"] == []
    assert len(hosts) == 2


def test_too_many_hosts_for_the_ports(user: User) -> None:
    done = user.lab("up", "--hosts", "9")
    assert done.returncode == 1 and "at most 8 hosts" in done.stderr
    assert user.processes() == []


def test_missing_packages_are_named(user: User) -> None:
    done = user.run(
        user.python, "-m", "tether_hw.cli.main", "lab", "up", before=("unshare", "--mount", "sh", "-c", MISSING, "sh")
    )
    assert done.returncode == 1
    assert "missing system packages: openssh-server" in done.stderr


def test_root_is_told_that_it_is_no_ordinary_user(tmp_path: Path) -> None:
    words = ["lab", "up", "--user", "--state", str(tmp_path / "state")]
    done = subprocess.run(
        [sys.executable, "-m", "tether_hw.cli.main", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "ordinary user" in done.stderr
    assert not (tmp_path / "state").exists()


def test_killed_up_leaves_nothing_after_down(user: User) -> None:
    for delay_s in (0.1, 0.2, 0.3, 0.4):
        process = subprocess.Popen(
            user.argv(user.python, "-m", "tether_hw.cli.main", "lab", "up"),
            cwd=user.home / "src",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(delay_s)
        process.kill()
        process.wait()
        assert user.lab("down").returncode == 0
        assert user.processes() == []
        assert not (user.home / ".local/state/tether/lab").exists()
