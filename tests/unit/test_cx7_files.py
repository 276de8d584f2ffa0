# SPDX-License-Identifier: Apache-2.0
"""The files of ConnectX ports and simulated devices: what is in them, and that nothing else can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import facts_cx7, fleet_facts
from tests.support.cases import key_of
from tests.support.laws import loaded
from tether_hw.errors import HostRefused, InputErrors, Problem
from tether_hw.fleet import source
from tether_hw.fleet.files import host_files
from tether_hw.nic.cx7.grammar import FileError, check_file
from tether_hw.nic.cx7.render import flex_item
from tether_hw.nic.steering import grammar
from tether_hw.plan.facts import Facts
from tether_hw.transport.protocol.header import Header

pytestmark = pytest.mark.unit
MAC = "02:00:00:00:08:01"


def card() -> Facts:
    config, status = facts_cx7.card(status={"kernel_config": {"MLX5_SF": "y"}})
    selectors = [{"selector": {"pci": facts_cx7.PF0}, "device": "cx0", "function": facts_cx7.PF0}]
    config = fleet_facts.merge(config, {"keys": {"node": key_of("a")}})
    return fleet_facts.facts("a", {"cx0": "mlx5_core", "cx1": "mlx5_core"}, config, status, selectors)


def files(folder: Path, nic: dict[str, Any], facts: Facts | None, *, lanes: bool = False) -> dict[str, str]:
    whole = {"family": "cx7", "device": {"pci": facts_cx7.PF0}, **nic}
    document: dict[str, Any] = {"tether": 1, "hosts": {"a": {"address": "192.0.2.1", "nics": {"data0": whole}}}}
    if lanes:
        document["links"] = {"fabric0": {"members": ["a.data0"]}}
    return host_files(loaded(document, folder), "a", facts, fleet_facts.setting())


@pytest.mark.pain(20, 21)
def test_the_files_of_the_kernel(tmp_path: Path) -> None:
    rule = {"name": "vm", "match": {"destination": "02:00:00:00:01:00"}, "action": {"redirect": {"vf": 1}}}
    nic = {
        "steering_mode": "dmfs",
        "eswitch": "switchdev",
        "encap": "none",
        "vfs": [{"address": MAC, "tx_max": "1Gbit"}, {}],
        "sfs": [{"number": 88}],
        "nv": {"SRIOV_EN": True, "NUM_OF_VFS": 16},
        "queues": 4,
        "lanes": {"queues": [0, 1]},
        "steering": {"rules": [rule]},
    }
    made = files(tmp_path, nic, card(), lanes=True)
    assert made["data0.mlxconfig"] == "-d 0000:08:00.0 -y set NUM_OF_VFS=16 SRIOV_EN=1\n"
    assert made["data0.devlink"].splitlines() == [
        "dev param set pci/0000:08:00.0 name flow_steering_mode value dmfs cmode runtime",
        "dev eswitch set pci/0000:08:00.0 mode switchdev encap-mode none",
        "port add pci/0000:08:00.0 flavour pcisf pfnum 0 sfnum 88",
        "port function set pci/0000:08:00.0/@sf88 state active",
        f"port function set pci/0000:08:00.0/@vf0 hw_addr {MAC}",
        "port function rate set pci/0000:08:00.0/@vf0 tx_max 1000000000bit",
    ]
    assert [verb for verb, _ in grammar.tc_batch(made["data0.tc"])] == ["qdisc", "replace"]
    assert len(made["data0.ethtool"].splitlines()) == 2
    assert 'ATTR{phys_port_name}=="pf0vf1", NAME="data0-v1r"' in made["data0.rules"]
    assert made["data0.rules"].count('ENV{NM_UNMANAGED}="1"') == 4
    assert f"unmanaged-devices+=mac:{MAC};interface-name:data0-v0r" in made["data0.conf"]
    assert made["data0.network"].endswith("[Link]\nUnmanaged=yes\n")
    assert f"MACAddress={MAC}\n\n[Link]\nName=data0-v0\n" in made["data0-v0.link"]


def test_attributes_in_legacy_go_through_the_netdev(tmp_path: Path) -> None:
    made = files(tmp_path, {"vfs": [{"address": MAC, "tx_max": "1Gbit"}]}, card())
    assert made["data0.ip"] == f"link set dev cx0 vf 0 mac {MAC} max_tx_rate 1000\n"
    assert "data0.devlink" not in made


def test_the_files_of_dpdk(tmp_path: Path) -> None:
    made = files(tmp_path, {"mode": "dpdk", "lanes": {"queues": [0, 3]}}, None, lanes=True)
    assert made["data0.args"] == "-a 0000:08:00.0,dv_flow_en=1\n-- --rxq=4 --txq=4 --flow-isolate-all\n"
    assert made["data0.testpmd"].count("queue index") == 2
    item = json.loads(made["data0-flex.json"])
    assert item == flex_item()
    # The PMD refuses a fixed header whose length is in field_size.
    assert item["next_header"] == {"field_mode": "FIELD_MODE_FIXED", "field_base": 512}
    assert item["input_link"] == [{"item": "eth type is 0x88b5"}]
    assert "set flex_pattern 1 spec 01000000 mask ff000000\n" in made["data0-flex.testpmd"]
    assert "flex item is 0 pattern is 1 / end actions queue index 3 / end\n" in made["data0-flex.testpmd"]
    assert "FLEX_PARSER_PROFILE_ENABLE, PROG_PARSE_GRAPH are missing" in made["data0.dpdk.txt"]
    assert "engine.json" not in made


def test_the_flex_item_looks_at_the_lane_of_the_channel() -> None:
    """Channel's low byte is the receiver's lane (RFC, section 3), and stands at byte 4."""
    frame = Header(channel=0x0000_0307).encode()
    sample = flex_item()["sample_data"][0]
    at = sample["field_base"] // 8
    assert frame[at] == 0x07
    assert sample["field_size"] == 32


def test_what_is_not_known_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(HostRefused, match="its PCI address is not known"):
        files(tmp_path, {"device": {"mac": MAC}, "mode": "dpdk", "lanes": {"queues": [0]}}, None, lanes=True)


def test_a_rule_that_cannot_be_is_not_rendered(tmp_path: Path) -> None:
    rule = {"name": "vm", "match": {"destination": "02:00:00:00:01:00"}, "action": {"redirect": {"vf": 1}}}
    with pytest.raises(HostRefused, match="VF 1, there are 0"):
        files(tmp_path, {"eswitch": "switchdev", "steering": {"rules": [rule]}}, card())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data0.devlink", "dev eswitch set pci/0000:08:00.0 mode switchdev; reboot\n"),
        ("data0.devlink", "dev reload pci/0000:08:00.0\n"),
        ("data0.mlxconfig", "-d 0000:08:00.0 -y set A=1 reset\n"),
        ("data0.mlxconfig", "-d 0000:08:00.0 -y reset\n"),
        ("data0.ip", f"link set dev cx0 vf 0 mac {MAC}\nlink del dev cx0\n"),
        ("data0.rules", 'ACTION=="add", SUBSYSTEM=="net", RUN+="/bin/sh -c reboot"\n'),
        ("data0.rules", 'ACTION=="add", SUBSYSTEM=="net", KERNELS=="x", ATTR{phys_port_name}=="p0", NAME="eth0"\n'),
        ("data0.conf", "[keyfile]\nunmanaged-devices+=*\n"),
        ("data0.network", "[Match]\nName=*\n"),
        ("data0-v0.link", "[Match]\nMACAddress=*\n"),
        ("data0.testpmd", "quit\n"),
        ("data0.args", "-a 0000:08:00.0,dv_flow_en=1 --vdev=net_tap\n"),
        ("data0.other", "\n"),
        ("data0.devlink", "dev eswitch set pci/0000:08:00.0 mode switchdev"),
    ],
)
def test_a_line_that_does_not_belong_there(name: str, text: str) -> None:
    with pytest.raises(FileError):
        check_file(name, text)


WORDS = st.text(st.sampled_from("ab0:;|&$`'\"\\\n\r\t {}[]=*/#-é"), min_size=1, max_size=12)


@given(word=WORDS, place=st.sampled_from(["name", "nv key", "nv value", "address", "psid", "devlink", "rule"]))
def test_what_people_write_is_refused_or_inert(tmp_path_factory: pytest.TempPathFactory, word: str, place: str) -> None:
    folder = tmp_path_factory.mktemp("injection")
    nic: dict[str, Any] = {
        "family": "cx7",
        "device": {"pci": facts_cx7.PF0},
        "eswitch": "switchdev",
        "vfs": [{"address": MAC}],
    }
    name = word if place == "name" else "data0"
    if place == "nv key":
        nic["nv"] = {word: "1"}
    elif place == "nv value":
        nic["nv"] = {"SRIOV_EN": word}
    elif place == "address":
        nic["vfs"] = [{"address": word}]
    elif place == "psid":
        nic["psid"] = word
    elif place == "devlink":
        nic["device"] = {"devlink": word}
    elif place == "rule":
        nic["steering"] = {"rules": [{"name": word, "match": {}, "action": "drop"}]}
    document = {"tether": 1, "hosts": {"a": {"address": "192.0.2.1", "nics": {name: nic}}}}
    try:
        inventory = loaded(document, folder)
    except InputErrors:
        return
    made = host_files(inventory, "a", card(), fleet_facts.setting())  # each file was read by its grammar
    assert all(text.endswith("\n") and text.isascii() for text in made.values())
    odd = set(";|&$`'\"\\\r\t{}*#") & set(word)
    assert not odd or all(word not in text for file, text in made.items())


@pytest.mark.parametrize("driver", ["mlx5_core", "netdevsim"])
def test_tables_fit_their_schema(driver: str) -> None:
    from tests.support.schema_check import mistakes
    from tether_hw.data import data_path
    from tether_hw.fleet.schemas import json_schema

    problems: list[Problem] = []
    tree = source.read(data_path("profiles") / "cx7" / f"{driver}.yaml", problems)
    assert mistakes(tree.plain(), json_schema("cx7-driver")) == []
    assert problems == []
    assert tree.plain()["driver"] == driver
