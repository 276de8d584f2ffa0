# SPDX-License-Identifier: Apache-2.0
"""Functions of mlx5_core and netdevsim, read from what sysfs has and programs print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import fleet_facts
from tests.support.facts_cx7 import HOST, PF0, PF1, PSID, SERIAL, SIM
from tests.unit.test_recorded_iproute2 import every, text
from tether_hw.agent.sysfs import Sysfs
from tether_hw.nic.functions import nv, read, vpd
from tether_hw.plan.facts import Facts

MAC = "02:00:00:00:08:01"
#: What `mlxconfig -d 0000:08:00.0 -e q` prints (mstflint 4.2x), in short.
CONFIG = """
Device #1:
----------

Device type:        ConnectX7
Name:               MCX755106AS-HEA_Ax
Description:        NVIDIA ConnectX-7 adapter card
Device:             0000:08:00.0

Configurations:                                          Default             Current             Next Boot
        MEMIC_BAR_SIZE                              0                   0                   0
*       SRIOV_EN                                    False(0)            False(0)            True(1)
        NUM_OF_VFS                                  8                   16                  16
RO      MULTI_PORT_VHCA_EN                          False(0)            False(0)            False(0)
        HOST_CHAINING_DESCRIPTORS                   Array[0..7]         Array[0..7]         Array[0..7]
