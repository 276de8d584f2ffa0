# SPDX-License-Identifier: Apache-2.0
"""A machine of the model inside a host: what a session over SSH sees of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.drivers.common.server import Inside
from tests.drivers.ice import build
from tests.drivers.ice.build import PF0
from tests.support.labs import Lab

NAMES = ("ice0", "ice1")  # the host has a data0 of its own


@pytest.fixture
def inside(lab: Lab) -> Iterator[Inside]:
    pid = lab.host("a")["pid"]
    made = Inside(pid, lambda root: build.machine(root / "usr", bound=False, names=NAMES))
    yield made
    made.close()
    assert made.faults() == []


def test_programs_and_sys(lab: Lab, inside: Inside) -> None:
    folder = f"/sys/bus/pci/devices/{PF0}"
    assert lab.ssh("a", f"cat {folder}/sriov_totalvfs {folder}/vendor").stdout == "64\n0x8086\n"
    lab.ssh("a", f"echo {PF0} > /sys/bus/pci/drivers/ice/bind")
    assert lab.ssh("a", f"basename $(readlink {folder}/driver); ls {folder}/net").stdout == "ice\nice0\n"
    assert "bus-info: 0000:17:00.0" in lab.ssh("a", "ethtool -i ice0").stdout
    assert "Combined:\tn/a" in lab.ssh("a", "ethtool -l ice0").stdout  # the veth's own answer
    lab.ssh("a", "ethtool -L ice0 rx 2 tx 2")
    lab.ssh("a", "ethtool -N ice0 flow-type ether dst 02:00:00:00:00:01 proto 0x88b5 action 1 loc 5")
    assert "Filter: 5" in lab.ssh("a", "ethtool -n ice0").stdout
    refused = lab.ssh("a", "ethtool -L ice0 rx 1 tx 1", check=False)
    assert (refused.returncode, refused.stderr) == (1, "netlink error: Operation not supported\n")
    assert "Flow Director filters are active" in lab.ssh("a", "dmesg").stdout
    lab.ssh("a", f"devlink dev eswitch set pci/{PF0} mode switchdev && echo 2 > {folder}/sriov_numvfs")
    wrong = lab.ssh("a", f"echo 3 > {folder}/sriov_numvfs", check=False)
    assert "Device or resource busy" in wrong.stderr
    assert lab.ssh("a", f"ls {folder}/net").stdout.split() == ["ice0", "ice0_0", "ice0_1"]
    assert lab.ssh("a", "cat /sys/class/net/ice0_1/phys_port_name").stdout == "pf0vf1\n"
    rule = "filter replace dev ice0 ingress protocol 0x88b5 pref 10 handle 0x1 flower skip_sw action mirred egress"
    lab.ssh("a", "tc qdisc add dev ice0 clsact && ethtool -K ice0 hw-tc-offload on")
    lab.ssh("a", f"echo '{rule} redirect dev ice0_1' | tc -b -")
    assert '"to_dev": "ice0_1"' in lab.ssh("a", "tc -s -j filter show dev ice0 ingress").stdout
    lab.ssh("a", f"echo {PF0} > /sys/bus/pci/drivers/ice/unbind")
    gone = lab.ssh("a", "ip link show dev ice0", check=False)
    assert gone.returncode == 1
    assert "mgmt0" in lab.ssh("a", "ls /sys/class/net; cat /sys/class/net/mgmt0/address").stdout
