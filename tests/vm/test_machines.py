# SPDX-License-Identifier: Apache-2.0
"""The virtual machines themselves: what boots, what a power cut leaves, which queue a lane's frame takes."""

from __future__ import annotations

import json

from tests.support.labs import Lab
from tether_hw.plan.lane import lane_mac

SEND = """
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("data0", 0))
for _ in range({count}):
    s.send(bytes.fromhex("{to}") + bytes.fromhex("{sender}") + b"\\x88\\xb5" + bytes(64))
"""


def received(lab: Lab, host: str) -> list[int]:
    """Frames that each queue of the data NIC took in."""
    lines = lab.ssh(host, "ethtool -S data0").stdout.splitlines()
    counts = dict(line.strip().split(": ") for line in lines if ": " in line)
    return [int(counts[f"rx_queue_{queue}_packets"]) for queue in (0, 1)]


def send(lab: Lab, sender: str, to: str, lane: int, count: int) -> None:
    words = SEND.format(count=count, to=lane_mac(to, "data0", lane).replace(":", ""), sender="020000000001")
    lab.ssh(sender, f"python3 -c '{words}'")


def test_a_host_has_debian_systemd_and_both_cards(fresh: Lab) -> None:
    told = fresh.ssh("a", "cat /proc/1/comm; uname -r; systemctl is-system-running").stdout.split()
    assert told[0] == "systemd" and told[1].startswith("6.1.") and told[2] == "running"
    ports = json.loads(fresh.ssh("a", "devlink -j port show").stdout)["port"]
    assert {entry["flavour"] for entry in ports.values()} == {"physical"}
    assert set(ports) == {"netdevsim/netdevsim1/0"}
    assert "Combined:\t2" in fresh.ssh("a", "ethtool -l data0").stdout


def test_the_lab_sends_each_lane_to_its_queue_also_after_the_guest_changed_its_queues(fresh: Lab) -> None:
    fresh.ssh("b", "ethtool -L data0 combined 2")  # whereupon qemu would have taken the lab's program off
    for lane in (0, 1):
        fresh.ssh("b", "ip maddress show dev data0 >/dev/null; ip link set data0 promisc on")
        before = received(fresh, "b")
        send(fresh, "a", "b", lane, 50)
        after = received(fresh, "b")
        gained = [now - then for now, then in zip(after, before, strict=True)]
        assert gained[lane] >= 50 and gained[1 - lane] < 50
    fresh.fault("b", "wrong-queue")
    before = received(fresh, "b")
    send(fresh, "a", "b", 0, 50)
    assert received(fresh, "b")[1] - before[1] >= 50
    fresh.heal("b")


def test_a_power_cut_loses_what_was_not_synced_and_nothing_else(fresh: Lab) -> None:
    fresh.ssh("a", "echo kept >/root/kept && sync && echo lost >/root/lost")
    boot = fresh.ssh("a", "cat /proc/sys/kernel/random/boot_id").stdout
    fresh.fault("a", "power-cut")
    assert (fresh.host("a")["running"], fresh.host("a")["ssh"]) == (False, False)
    fresh.heal("a")
    assert fresh.ssh("a", "cat /root/kept; cat /root/lost", check=False).stdout == "kept\n"
    assert fresh.ssh("a", "cat /proc/sys/kernel/random/boot_id").stdout != boot


def test_the_data_link_can_be_cut(fresh: Lab) -> None:
    fresh.fault("a", "cut-link")
    assert fresh.ssh("a", "cat /sys/class/net/data0/carrier").stdout == "0\n"
    fresh.heal("a")
    assert fresh.ssh("a", "cat /sys/class/net/data0/carrier").stdout == "1\n"
