# SPDX-License-Identifier: Apache-2.0
"""The reader of ice's cards, from a sysfs of files and what the programs print."""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import fleet_facts
from tests.support.plan_steps import CARD, PF0, PF1, TO_VF, carded
from tether_hw.agent.errors import AgentError
from tether_hw.agent.sysfs import Sysfs
from tether_hw.cli.facts import facts_lines
from tether_hw.nic.e810 import read
from tether_hw.nic.functions.found import choose
from tether_hw.nic.steering import flower
from tether_hw.plan.facts import Facts

ETHTOOL_N = """16 RX rings available
Total 2 rules

Filter: 4
\tRule Type: TCP over IPv4
\tSrc IP addr: 0.0.0.0 mask: 255.255.255.255
\tAction: Direct to queue 1

Filter: 16382
\tFlow Type: Raw Ethernet
\tSrc MAC addr: 00:00:00:00:00:00 mask: FF:FF:FF:FF:FF:FF
\tDest MAC addr: 02:00:00:00:00:12 mask: 00:00:00:00:00:00
\tEthertype: 0x88B5 mask: 0x0
\tAction: Direct to queue 3
"""
MIRRED = {"order": 1, "kind": "mirred", "mirred_action": "redirect", "direction": "egress", "to_dev": "eth1_2"}
TC = [
    {"protocol": "802.1Q", "pref": 1206, "kind": "flower", "chain": 0},
    {
        "protocol": "802.1Q",
        "pref": 1206,
        "kind": "flower",
        "chain": 0,
        "options": {
            "handle": 0x88B50001,
            "keys": {"vlan_id": 7, "vlan_ethtype": "[34997]", "src_mac": "02:00:00:00:00:00/24"},
            "in_hw": True,
            "in_hw_count": 1,
            "actions": [MIRRED],
        },
    },
    {"protocol": "all", "pref": 10, "kind": "u32", "chain": 0},
    {"protocol": "all", "pref": 10, "kind": "u32", "chain": 0, "options": {"fh": "800:", "ht_divisor": 1}},
    {"protocol": "all", "pref": 10, "kind": "u32", "chain": 0, "options": {"fh": "800::800", "not_in_hw": True}},
    {
        "protocol": "[34997]",
        "pref": 10,
        "kind": "flower",
        "chain": 5,
        "options": {"handle": 1, "keys": {"eth_type": "88b5"}, "actions": [dict(MIRRED, to_dev="*")]},
    },
]


def serial_space(serial: str) -> bytes:
    """A configuration space with an error-reporting capability before the serial number."""
    space = bytearray(4096)
    space[0x100:0x104] = (0x0001 | 1 << 16 | 0x148 << 20).to_bytes(4, "little")
    space[0x148:0x14C] = (0x0003 | 1 << 16).to_bytes(4, "little")
    space[0x14C:0x154] = int(serial, 16).to_bytes(8, "little")
    return bytes(space)


