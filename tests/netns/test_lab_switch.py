# SPDX-License-Identifier: Apache-2.0
"""The switch of the lab picks the receiver's queue by lane address, exactly, as a NIC's rule would."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.support.labs import Lab
from tests.support.xdp_count import QueueCounter, send_frames
from tether_hw.plan.lane import lane_mac

FRAMES = 25


def pids(lab: Lab) -> dict[str, int]:
    return {host["name"]: host["pid"] for host in lab.status()["hosts"]}


def open_queues(lab: Lab, host: str, queues: int) -> None:
    lab.inside(host, "ethtool", "-L", "data0", "rx", str(queues), "tx", str(queues), check=False)
    assert lab.inside(host, "ethtool", "-l", "data0").stdout.split("Current")[1].count(f"\t{queues}\n") == 2


def settle(counter: QueueCounter, expected: int) -> dict[tuple[int, bool], int]:
    deadline = time.monotonic() + 5
    while sum(counter.counts().values()) < expected and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.05)
    return counter.counts()


@pytest.mark.parametrize(("hosts", "queues"), [(2, 2), (2, 4), (3, 3)])
def test_each_lane_reaches_its_queue_from_every_other_host(
    new_lab: Callable[..., Lab], hosts: int, queues: int
) -> None:
    lab = new_lab(hosts=hosts, queues=queues)
    names = [name for name in pids(lab) if name != "jump"]
    where = pids(lab)
    for receiver in names:
        open_queues(lab, receiver, queues)
    for receiver in names:
        others = [name for name in names if name != receiver]
        with QueueCounter(where[receiver], "data0") as counter:
            bystanders = [QueueCounter(where[name], "data0") for name in others]
            expected: dict[tuple[int, bool], int] = {}
            for sender in others:
                for lane in range(queues):
                    count = FRAMES + lane
                    mac = lane_mac(receiver, "data0", lane)
                    send_frames(where[sender], "data0", mac, count)
                    send_frames(where[sender], "data0", mac, count, vlan=100 + lane)
                    for tagged in (False, True):
                        expected[lane, tagged] = expected.get((lane, tagged), 0) + count
            assert settle(counter, sum(expected.values())) == expected
            for bystander in bystanders:
                assert bystander.counts() == {}
                bystander.close()


def test_frames_up_to_the_largest_xdp_mtu_pass(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab()
    where = pids(lab)
    for name in ("a", "b"):
        open_queues(lab, name, 2)
        lab.inside(name, "ip", "link", "set", "dev", "data0", "mtu", "3506")
    with QueueCounter(where["b"], "data0") as counter:
        send_frames(where["a"], "data0", lane_mac("b", "data0", 1), 10, length=3506)
        assert settle(counter, 10) == {(1, False): 10}


def test_wrong_queue_moves_every_lane_and_heal_moves_it_back(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab(queues=3)
    where = pids(lab)
    for name in ("a", "b"):
        open_queues(lab, name, 3)

    def queues_of(sender: str, receiver: str) -> list[int]:
        found = []
        for lane in range(3):
            with QueueCounter(where[receiver], "data0") as counter:
                send_frames(where[sender], "data0", lane_mac(receiver, "data0", lane), 5)
                ((queue, _),) = settle(counter, 5)
                found.append(queue)
        return found

    lab.fault("b", "wrong-queue")
    assert queues_of("a", "b") == [1, 2, 0]
    assert queues_of("b", "a") == [0, 1, 2]
    lab.heal("b")
    assert queues_of("a", "b") == [0, 1, 2]


def test_wrong_queue_needs_two_queues(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab(queues=1)
    done = lab.run("fault", "wrong-queue", "a", check=False)
    assert done.returncode == 1 and "one queue" in done.stderr
    assert lab.host("a")["faults"] == []


def test_ordinary_traffic_crosses_the_data_link(lab: Lab) -> None:
    try:
        lab.inside("a", "ip", "address", "add", "10.99.0.1/24", "dev", "data0")
        lab.inside("b", "ip", "address", "add", "10.99.0.2/24", "dev", "data0")
        lab.inside("a", "ping", "-c", "2", "-i", "0.1", "-W", "2", "10.99.0.2")
    finally:
        for name in ("a", "b"):
            lab.inside(name, "ip", "address", "flush", "dev", "data0", "scope", "global", check=False)