*       LINK_TYPE_P1                                IB(1)               ETH(2)              ETH(2)
The '*' shows parameters with next value different from default/current value.
"""


def vpd_data(serial: str = SERIAL) -> bytes:
    def keyword(name: bytes, value: bytes) -> bytes:
        return name + bytes([len(value)]) + value

    inner = keyword(b"PN", b"MCX755106AS-HEAT  ") + keyword(b"SN", serial.encode() + b"   ") + keyword(b"RV", b"\x83")
    name = b"NVIDIA ConnectX-7"
    return b"\x82" + len(name).to_bytes(2, "little") + name + b"\x90" + len(inner).to_bytes(2, "little") + inner + b"x"


class Host:
    """A ConnectX-7 with two functions, one of them in switchdev with two VFs and an SF, and a device of netdevsim."""

    def __init__(self, root: Path) -> None:
        self.root, self.sysfs = root, Sysfs(str(root / "sys"))
        self.answers: dict[str, str] = {}
        self.asked: list[str] = []
        for number, pci in enumerate((PF0, PF1)):
            place, name = f"bus/pci/devices/{pci}", f"cx{number}"
            for attribute, value in (
                ("vendor", "0x15b3"),
                ("device", "0x1021"),
                ("sriov_totalvfs", "16"),
                ("sriov_numvfs", "0" if number else "2"),
                ("sriov_drivers_autoprobe", "1" if number else "0"),
            ):
                self.put(f"{place}/{attribute}", value)
            self.put(f"{place}/vpd", vpd_data())
            self.link(f"{place}/driver", "../../drivers/mlx5_core")
            self.netdev(place, name, f"p{number}", features="ntuple-filters: off\nhw-tc-offload: off\n")
            self.answers[f"devlink -j dev info pci/{pci}"] = json.dumps(
                {
                    "info": {
                        f"pci/{pci}": {
                            "driver": "mlx5_core",
                            "versions": {"fixed": {"fw.psid": PSID}, "running": {"fw.version": "28.41.1000"}},
                        }
                    }
                }
            )
            mode = {"mode": "legacy" if number else "switchdev", "inline-mode": "none", "encap-mode": "basic"}
            self.answers[f"devlink -j dev eswitch show pci/{pci}"] = json.dumps({"dev": {f"pci/{pci}": mode}})
            self.answers[f"ethtool -n {name}"] = "16 RX rings available\nTotal 0 rules\n"
        self.netdev(f"bus/pci/devices/{PF0}", "cx0_0", "pf0vf0")
        self.link(f"bus/pci/devices/{PF0}/virtfn0", "../0000:08:00.2")
        self.link(f"bus/pci/devices/{PF0}/virtfn1", "../0000:08:00.3")
        for address in ("0000:08:00.2", "0000:08:00.3"):
            self.link(f"bus/pci/devices/{address}/physfn", f"../{PF0}")
        self.link("bus/pci/devices/0000:08:00.3/driver", "../../drivers/mlx5_core")
        self.netdev(f"bus/netdevsim/devices/{SIM}", "sim1", "p2")
        self.netdev(f"bus/netdevsim/devices/{SIM}", "sim0", "p1", features="hw-tc-offload: on\n")
        self.put(f"bus/netdevsim/devices/{SIM}/sriov_numvfs", "1")
        self.answers[f"devlink -j dev eswitch show netdevsim/{SIM}"] = json.dumps(
            {"dev": {f"netdevsim/{SIM}": {"mode": "legacy"}}}
        )
        self.answers["ip -j link show dev sim0"] = json.dumps(
            [
                {
                    "ifname": "sim0",
                    "vfinfo_list": [{"vf": 0, "address": MAC.upper(), "rate": {"max_tx": 100, "min_tx": 1}}],
                }
            ]
        )
        self.answers["devlink -j port show"] = json.dumps(
            {
                "port": {
                    f"pci/{PF0}/65535": {"flavour": "physical", "netdev": "cx0", "port": 0},
                    f"pci/{PF0}/1": self.port("pcivf", "vfnum", 0, "cx0_0", hw_addr=MAC),
                    f"pci/{PF0}/2": self.port("pcivf", "vfnum", 1, "cx0_1", hw_addr="00:00:00:00:00:00"),
                    f"pci/{PF0}/32768": self.port("pcisf", "sfnum", 88, "cx0_sf", hw_addr=MAC, state="active"),
                    f"pci/{PF0}/40000": {
                        **self.port("pcivf", "vfnum", 0, "host0", hw_addr=MAC),
                        "controller": 1,
                        "external": True,
                    },
                }
            }
        )
        self.answers["devlink -j port function rate show"] = json.dumps(
            {
                "rate": {
                    f"pci/{PF0}/1": {"type": "leaf", "tx_max": 125_000_000},
                    f"pci/{PF0}/32768": {"type": "leaf", "tx_share": 1_250_000},
                }
            }
        )
        params = [
            {"name": name, "values": [{"cmode": "runtime", "value": value}]}
            for name, value in (("flow_steering_mode", "smfs"), ("esw_multiport", False), ("esw_port_metadata", True))
        ]
        driverinit = {"name": "max_macs", "values": [{"cmode": "driverinit", "value": 128}]}
        self.answers["devlink -j dev param show"] = json.dumps({"param": {f"pci/{PF0}": [*params, driverinit]}})

    @staticmethod
    def port(flavour: str, name: str, number: int, netdev: str, **function: str) -> dict[str, Any]:
        return {"flavour": flavour, "pfnum": 0, name: number, "netdev": netdev, "function": function}

    def netdev(self, place: str, name: str, port: str, features: str = "") -> None:
        self.put(f"{place}/net/{name}/mtu", "1500")
        self.put(f"class/net/{name}/phys_port_name", port)
        self.answers[f"ethtool -k {name}"] = f"Features for {name}:\n{features}"
        self.answers[f"ethtool -i {name}"] = "driver: x\nversion: 6.1.0-56-amd64\n"
        self.answers[f"tc -j qdisc show dev {name}"] = "[]"

    def put(self, path: str, content: str | bytes) -> None:
        place = self.root / "sys" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode() + b"\n")

    def link(self, path: str, target: str) -> None:
        place = self.root / "sys" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def run(self, argv: Sequence[str]) -> str | None:
        self.asked.append(" ".join(argv))
        return self.answers.get(" ".join(argv))

    def read(self, *selectors: dict[str, Any], keys: Sequence[str] = ()) -> Facts:
        chosen = read.choose(read.find(self.sysfs), selectors, [], [])
        found = read.read(chosen, self.sysfs, self.run, "/", "6.1.0-56-amd64", keys)
        config = {"functions": found["functions"], "cards": found["cards"]}
        status = {"functions": found["function_status"], "cards": found["card_status"], **HOST}
        facts = fleet_facts.facts("a", {"cx0": "mlx5_core", "cx1": "mlx5_core", "sim0": "netdevsim"}, config, status)
        return Facts.parse(json.loads(json.dumps(facts.to_dict())))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_card_in_switchdev(host: Host) -> None:
    facts = host.read({"pci": PF0})
    assert set(facts.config["functions"]) == {PF0, PF1}
    function = facts.config["functions"][PF0]
    assert (function["card"], function["device"], function["eswitch"]) == (SERIAL, "cx0", "switchdev")
    assert function["ntuple"] == {"on": False, "rules": {}}
    assert function["flower"] == {"hook": False, "offload": False, "rules": {}}
    assert function["mlx5"] == {
        "steering_mode": "smfs",
        "inline": "none",
        "encap": "basic",
        "autoprobe": False,
        "params": {"esw_multiport": "false", "esw_port_metadata": "true"},
        "vfs": {
            "0": {"address": MAC, "tx_max": 125_000_000, "tx_share": 0, "driver": None},
            "1": {"address": None, "tx_max": 0, "tx_share": 0, "driver": "mlx5_core"},
        },
        "sfs": {"88": {"address": MAC, "tx_max": 0, "tx_share": 1_250_000, "active": True}},
        "nv": {},
        "reps": {},
    }
    other = facts.config["functions"][PF1]
    assert (other["eswitch"], other["vfs"], other["mlx5"]["vfs"], other["mlx5"]["params"]) == ("legacy", 0, {}, {})
    status = facts.status["functions"][PF0]
    names = {"@pf0vf0.rep": "cx0_0", "@pf0vf1.rep": "cx0_1", "@pf0sf88.rep": "cx0_sf", "@c1pf0vf0.rep": "host0"}
    assert status["representors"] == names
    assert (status["psid"], status["vfs_max"], status["port"]) == (PSID, 16, 0)
    assert status["firmware"] == {"fw.psid": PSID, "fw.version": "28.41.1000"}
    assert facts.config["cards"] == {}
    assert not any(line.startswith(("mlxconfig", "mstconfig")) for line in host.asked)


def test_a_device_of_netdevsim(host: Host) -> None:
    facts = host.read({"devlink": f"netdevsim/{SIM}"})
    assert set(facts.config["functions"]) == {SIM}
    function = facts.config["functions"][SIM]
    assert (function["card"], function["device"], function["ntuple"]) == (None, "sim0", None)
    assert function["flower"]["offload"]
    vfs = {"0": {"address": MAC, "tx_max": 12_500_000, "tx_share": 125_000, "driver": None}}
    assert function["mlx5"]["vfs"] == vfs
    assert (function["mlx5"]["autoprobe"], function["mlx5"]["steering_mode"]) == (None, None)
    assert facts.status["functions"][SIM]["vfs_max"] == 4
    host.put(f"kernel/debug/netdevsim/{SIM}/max_vfs", "16")
    assert host.read({"devlink": f"netdevsim/{SIM}"}).status["functions"][SIM]["vfs_max"] == 16


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ({"serial": SERIAL, "port": 1}, {PF0, PF1}),
        ({"serial": SERIAL, "port": 2}, set()),
        ({"pci": PF1}, {PF0, PF1}),
        ({"pci": "0000:08:00.2"}, set()),
        ({"devlink": "netdevsim/netdevsim2"}, set()),
    ],
)
def test_what_is_asked_for_brings_its_card(host: Host, selector: dict[str, Any], chosen: set[str]) -> None:
    assert {one.function for one in read.choose(read.find(host.sysfs), [selector], [], [])} == chosen


def test_settings_in_the_memory_of_a_card(host: Host) -> None:
    keys = ["LINK_TYPE_P1", "NUM_OF_VFS", "SRIOV_EN"]
    for pci in (PF0, PF1):
        host.answers[f"mstconfig -d {pci} -e q {' '.join(keys)}"] = CONFIG
    facts = host.read({"pci": PF0}, keys=keys)
    assert facts.config["functions"][PF1]["mlx5"]["nv"] == {
        "LINK_TYPE_P1": {"next": "2", "current": "2"},
        "NUM_OF_VFS": {"next": "16", "current": "16"},
        "SRIOV_EN": {"next": "1", "current": "0"},
    }
    defaults = {"LINK_TYPE_P1": "1", "NUM_OF_VFS": "8", "SRIOV_EN": "0"}
    assert facts.status["functions"][PF1]["nv_default"] == defaults


def test_a_setting_that_the_card_does_not_have_hides_no_other(host: Host) -> None:
    host.answers[f"mlxconfig -d {PF0} -e q"] = CONFIG
    assert set(nv.read(host.run, PF0, ["PF_TOTAL_SF", "SRIOV_EN"])) == {"SRIOV_EN"}
    assert nv.read(host.run, PF1, ["SRIOV_EN"]) == {}
    assert nv.read(host.run, PF0, []) == {}


def test_settings_with_several_values_are_left_out() -> None:
    found = nv.parse(CONFIG)
    assert set(found) == {"MEMIC_BAR_SIZE", "SRIOV_EN", "NUM_OF_VFS", "MULTI_PORT_VHCA_EN", "LINK_TYPE_P1"}
    assert nv.parse("") == nv.parse("Configurations:  Default Current Next Boot\n") == {}


def test_a_function_without_a_driver(host: Host) -> None:
    (host.root / "sys/bus/pci/devices" / PF1 / "driver").unlink()
    function = host.read({"pci": PF0}).config["functions"][PF1]
    gone = ("driver", "device", "eswitch", "ntuple", "flower", "mlx5")
    assert function == {**dict.fromkeys(gone), "card": SERIAL, "vfs": 0}


@pytest.mark.parametrize(
    "data", [b"", b"\x82", b"\x90\xff\xff", b"\x78" + vpd_data(), vpd_data("x y"), vpd_data("a" * 33), b"\xff" * 300]
)
def test_a_card_that_does_not_say_who_it_is(data: bytes) -> None:
    assert vpd.serial(data) is None
    assert vpd.serial(vpd_data()) == SERIAL


@every
def test_netdevsim_as_recorded(version: str, tmp_path: Path) -> None:
    host = Host(tmp_path)
    (tmp_path / "sys/bus/netdevsim/devices" / SIM).rename(tmp_path / "sys/bus/netdevsim/devices/netdevsim7")
    host.put("bus/netdevsim/devices/netdevsim7/sriov_numvfs", "3")
    names = ("port-show", "dev-info", "eswitch-switchdev", "rate-show", "param-show-all")
    words = ("port show", "dev info @", "dev eswitch show @", "port function rate show", "dev param show")
    del host.answers["ip -j link show dev sim0"]
    for name, line in zip(names, words):
        host.answers[f"devlink -j {line}".replace("@", "netdevsim/netdevsim7")] = text(version, f"{name}.json")
    facts = host.read({"devlink": "netdevsim/netdevsim7"})
    function = facts.config["functions"]["netdevsim7"]
    assert (function["eswitch"], function["vfs"]) == ("switchdev", 3)
    plain = {"address": None, "tx_max": 0, "tx_share": 0, "driver": None}
    limited = {**plain, "tx_max": 625_000_000, "tx_share": 125_000_000}
    assert function["mlx5"]["vfs"] == {"0": limited, "1": plain, "2": plain}
    assert facts.status["functions"]["netdevsim7"]["firmware"] == {"fw.mgmt": "10.20.30"}
    assert set(facts.status["functions"]["netdevsim7"]["representors"]) == {f"@pf0vf{n}.rep" for n in range(3)}


def test_parameters_by_name_where_devlink_does_not_list_them_all(host: Host) -> None:
    del host.answers["devlink -j dev param show"]
    value = {"cmode": "runtime", "value": "dmfs"}
    host.answers[f"devlink -j dev param show pci/{PF0} name flow_steering_mode"] = json.dumps(
        {"param": {f"pci/{PF0}": [{"name": "flow_steering_mode", "values": [value]}]}}
    )
    functions = host.read({"pci": PF0}).config["functions"]
    assert [functions[name]["mlx5"]["steering_mode"] for name in (PF0, PF1)] == ["dmfs", None]
