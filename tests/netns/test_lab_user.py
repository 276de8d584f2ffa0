# SPDX-License-Identifier: Apache-2.0
"""The lab without root, run by an ordinary user that this test creates."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.labs import ROOT
from tests.support.users import User, account

MISSING = 'mount --bind /dev/null /usr/sbin/sshd && exec "$@"'


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    with account("tlab") as made:
        made.place("tether_hw", "inventory")
        probe = made.run(sys.executable, "-c", "pass")
        one = replace(made, python=sys.executable if probe.returncode == 0 else "/usr/bin/python3")
        yield one
        one.lab("down")
        left = one.processes()
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
