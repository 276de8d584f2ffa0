# SPDX-License-Identifier: Apache-2.0
"""What the agent's reader makes of a machine with a ConnectX-7, and that it changes nothing by reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.drivers.common.standin import behind
from tests.drivers.common.trying import good
from tests.drivers.mlx5 import build
from tests.drivers.mlx5.build import NO_FLOWER, PF0, PF1, SERIAL, first
from tests.drivers.mlx5.machine import Machine
from tests.drivers.mlx5.triggers import DEV, FLOW, RULE, VFS, switchdev, with_vfs
from tether_hw.agent import facts
from tether_hw.agent.host import Host
from tether_hw.plan.facts import Facts
from tether_hw.plan.paths import HostPaths

PLAIN = {"address": None, "tx_max": 0, "tx_share": 0}


def read(machine: Machine, root: Path, selector: dict[str, Any] | None = None, keys: tuple[str, ...] = ()) -> Facts:
    with behind(machine):
        document = facts.collect(Host(HostPaths(str(root))), "a", [selector or {"pci": PF0}], keys)
    return Facts.parse(document)


def test_a_card(tmp_path: Path) -> None:
    found = read(build.machine(tmp_path), tmp_path)
    assert found.config["functions"][PF1] == {
        "card": SERIAL,
        "driver": "mlx5_core",
        "device": "data1",
        "eswitch": "legacy",
        "vfs": 0,
        "ntuple": {"on": False, "rules": {}},
        "flower": {"hook": False, "offload": False, "rules": {}},
        "mlx5": {
            "steering_mode": "smfs",
            "inline": "none",
            "encap": "basic",
            "autoprobe": True,
            "params": {"esw_port_metadata": "true"},
            "vfs": {},
            "sfs": {},
            "nv": {},
            "reps": {},
        },
    }
    status = found.status["functions"][PF1]
    assert (status["vfs_max"], status["psid"], status["ntuple_size"]) == (16, "MT_0000000838", 1024)
    assert found.status["kernel_config"] == {
        "MLX5_CLS_ACT": "y",
        "NET_TC_SKB_EXT": "y",
        "MLX5_SF": "y",
        "NET_SWITCHDEV": "y",
    }


def test_by_serial_number_and_port(tmp_path: Path) -> None:
    found = read(build.machine(tmp_path), tmp_path, {"serial": SERIAL, "port": 1})
    assert found.status["devices"][0]["device"] == "data1"


def test_a_kernel_without_flower(tmp_path: Path) -> None:
    found = read(build.machine(tmp_path, release=NO_FLOWER, has_flower=False), tmp_path)
    assert found.status["kernel_config"]["MLX5_CLS_ACT"] == "n"


def test_vfs_in_legacy(tmp_path: Path) -> None:
    machine = with_vfs(tmp_path)
    good(machine, "ip link set dev data0 vf 1 mac 02:00:00:00:00:77 max_tx_rate 1000 min_tx_rate 10")
    part = read(machine, tmp_path).config["functions"][PF0]["mlx5"]
    assert part["vfs"] == {
        "0": {**PLAIN, "driver": "mlx5_core"},
        "1": {"address": "02:00:00:00:00:77", "tx_max": 125_000_000, "tx_share": 1_250_000, "driver": "mlx5_core"},
    }


def test_functions_in_switchdev(tmp_path: Path) -> None:
    machine = switchdev(tmp_path, vfs=2)
    good(
        machine,
        f"devlink port function set {DEV}/2 hw_addr 02:00:00:00:00:77",
        f"devlink port function rate set {DEV}/2 tx_max 1gbit",
        f"devlink port add {DEV} flavour pcisf pfnum 0 sfnum 88",
        f"devlink port function set {DEV}/32768 hw_addr 02:00:00:00:00:78 state active",
        FLOW,
        f"{RULE} skip_sw action mirred egress redirect dev data0g1r1",
    )
    found = read(machine, tmp_path).config["functions"][PF0]
    assert found["mlx5"]["vfs"] == {
        "0": {**PLAIN, "driver": None},
        "1": {"address": "02:00:00:00:00:77", "tx_max": 125_000_000, "tx_share": 0, "driver": None},
    }
    assert found["mlx5"]["sfs"] == {"88": {**PLAIN, "address": "02:00:00:00:00:78", "active": True}}
    assert found["flower"]["rules"]["10/1"]["target"] == "@pf0vf1.rep"
    assert found["ntuple"]["rules"]["5"]["queue"] == 1
    machine.sysfs().write(VFS, "0")
    assert read(machine, tmp_path).config["functions"][PF0]["flower"]["rules"]["10/1"]["target"] == "*"


def test_settings_of_the_card(tmp_path: Path) -> None:
    machine = build.machine(tmp_path)
    good(machine, f"mlxconfig -d {PF0} -y set NUM_OF_VFS=32")
    found = read(machine, tmp_path, keys=("NUM_OF_VFS", "SRIOV_EN", "NO_SUCH"))
    assert found.config["functions"][PF0]["mlx5"]["nv"] == {
        "NUM_OF_VFS": {"next": "32", "current": "16"},
        "SRIOV_EN": {"next": "1", "current": "1"},
    }
    assert found.status["functions"][PF0]["nv_default"] == {"NUM_OF_VFS": "0", "SRIOV_EN": "0"}


def test_without_a_driver(tmp_path: Path) -> None:
    found = read(build.machine(tmp_path, bound=False), tmp_path)
    function = found.config["functions"][PF0]
    assert (function["driver"], function["device"], function["mlx5"], function["card"]) == (None, None, None, SERIAL)


def test_after_a_failed_reload(tmp_path: Path) -> None:
    machine = switchdev(tmp_path, vfs=1)
    first(machine)[1].fails_reload = True
    assert machine.run(["devlink", "dev", "reload", DEV]).code == 1
    function = read(machine, tmp_path).config["functions"][PF0]
    assert (function["device"], function["eswitch"], function["vfs"]) == (None, "legacy", 0)