class Host:
    """A host with one card of two functions, one VF on the first, and a card of somebody else."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.sysfs = Sysfs(str(folder / "sys"))
        self.answers: dict[str, str] = {}
        self.asked: list[str] = []
        for pci, name in ((PF0, "eth1"), (PF1, "eth2")):
            self.function(pci, name, "0x1592", serial_space(CARD))
            info = {
                "driver": "ice",
                "serial_number": "00-11-22-ff-ff-33-44-55",
                "versions": {
                    "running": {"fw.mgmt": "7.4.13", "fw.app.name": "ICE OS Default Package", "fw.app": "1.3.36.0"}
                },
            }
            self.answers[f"devlink -j dev info pci/{pci}"] = json.dumps({"info": {f"pci/{pci}": info}})
            self.answers[f"devlink -j dev eswitch show pci/{pci}"] = json.dumps(
                {"dev": {f"pci/{pci}": {"mode": "legacy"}}}
            )
            self.answers[f"ethtool -k {name}"] = (
                f"Features for {name}:\nrx-checksumming: on\nntuple-filters: on\nhw-tc-offload: off\n"
            )
            self.answers[f"ethtool -n {name}"] = "16 RX rings available\nTotal 0 rules\n"
            self.answers[f"ethtool -i {name}"] = f"driver: ice\nversion: 6.12.95-amd64\nbus-info: {pci}\n"
            self.answers[f"ethtool --show-priv-flags {name}"] = f"Private flags for {name}:\nfw-lldp-agent     : on\n"
            self.answers[f"tc -j qdisc show dev {name}"] = '[{"kind":"mq","handle":"0:","root":true,"options":{}}]\n'
        self.function("0000:01:00.0", "eno1", "0x1521", b"\0" * 4096, driver="igb")
        self.put("bus/pci/devices/0000:17:01.0/vendor", "0x8086")
        self.link("bus/pci/devices/0000:17:01.0/physfn", f"../{PF0}")
        self.link("bus/pci/devices/0000:17:01.0/driver", "../../../bus/pci/drivers/ice")
        self.answers["devlink -j port show"] = json.dumps(
            {
                "port": {
                    f"pci/{PF0}/0": {"flavour": "physical", "netdev": "eth1", "port": 0},
                    f"pci/{PF0}/66": {"flavour": "pcivf", "netdev": "eth1_2", "pfnum": 0, "vfnum": 2},
                    f"pci/{PF0}/67": {"flavour": "pcivf", "pfnum": 0, "vfnum": 3},
                }
            }
        )

    def put(self, path: str, content: str | bytes) -> None:
        place = self.root / "sys" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode() + b"\n")

    def link(self, path: str, target: str) -> None:
        place = self.root / "sys" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def function(self, pci: str, name: str, device: str, space: bytes, driver: str = "ice") -> None:
        place = f"bus/pci/devices/{pci}"
        for attribute, value in (
            ("vendor", "0x8086"),
            ("device", device),
            ("sriov_totalvfs", "128"),
            ("sriov_numvfs", "0"),
        ):
            self.put(f"{place}/{attribute}", value)
        self.put(f"{place}/config", space)
        self.link(f"{place}/driver", f"../../drivers/{driver}")
        self.put(f"{place}/net/{name}/mtu", "1500")
        self.put(f"class/net/{name}/phys_port_name", "p0")

    def unbind(self, pci: str) -> None:
        (self.root / "sys/bus/pci/devices" / pci / "driver").unlink()
        (self.root / "sys/bus/pci/devices" / pci / "net").rename(self.root / f"gone-{pci[-1]}")

    def run(self, argv: Sequence[str]) -> str | None:
        self.asked.append(" ".join(argv))
        return self.answers.get(" ".join(argv))

    def read(self, *selectors: dict[str, Any], functions: Sequence[str] = ()) -> dict[str, Any]:
        chosen = choose(read.find(self.sysfs), selectors, [], functions)
        return read.read(chosen, self.sysfs, self.run, str(self.root), "6.12.95-amd64")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def as_facts(found: dict[str, Any]) -> Facts:
    """The parts among the facts of a host, read as strictly as on the controller."""
    config = {"functions": found["functions"], "cards": found["cards"]}
    status = {"functions": found["function_status"], "cards": found["card_status"]}
    return fleet_facts.facts("a", {"eth1": "ice", "eth2": "ice"}, config, status)


def test_a_card_that_nobody_has_touched(host: Host) -> None:
    found = host.read({"pci": PF1})
    facts = as_facts(found)
    assert facts.config["functions"][PF0] == {
        "card": CARD,
        "driver": "ice",
        "device": "eth1",
        "eswitch": "legacy",
        "vfs": 0,
        "ntuple": {"on": True, "rules": {}},
        "flower": {"hook": False, "offload": False, "rules": {}},
        "mlx5": None,
    }
    assert set(facts.config["functions"]) == {PF0, PF1}
    assert facts.status["functions"][PF1]["port"] == 1
    assert facts.status["functions"][PF0] == {
        "port": 0,
        "vfs_max": 128,
        "vf_drivers": {},
        "ntuple_size": None,
        "driver_version": "6.12.95-amd64",
        "firmware": {"fw.mgmt": "7.4.13", "fw.app.name": "ICE OS Default Package", "fw.app": "1.3.36.0"},
        "representors": {"@pf0vf2.rep": "eth1_2"},
        "lldp": True,
        "rides_ssh": False,
        "psid": None,
        "nv_default": {},
    }
    assert facts.config["cards"][CARD]["package"] == {"name": "ICE OS Default Package", "version": "1.3.36.0"}


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ({"pci": PF0}, [PF0, PF1]),
        ({"serial": CARD, "port": 1}, [PF0, PF1]),
        ({"serial": CARD, "port": 2}, []),
        ({"serial": "0" * 16, "port": 0}, []),
        ({"pci": "0000:01:00.0"}, []),
        ({"pci": "0000:17:01.0"}, []),
        ({"name": "eth1"}, []),
    ],
)
def test_what_is_asked_for_brings_its_card(host: Host, selector: dict[str, Any], chosen: list[str]) -> None:
    found = read.find(host.sysfs)
    assert [one.function for one in choose(found, [selector], [], [])] == chosen
    assert [one.function for one in choose(found, [], ["eth2"], [])] == [PF0, PF1]
    assert [one.function for one in choose(found, [], [], [], [CARD])] == [PF0, PF1]


def test_a_host_without_a_card_asks_no_program(host: Host) -> None:
    assert host.read({"name": "eno1"})["functions"] == {}
    assert host.asked == []


def test_rules_of_both_tables(host: Host) -> None:
    host.answers["ethtool -n eth1"] = ETHTOOL_N
    host.answers["tc -j qdisc show dev eth1"] = '[{"kind":"clsact","handle":"ffff:"}]'
    host.answers["tc -s -j filter show dev eth1 ingress"] = json.dumps(TC)
    host.answers["ethtool -k eth1"] = "ntuple-filters: on\nhw-tc-offload: on\n"
    config = as_facts(host.read({"pci": PF0})).config["functions"][PF0]
    assert config["ntuple"]["rules"]["4"] == {"other": "TCP over IPv4 to queue None"}
    lane = config["ntuple"]["rules"]["16382"]
    assert (lane["action"], lane["queue"], lane["destination"]["address"]) == ("queue", 3, "02:00:00:00:00:12")
    assert config["flower"]["offload"]
    assert config["flower"]["rules"]["1206/88b50001"] == TO_VF.document()
    assert set(config["flower"]["rules"]) == {"1206/88b50001", "10/800800", "10/1.5"}
    assert "other" in config["flower"]["rules"]["10/800800"]
    assert (config["flower"]["rules"]["10/1.5"]["action"], config["flower"]["rules"]["10/1.5"]["chain"]) == (
        "redirect",
        5,
    )


def test_a_lost_target_is_told(host: Host) -> None:
    host.answers["tc -j qdisc show dev eth1"] = '[{"kind":"clsact","handle":"ffff:"}]'
    lost = json.dumps(TC).replace('"eth1_2"', '"*"')
    host.answers["tc -s -j filter show dev eth1 ingress"] = lost
    rules = as_facts(host.read({"pci": PF0})).config["functions"][PF0]["flower"]["rules"]
    assert rules["1206/88b50001"] == {**TO_VF.document(), "target": "*"}


def test_safe_mode_and_a_function_without_a_driver(host: Host) -> None:
    zeros = json.dumps({"info": {"x": {"versions": {"running": {"fw.app": "0.0.0.0"}}}}})
    host.answers[f"devlink -j dev info pci/{PF0}"] = zeros
    host.answers["ethtool -k eth1"] = "ntuple-filters: off [fixed]\nhw-tc-offload: off [fixed]\n"
    del host.answers["ethtool -n eth1"]
    facts = as_facts(host.read({"pci": PF0}))
    assert facts.config["functions"][PF0]["ntuple"] is None
    assert (facts.config["cards"][CARD]["safe_mode"], facts.config["cards"][CARD]["package"]) == (True, None)
    host.unbind(PF0)
    host.unbind(PF1)
    facts = as_facts(host.read(functions=[PF0]))
    for pci in (PF0, PF1):
        assert facts.config["functions"][pci] == {
            **dict.fromkeys(("driver", "device", "eswitch", "ntuple", "flower", "mlx5")),
            "card": CARD,
            "vfs": 0,
        }
    assert (facts.config["cards"][CARD]["safe_mode"], facts.config["cards"][CARD]["package"]) == (False, None)


def test_package_files_in_the_order_of_the_kernel(host: Host) -> None:
    base = host.root / "lib/firmware"
    placed = {
        "6.12.95-amd64/intel/ice/ddp/ice.pkg": b"release",
        "intel/ice/ddp/ice.pkg": b"usual",
        f"updates/intel/ice/ddp/ice-{CARD}.pkg": b"ours",
        "updates/intel/ice/ddp/ice.pkg.xz": lzma.compress(b"packed"),
    }
    for name, content in placed.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(content)
    host.put("module/firmware_class/parameters/path", "/srv/firmware")
    facts = as_facts(host.read({"pci": PF0}))
    search = facts.status["cards"][CARD]["search"]
    assert [path.removeprefix(str(host.root)) for path in search] == [
        f"/srv/firmware/intel/ice/ddp/ice-{CARD}.pkg",
        f"/lib/firmware/updates/intel/ice/ddp/ice-{CARD}.pkg",
        f"/lib/firmware/intel/ice/ddp/ice-{CARD}.pkg",
        "/srv/firmware/intel/ice/ddp/ice.pkg",
        "/lib/firmware/updates/intel/ice/ddp/ice.pkg",
        "/lib/firmware/6.12.95-amd64/intel/ice/ddp/ice.pkg",
        "/lib/firmware/intel/ice/ddp/ice.pkg",
        "/lib/firmware/updates/intel/ice/ddp/ice.pkg.xz",
    ]
    files = facts.config["cards"][CARD]["files"]
    assert files[search[1]] == hashlib.sha256(b"ours").hexdigest()
    assert [files[search[index]] for index in (0, 2, 3, 4)] == [None] * 4


def test_cards_are_told_to_people() -> None:
    lines = facts_lines(carded())
    at = lines.index(f"  card {CARD}: package ICE OS Default Package 1.3.36.0")
    assert lines[at + 1 : at + 3] == [
        "    0000:17:00.0 eth1: legacy, 0 VFs, 2 rules of ethtool, 2 rules of tc",
        "    0000:17:00.1 eth2: legacy, 0 VFs, 0 rules of ethtool, 0 rules of tc",
    ]


def test_a_representor_is_not_the_device_of_its_function(host: Host) -> None:
    host.put(f"bus/pci/devices/{PF0}/net/aaa0/mtu", "1500")
    host.put("class/net/aaa0/phys_port_name", "pf0vf2")
    assert read.uplink(host.sysfs, PF0) == "eth1"
    assert [one.device for one in read.find(host.sysfs)] == ["eth1", "eth2"]


@pytest.mark.parametrize("space", [b"", b"\0" * 64, b"\0" * 4096, b"\xff" * 4096, serial_space("0" * 16)])
def test_a_configuration_space_without_a_serial_number(space: bytes) -> None:
    assert read.serial(space) is None


def test_what_tc_prints_wrongly_is_an_error(host: Host) -> None:
    host.answers["tc -j qdisc show dev eth1"] = '[{"kind":"ingress","handle":"ffff:"}]'
    host.answers["tc -s -j filter show dev eth1 ingress"] = "filter protocol"
    with pytest.raises(flower.FlowerError):
        host.read({"pci": PF0})


def test_sysfs_says_what_the_kernel_said(host: Host) -> None:
    host.sysfs.write(f"bus/pci/devices/{PF0}/sriov_numvfs", "4")
    assert host.sysfs.read(f"bus/pci/devices/{PF0}/sriov_numvfs") == "4"
    with pytest.raises(AgentError, match=r"4 to .*/nowhere: No such file"):
        host.sysfs.write("nowhere", "4")
    assert (host.sysfs.read("nowhere"), host.sysfs.entries("nowhere"), host.sysfs.target("nowhere")) == (None, [], None)
