# SPDX-License-Identifier: Apache-2.0
"""What the agent's reader makes of a machine of the model, and that it changes nothing by reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.drivers.common.standin import behind
from tests.drivers.common.trying import good
from tests.drivers.ice import build
from tests.drivers.ice.build import PF0, PF1
from tests.drivers.ice.machine import Machine
from tests.drivers.ice.sysfs import SysFs
from tests.drivers.ice.triggers import FLOW, RULE, safe, switchdev
from tether_hw.agent import facts
from tether_hw.agent.host import Host
from tether_hw.plan.facts import Facts
from tether_hw.plan.paths import HostPaths

SERIAL = f"{build.DSN:016x}"


def read(machine: Machine, root: Path, selector: dict[str, Any] | None = None) -> Facts:
    with behind(machine):
        document = facts.collect(Host(HostPaths(str(root))), "a", [selector or {"pci": PF0}])
    return Facts.parse(document)


def test_a_card(tmp_path: Path) -> None:
    found = read(build.machine(tmp_path), tmp_path)
    assert found.config["functions"][PF1] == {
        "card": SERIAL,
        "driver": "ice",
        "device": "data1",
        "eswitch": "legacy",
        "vfs": 0,
        "ntuple": {"on": True, "rules": {}},
        "flower": {"hook": False, "offload": False, "rules": {}},
        "mlx5": None,
    }
    card = found.config["cards"][SERIAL]
    assert card["package"] == {"name": "ICE OS Default Package", "version": "1.3.36.0"}
    assert not card["safe_mode"]
    assert found.config["nics"]["data0"]["queues"] == {"combined": 16}
    assert found.status["devices"] == [{"selector": {"pci": PF0}, "device": "data0", "function": PF0}]
    assert found.status["kernel"].startswith("6.12")


def test_by_serial_number_and_port(tmp_path: Path) -> None:
    found = read(build.machine(tmp_path), tmp_path, {"serial": SERIAL, "port": 1})
    assert found.status["devices"][0]["device"] == "data1"


def test_rules_of_both_tables(tmp_path: Path) -> None:
    machine = switchdev(tmp_path, vfs=2)
    good(machine, FLOW, f"tc {RULE} skip_sw action mirred egress redirect dev data0_1")
    found = read(machine, tmp_path).config["functions"][PF0]
    assert found["eswitch"] == "switchdev"
    assert found["vfs"] == 2
    assert found["ntuple"]["rules"]["5"]["queue"] == 1
    assert found["flower"]["rules"]["10/1"]["target"] == "@pf0vf1.rep"
    SysFs(machine).write(f"bus/pci/devices/{PF0}/sriov_numvfs", "0")
    again = read(machine, tmp_path).config["functions"][PF0]
    assert again["flower"]["rules"]["10/1"]["target"] == "*"


def test_safe_mode(tmp_path: Path) -> None:
    found = read(safe(tmp_path), tmp_path)
    assert found.config["cards"][SERIAL]["safe_mode"]
    assert found.config["cards"][SERIAL]["package"] is None
    assert found.config["functions"][PF0]["ntuple"] is None
    assert found.config["nics"]["data0"]["queues"] == {"combined": 1}


def test_without_a_driver(tmp_path: Path) -> None:
    found = read(build.machine(tmp_path, bound=False), tmp_path)
    function = found.config["functions"][PF0]
    assert (function["driver"], function["device"], function["eswitch"]) == (None, None, None)
    assert function["card"] == SERIAL
    assert found.status["devices"] == [{"selector": {"pci": PF0}, "device": None, "function": PF0}]


def test_the_package_file_that_wins(tmp_path: Path) -> None:
    machine = build.machine(tmp_path)
    own = build.put(tmp_path, build.PACKAGE, f"lib/firmware/updates/intel/ice/ddp/ice-{SERIAL}.pkg")
    found = read(machine, tmp_path)
    files = found.config["cards"][SERIAL]["files"]
    there = [place for place in found.status["cards"][SERIAL]["search"] if files[place]]
    assert there[0] == str(own)
    assert machine.search.read(f"intel/ice/ddp/ice-{SERIAL}.pkg") == own.read_bytes()
