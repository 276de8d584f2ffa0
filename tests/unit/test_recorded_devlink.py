# SPDX-License-Identifier: Apache-2.0
"""What devlink, ip and ethtool print is read right, with all of its traps: recorded, and as written for mlx5.

tests/recorded/iproute2 says how it was recorded. netdevsim has no SFs, no addresses of functions and no inline mode: of
these the documents below have the shape that vendors show.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_recorded_iproute2 import RECORDED, every, said, text
from tether_hw.nic.functions import devlink
from tether_hw.nic.functions.devlink import Eswitch, Info, Port, Rate

pytestmark = pytest.mark.unit
SIM = "netdevsim/netdevsim7"


@every
def test_modes_of_the_switch(version: str) -> None:
    for name, mode in (
        ("eswitch-legacy", "legacy"),
        ("eswitch-switchdev", "switchdev"),
        ("eswitch-reload-failed", "legacy"),
        ("eswitch-after-reload", "legacy"),  # a reload drops switchdev
    ):
        assert devlink.eswitch(text(version, name + ".json"), SIM) == Eswitch(mode)
    words, code = said(version, "eswitch-inline.txt")
    assert code == 1 and "Operation not supported" in words
    assert not (RECORDED / version / "eswitch-set.txt.err").exists()


@pytest.mark.pain(21)
@every
def test_ports_and_what_stands_for_vfs(version: str) -> None:
    found = devlink.ports(text(version, "port-show.json"))
    assert [(one.flavour, one.index) for one in found] == [
        ("physical", 0),
        ("physical", 1),
        ("pcivf", 128),
        ("pcivf", 129),
        ("pcivf", 130),
    ]
    assert {one.device for one in found} == {SIM}
    names = devlink.representors(found, SIM)
    assert sorted(names) == ["@pf0vf0.rep", "@pf0vf1.rep", "@pf0vf2.rep"]
    assert devlink.representors(found, "pci/0000:08:00.0") == {}
    for name in ("port-show-legacy", "port-show-after-reload"):  # a reload drops the VFs too
        assert [one.flavour for one in devlink.ports(text(version, name + ".json"))] == ["physical", "physical"]
    assert devlink.ports(text(version, "port-show-reload-failed.json")) == []


@every
def test_a_reload_that_failed_is_seen(version: str) -> None:
    assert not devlink.reload_failed(text(version, "dev-show.json"), SIM)
    assert devlink.reload_failed(text(version, "dev-show-reload-failed.json"), SIM)
    assert said(version, "reload-failed.txt")[1] == 1
    assert not devlink.reload_failed(text(version, "options-together.txt"), SIM)  # -jp is fine with devlink


@every
def test_versions_and_params(version: str) -> None:
    firmware = {"fw.mgmt": "10.20.30"}
    found = devlink.info(text(version, "dev-info.json"), SIM)
    assert found == Info("netdevsim", running=firmware, stored=firmware)
    for name, value in (("param-show", "32"), ("param-show-set", "16")):
        assert devlink.params(text(version, name + ".json"), SIM) == {"max_macs": {"driverinit": value}}
    assert devlink.params(text(version, "param-show-all.json"), SIM)["test1"] == {"driverinit": "true"}
    assert not (RECORDED / version / "param-set.txt.err").exists()


@every
def test_rates_are_bytes_and_may_be_set_in_part(version: str) -> None:
    words, code = said(version, "rate-partial.txt")
    assert code == 1 and "exceed link maximum speed" in words
    partial = devlink.rates(text(version, "rate-after-partial.json"))
    assert partial == {SIM + "/128": Rate("leaf", tx_share=125_000_000)}  # what came before the refusal stays
    found = devlink.rates(text(version, "rate-show.json"))
    assert found[SIM + "/128"] == Rate("leaf", 125_000_000, 625_000_000, "grp1")
    assert found[SIM + "/grp1"] == Rate("node", 125_000_000)
    assert found[SIM + "/129"] == Rate("leaf")
    assert "not found" in said(version, "rate-command.txt")[0]  # it is `port function rate`
    assert not (RECORDED / version / "rate-set.txt.err").exists()


@every
def test_health_is_shown_of_all_devices_only(version: str) -> None:
    assert devlink.health(text(version, "health-show.json"), SIM) == {"empty": "healthy", "dummy": "healthy"}
    assert said(version, "health-show-device.txt")[1] == 1
    assert devlink.health(text(version, "health-show-device.txt"), SIM) == {}


@every
def test_what_devlink_says_no_to(version: str) -> None:
    for name in ("port-function-set.txt", "port-add-sf.txt", "port-function-show.json"):
        words, code = said(version, name)
        assert code != 0 and words
    # There is no such command; what it prints instead is an empty line.
    assert devlink.ports(text(version, "port-function-show.json")) == []


@pytest.mark.pain(10)
@every
def test_vfs_change_through_none(version: str) -> None:
    assert "busy" in said(version, "vfs-again.txt")[0]
    assert said(version, "vfs-over.txt")[1] == 1


@every
def test_ip_shortens_the_switch_id(version: str) -> None:
    (link,) = json.loads(text(version, "link.json"))
    whole = text(version, "phys-switch-id.txt").strip()
    assert whole.startswith(link["phys_switch_id"]) and len(whole) - len(link["phys_switch_id"]) == 2
    (representor,) = json.loads(text(version, "link-representor.json"))
    assert (link["phys_port_name"], representor["phys_port_name"]) == ("p1", "pf0vf0")
    assert [vf["vf"] for vf in link["vfinfo_list"]] == [0, 1, 2] and "vfinfo_list" not in representor


@every
def test_a_device_without_offload_statistics_has_none(version: str) -> None:
    (one,) = json.loads(text(version, "stats-cpu-hit.json"))
    assert "stats64" not in one


def test_ethtool_has_no_json_for_some() -> None:
    for what in ("l", "n", "g", "c"):
        assert said("6.1", f"ethtool-json-{what}.txt")[1] == 1
    for what in ("k", "a"):
        assert json.loads(text("6.1", f"ethtool-json-{what}.txt"))[0]["ifname"]
        assert text("6.1", f"ethtool-{what}.txt")
    assert "Combined:\t4" in text("6.1", "ethtool-l.txt")
    assert "hw-tc-offload: off" in text("6.1", "ethtool-k.txt")
    assert said("6.1", "ethtool-n.txt")[0]  # netdevsim has no filters


MLX5 = {
    "port": {
        "pci/0000:08:00.0/65535": {"type": "eth", "netdev": "p0", "flavour": "physical", "port": 0},
        "pci/0000:08:00.0/1": {
            "type": "eth",
            "netdev": "eth4",
            "flavour": "pcivf",
            "controller": 0,
            "pfnum": 0,
            "vfnum": 0,
            "external": False,
            "function": {"hw_addr": "02:00:00:00:00:01", "roce": "enable"},
        },
        "pci/0000:08:00.0/32768": {
            "type": "eth",
            "netdev": "eth5",
            "flavour": "pcisf",
            "controller": 0,
            "pfnum": 0,
            "sfnum": 88,
            "function": {"hw_addr": "02:00:00:00:00:02", "state": "active", "opstate": "attached"},
        },
        "pci/0000:03:00.0/2": {
            "type": "eth",
            "netdev": "pf0vf0",
            "flavour": "pcivf",
            "controller": 1,
            "pfnum": 0,
            "vfnum": 0,
            "external": True,
        },
        "pci/0000:08:00.1/3": {"type": "notset", "flavour": "pcisf", "controller": 0, "pfnum": 1, "sfnum": 7},
    }
}


@pytest.mark.pain(21)
def test_what_mlx5_adds() -> None:
    found = devlink.ports(json.dumps(MLX5))
    assert devlink.representors(found, "pci/0000:08:00.0") == {"@pf0vf0.rep": "eth4", "@pf0sf88.rep": "eth5"}
    assert devlink.representors(found, "pci/0000:03:00.0") == {"@c1pf0vf0.rep": "pf0vf0"}
    assert devlink.representors(found, "pci/0000:08:00.1") == {}  # no device yet
    assert found[2] == Port(
        "pci/0000:08:00.0/32768", "pcisf", "eth5", 0, False, 0, 88, "02:00:00:00:00:02", "active", "attached"
    )
    mode = {"dev": {"pci/0000:08:00.0": {"mode": "switchdev", "inline-mode": "none", "encap-mode": "basic"}}}
    assert devlink.eswitch(json.dumps(mode), "pci/0000:08:00.0") == Eswitch("switchdev", "none", "basic")
    fixed = {"fw.psid": "MT_0000000834"}
    told = {"driver": "mlx5_core", "serial_number": "MT2235X00001", "versions": {"fixed": fixed, "running": {}}}
    assert devlink.info(json.dumps({"info": {"pci/0000:08:00.0": told}}), "pci/0000:08:00.0").fixed == fixed


words = st.sampled_from(["dev", "port", "param", "rate", "info", "health", SIM, "values", "versions", "function"])
documents = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=12,
)


@given(st.text(max_size=80) | documents.map(json.dumps))
def test_no_output_breaks_the_readers(output: str) -> None:
    assert isinstance(devlink.ports(output), list)
    assert isinstance(devlink.rates(output), dict)
    for read in (devlink.eswitch, devlink.info, devlink.params, devlink.health, devlink.reload_failed):
        read(output, SIM)
