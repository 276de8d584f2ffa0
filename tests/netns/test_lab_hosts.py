# SPDX-License-Identifier: Apache-2.0
"""What a host of the lab is, seen through SSH."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import paramiko
import pytest

from tests.support.labs import ROOT, Lab


def test_each_host_has_its_own_identity(lab: Lab) -> None:
    seen = {
        name: lab.ssh(name, "hostname; cat /etc/machine-id /proc/sys/kernel/random/boot_id; cat /etc/ssh/*.pub").stdout
        for name in ("a", "b")
    }
    machine = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    for name, text in seen.items():
        assert text.splitlines()[0] == name
        assert machine not in text
    assert not set(seen["a"].split()) & set(seen["b"].split()) - {"ssh-ed25519"}


def test_the_checkout_and_the_machine_are_not_visible(lab: Lab) -> None:
    import sys

    hidden = [ROOT, ROOT / ".venv", Path(sys.executable), lab.state]
    for path in hidden:
        assert path.exists()
        assert lab.ssh("a", f"ls {path}", check=False).returncode != 0, path
    assert lab.ssh("a", "command -v gcc cc clang make pip", check=False).stdout == ""
    # what other tests of the session pushed lies in bundles, and nowhere else
    ours = r"find / -xdev -path /opt/tether -prune -o \( -name 'libtether*' -o -name tether_hw \) -print"
    assert lab.ssh("a", ours).stdout == ""
    mapped = lab.ssh("a", "cat /proc/1/maps").stdout
    assert str(ROOT) not in mapped and "/usr/bin/python3" in mapped


def test_a_host_lists_exactly_its_own_links(lab: Lab) -> None:
    for name in ("a", "b"):
        assert sorted(lab.ssh(name, "ls /sys/class/net").stdout.split()) == ["data0", "lo", "mgmt0"]
        assert sorted(lab.ssh(name, "ip -br link | sed 's/[@ ].*//'").stdout.split()) == ["data0", "lo", "mgmt0"]


PRIVATE = ("/etc", "/opt", "/var", "/home", "/root", "/srv", "/usr/local", "/run", "/tmp", "/dev/shm")
SHARED = ("/usr", "/usr/bin", "/usr/lib", "/mnt")


def test_folders_are_private_and_the_rest_is_read_only(lab: Lab) -> None:
    own = " ".join(f"{folder}/only-a" for folder in PRIVATE)
    try:
        lab.ssh("a", f"for f in {own}; do echo mine > $f || exit 1; done")
        assert lab.ssh("b", f"ls {own}", check=False).stdout == ""
        assert not [folder for folder in PRIVATE if Path(folder, "only-a").exists()]
        for folder in SHARED:
            assert "Read-only" in lab.ssh("a", f"touch {folder}/only-a", check=False).stderr
    finally:
        lab.ssh("a", f"rm -f {own}")


def test_bpf_terminals_and_devices_are_there(lab: Lab) -> None:
    assert lab.ssh("a", "stat -f -c %T /sys/fs/bpf").stdout.strip() == "bpf_fs"
    assert lab.ssh("a", "head -c 3 /dev/zero | od -An -tx1; ls -L /dev/fd/0 /dev/ptmx").returncode == 0
    assert lab.ssh("a", "test -d /run/systemd/system", check=False).returncode == 1
    assert lab.ssh("a", "ls -d /sys/fs/cgroup/*", check=False).returncode != 0


def test_hosts_see_only_their_own_processes(lab: Lab) -> None:
    pids = lab.ssh("a", "ls /proc").stdout.split()
    assert sum(word.isdigit() for word in pids) < 20
    assert "host/init.py" in lab.ssh("a", "tr '\\0' ' ' < /proc/1/cmdline").stdout


def test_orphans_are_reaped(lab: Lab) -> None:
    lab.ssh("a", "sh -c 'sleep 0.1 & exec true'; for i in 1 2 3; do (sleep 0.05 &) ; done; sleep 0.5")
    assert " Z" not in lab.ssh("a", "cat /proc/[0-9]*/stat").stdout


def connect(lab: Lab, address: str, sock: paramiko.Channel | None = None) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    client.load_host_keys(str(lab.known_hosts))
    client.connect(
        address,
        username="root",
        key_filename=str(lab.client_key),
        allow_agent=False,
        look_for_keys=False,
        timeout=10,
        banner_timeout=10,
        auth_timeout=10,
        sock=sock,
    )
    return client


def test_paramiko_reaches_a_directly_and_b_through_the_bastion(lab: Lab) -> None:
    hosts = {host["name"]: host for host in lab.status()["hosts"]}
    assert hosts["a"]["jump"] is None and hosts["b"]["jump"] == "jump"
    client = connect(lab, hosts["a"]["address"])
    try:
        _, stdout, _ = client.exec_command("hostname", timeout=10)
        assert stdout.read() == b"a\n"
        with client.open_sftp() as files:
            files.stat("/etc/hostname")
    finally:
        client.close()
    bastion = connect(lab, hosts["jump"]["address"])
    try:
        transport = bastion.get_transport()
        assert transport is not None
        channel = transport.open_channel("direct-tcpip", (hosts["b"]["address"], 22), ("127.0.0.1", 0), timeout=10)
        client = connect(lab, hosts["b"]["address"], channel)
        _, stdout, _ = client.exec_command("hostname", timeout=10)
        assert stdout.read() == b"b\n"
        client.close()
    finally:
        bastion.close()


def test_b_cannot_be_reached_past_the_bastion(lab: Lab) -> None:
    with pytest.raises(OSError), socket.create_connection((lab.host("b")["address"], 22), timeout=2):
        pass


def test_only_the_labs_own_key_opens_a_session(lab: Lab) -> None:
    key = paramiko.RSAKey.generate(2048)
    client = paramiko.SSHClient()
    client.load_host_keys(str(lab.known_hosts))
    with pytest.raises(paramiko.AuthenticationException):
        client.connect(
            lab.host("a")["address"], username="root", pkey=key, allow_agent=False, look_for_keys=False, timeout=10
        )
    client.close()


def test_the_data_link_is_as_after_power_on(lab: Lab) -> None:
    channels = lab.ssh("a", "ethtool -l data0").stdout
    assert [line.split()[1] for line in channels.splitlines() if line.startswith(("RX:", "TX:"))] == [
        "2",
        "2",
        "1",
        "1",
    ]
    assert "mtu 1500" in lab.ssh("a", "ip link show data0").stdout


def test_a_host_that_reboots_itself_comes_back_with_its_disk(lab: Lab) -> None:
    before = lab.host("b")["boots"]
    boot = lab.ssh("b", "cat /proc/sys/kernel/random/boot_id").stdout
    lab.ssh("b", "echo kept > /var/kept; touch /run/gone; printf '#!/bin/sh\\nls /run > /var/at-boot\\n' > /var/script")
    lab.ssh("b", "install -D -m 755 /var/script /etc/tether/at-boot")
    lab.ssh("b", "reboot; sleep 20", check=False)
    limit = time.monotonic() + 60
    while lab.host("b")["boots"] == before or not lab.host("b")["ssh"]:
        assert time.monotonic() < limit
        time.sleep(0.1)
    assert lab.ssh("b", "cat /proc/sys/kernel/random/boot_id").stdout != boot
    assert lab.ssh("b", "cat /var/kept").stdout == "kept\n"
    assert lab.ssh("b", "ls /run/gone", check=False).returncode != 0
    # What the host wants at its boot was over before its sshd was there.
    assert "sshd.pid" not in lab.ssh("b", "cat /var/at-boot").stdout
    lab.ssh("b", "rm /etc/tether/at-boot /var/at-boot /var/script; rmdir --ignore-fail-on-non-empty /etc/tether")
    assert lab.host("b")["boots"] == before + 1
