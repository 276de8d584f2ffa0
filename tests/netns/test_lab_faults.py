# SPDX-License-Identifier: Apache-2.0
"""Reboots and faults of the lab's hosts."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.support.labs import Lab
from tests.support.xdp_count import QueueCounter, send_frames
from tether_hw.plan.lane import lane_mac


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab that is broken here and nowhere else; every test heals what it broke."""
    made = Lab(tmp_path_factory.mktemp("faults") / "state")
    made.up()
    yield made
    made.down()


@pytest.mark.parametrize("host", ["a", "b"])
def test_reboot_keeps_the_disk_and_nothing_else(own: Lab, host: str) -> None:
    marks = "/etc/mark /opt/mark /var/mark /home/mark /root/mark /run/mark /tmp/mark /dev/shm/mark"
    own.ssh(host, f"for f in {marks}; do echo x > $f; done; setsid sleep 500 >/dev/null 2>&1 </dev/null &")
    own.ssh(host, "ethtool -L data0 rx 2 tx 2; ip link set data0 mtu 3000; ip address add 10.1.1.1/24 dev data0")
    identity = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub /sys/class/net/*/address; hostname"
    before = own.ssh(host, identity).stdout
    boot_id = own.ssh(host, "cat /proc/sys/kernel/random/boot_id").stdout
    where, boots = own.host(host)["pid"], own.host(host)["boots"]
    # As an engine that holds an XDP program and dies with its host.
    with QueueCounter(where, "data0"):
        assert "xdp" in own.ssh(host, "ip link show data0").stdout
    own.reboot(host)
    assert own.ssh(host, identity).stdout == before
    assert own.ssh(host, "cat /proc/sys/kernel/random/boot_id").stdout != boot_id
    left = own.ssh(host, f"ls {marks} 2>/dev/null", check=False).stdout.split()
    assert left == ["/etc/mark", "/home/mark", "/opt/mark", "/root/mark", "/var/mark"]
    assert own.ssh(host, "pgrep -c sleep", check=False).stdout == "0\n"
    link = own.ssh(host, "ip address show data0").stdout
    assert "mtu 1500" in link and "xdp" not in link and "10.1.1.1" not in link
    assert own.inside(host, "ethtool", "-l", "data0").stdout.split("Current")[1].count("\t1\n") == 2
    assert own.host(host)["boots"] == boots + 1


def test_the_switch_steers_to_a_rebooted_host(own: Lab) -> None:
    own.reboot("b")
    own.ssh("b", "ethtool -L data0 rx 2 tx 2")
    with QueueCounter(own.host("b")["pid"], "data0") as counter:
        send_frames(own.host("a")["pid"], "data0", lane_mac("b", "data0", 1), 10)
        time.sleep(0.2)
        assert counter.counts() == {(1, False): 10}


def test_reboot_of_one_host_leaves_the_other_alone(own: Lab) -> None:
    before = own.ssh("a", "cat /proc/sys/kernel/random/boot_id; ps -o lstart= 1").stdout
    own.reboot("b")
    assert own.ssh("a", "cat /proc/sys/kernel/random/boot_id; ps -o lstart= 1").stdout == before


def test_the_bastion_reboots_too(own: Lab) -> None:
    own.reboot("jump")
    assert own.ssh("b", "hostname").stdout == "b\n"


def test_a_link_that_was_set_down_is_up_after_reboot(own: Lab) -> None:
    own.ssh("a", "ip link set data0 down")
    own.reboot("a")
    assert "UP" in own.ssh("a", "ip -br link show data0").stdout


def test_cut_link_takes_the_carrier(own: Lab) -> None:
    own.fault("b", "cut-link")
    assert own.ssh("b", "cat /sys/class/net/data0/carrier").stdout == "0\n"
    assert own.ssh("a", "cat /sys/class/net/data0/carrier").stdout == "1\n"
    assert own.host("b")["data_link"] is False and own.host("b")["faults"] == ["cut-link"]
    own.heal("b")
    assert own.ssh("b", "cat /sys/class/net/data0/carrier").stdout == "1\n"
    assert own.host("b")["data_link"] is True and own.host("b")["faults"] == []


def session(lab: Lab, host: str) -> subprocess.Popen[str]:
    """A session that says so once it stands, and then each line that it is told."""
    process = subprocess.Popen(
        [*lab.ssh_argv(host), "echo here; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "here\n"
    return process


def test_cut_ssh_ends_listener_and_sessions_but_nothing_else(own: Lab) -> None:
    own.ssh("a", "setsid sleep 500 >/dev/null 2>&1 </dev/null &")
    process = session(own, "a")
    own.fault("a", "cut-ssh")
    assert process.wait(10) == 255
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    assert own.ssh("a", "true", check=False).returncode == 255
    assert own.inside("a", "pgrep", "-c", "sleep").stdout == "1\n"
    assert own.host("a")["ssh"] is False
    own.heal("a")
    assert own.ssh("a", "pgrep -c sleep").stdout == "1\n"


def test_cut_ssh_of_the_listener_alone_leaves_sessions(own: Lab) -> None:
    process = session(own, "a")
    own.fault("a", "cut-ssh", how="listener")
    assert own.ssh("a", "true", check=False).returncode == 255
    out, _ = process.communicate("still there\n", timeout=10)
    assert out == "still there\n" and process.returncode == 0
    own.heal("a")
    assert own.ssh("a", "true").returncode == 0


def test_cut_ssh_silently_drops_packets(own: Lab) -> None:
    own.fault("b", "cut-ssh", how="silent")
    assert own.host("b")["ssh"] is False
    assert own.ssh("b", "true", check=False).returncode == 255
    own.heal("b")
    assert own.ssh("b", "true").returncode == 0


def test_sshd_that_was_killed_on_the_host_stays_dead_until_healed(own: Lab) -> None:
    process = session(own, "a")
    own.ssh("a", "kill -9 $(cat /run/sshd.pid)", check=False)
    time.sleep(0.3)
    assert own.ssh("a", "true", check=False).returncode == 255
    out, _ = process.communicate("alive\n", timeout=10)
    assert out == "alive\n"
    own.heal("a")
    assert own.ssh("a", "true").returncode == 0


def test_unknown_host_is_named(own: Lab) -> None:
    done = own.run("fault", "cut-link", "z", check=False)
    assert done.returncode == 1 and "no host z" in done.stderr and "a, b" in done.stderr


def test_power_cut_lasts_until_heal_and_the_disk_stays(own: Lab) -> None:
    own.ssh("a", "echo kept >/var/kept; echo lost >/run/lost")
    own.fault("a", "power-cut")
    host = own.host("a")
    assert (host["running"], host["ssh"], host["faults"]) == (False, False, ["power-cut"])
    assert own.status()["state"] == "up"
    again = own.run("fault", "cut-link", "a", check=False)
    assert again.returncode == 1 and "host a is off" in again.stderr
    own.fault("b", "wrong-queue")  # the switch is set anew while a port is missing
    own.heal("b")
    own.heal("a")
    assert own.ssh("a", "cat /var/kept; ls /run/lost", check=False).stdout == "kept\n"
    assert own.host("a")["faults"] == []
