# SPDX-License-Identifier: Apache-2.0
"""What the agent's reader makes of the two machines of a BlueField."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.drivers.bluefield import build
from tests.drivers.bluefield.build import ARM0, HOST0
from tests.drivers.bluefield.chip import DPU, ENGINE, NIC, SERIAL, ZERO_TRUST, Chip
from tests.drivers.bluefield.machine import Side
from tests.drivers.common.standin import behind
from tests.drivers.common.trying import good
from tether_hw.agent import facts
from tether_hw.agent.host import Host
from tether_hw.plan.facts import Facts
from tether_hw.plan.paths import HostPaths

KEYS = (ENGINE, "NUM_OF_VFS")
PLAIN = {"address": None, "tx_max": 0, "tx_share": 0, "driver": None}


def chip(root: Path, mode: str = DPU) -> Chip:
    for side in ("arm", "host"):
        (root / side).mkdir()
    return build.chip(root / "arm", root / "host", mode)


def read(side: Side, pci: str) -> dict[str, Any]:
    with behind(side):
        document = facts.collect(Host(HostPaths(str(side.root))), "a", [{"pci": pci}], KEYS)
    functions: dict[str, Any] = Facts.parse(document).config["functions"]
    return dict(functions.get(pci, {}))


@pytest.mark.parametrize("mode", [DPU, ZERO_TRUST])
def test_both_sides_of_one_card(tmp_path: Path, mode: str) -> None:
    made = chip(tmp_path, mode)
    made.server.sysfs().write(f"bus/pci/devices/{HOST0}/sriov_numvfs", "2")
    good(made.arm, f"devlink port function set pci/{ARM0}/2 hw_addr 02:00:00:00:00:77")
    good(made.arm, f"devlink port function rate set pci/{ARM0}/2 tx_max 1gbit")
    arm, host = read(made.arm, ARM0), read(made.server, HOST0)
    assert (arm["card"], host["card"]) == (SERIAL, SERIAL)
    assert (arm["eswitch"], host["eswitch"]) == ("switchdev", None)
    assert (arm["vfs"], host["vfs"]) == (2, 2)
    told = {**PLAIN, "address": "02:00:00:00:00:77", "tx_max": 125_000_000}
    assert arm["mlx5"]["vfs"] == {"0": PLAIN, "1": told}
    assert host["mlx5"]["vfs"] == {number: {**PLAIN, "driver": "mlx5_core"} for number in "01"}
    assert (host["mlx5"]["steering_mode"], host["mlx5"]["params"], host["mlx5"]["inline"]) == ("dmfs", {}, None)
    assert (arm["mlx5"]["autoprobe"], host["mlx5"]["autoprobe"]) == (None, True)
    for side in (arm, host):
        assert side["mlx5"]["nv"][ENGINE] == {"next": "0", "current": "0"}


def test_the_host_alone_has_it_in_nic_mode(tmp_path: Path) -> None:
    made = chip(tmp_path, NIC)
    assert read(made.arm, ARM0) == {}
    host = read(made.server, HOST0)
    assert (host["eswitch"], host["mlx5"]["nv"][ENGINE]["current"]) == ("legacy", "1")


def test_a_host_whose_arm_was_not_ready(tmp_path: Path) -> None:
    made = chip(tmp_path)
    made.arm.boot()
    made.server.boot()
    host = read(made.server, HOST0)
    assert (host["card"], host["driver"], host["device"], host["mlx5"]) == (SERIAL, None, None, None)
