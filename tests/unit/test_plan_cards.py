# SPDX-License-Identifier: Apache-2.0
"""Steps of cards: effect, undo and what holds afterwards; their order; what no host carries out."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.support import fleet_facts
from tests.support.plan_steps import (
    CARD,
    CARD_SAMPLES,
    LANE_RULE,
    OWN,
    PF0,
    PF1,
    PLACE,
    TO_VF,
    TO_VF_PLACE,
    carded,
    clean,
)
from tether_hw.plan.effects import Condition, fold
from tether_hw.plan.facts import Facts, differences
from tether_hw.plan.kinds.base import StepData, make_step
from tether_hw.plan.kinds.ddp_package import DdpPackage
from tether_hw.plan.kinds.nic_driver import NicDriver
from tether_hw.plan.kinds.nic_mtu import NicMtu
from tether_hw.plan.kinds.nic_queues import NicQueues
from tether_hw.plan.kinds.nic_ring import NicRing
from tether_hw.plan.kinds.nic_rules_flower import NicRulesFlower
from tether_hw.plan.kinds.nic_rules_ntuple import NicRulesNtuple
from tether_hw.plan.kinds.registry import parse_data
from tether_hw.plan.order import in_order
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import ShapeError
from tether_hw.plan.step import Step
from tether_hw.plan.verbs import FactsRequest


def sampled(kind: type[StepData], action: str | None = None) -> dict[str, Any]:
    found = (data for data in CARD_SAMPLES if isinstance(data, kind))
    return next(data.to_dict() for data in found if action is None or data.to_dict()["action"] == action)


NTUPLE, FLOWER = sampled(NicRulesNtuple), sampled(NicRulesFlower)
UNBIND, BIND = sampled(NicDriver, "unbind"), sampled(NicDriver, "bind")
FILE = sampled(DdpPackage)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("nic_rules_ntuple", {**NTUPLE, "device": "a/b"}),
        ("nic_rules_ntuple", {**NTUPLE, "function": "17:00.0"}),
        ("nic_rules_ntuple", {**NTUPLE, "gone": ["16382"]}),
        ("nic_rules_ntuple", {**NTUPLE, "gone": ["7", "7"]}),
        ("nic_rules_ntuple", {**NTUPLE, "gone": ["-1"]}),
        ("nic_rules_ntuple", {**NTUPLE, "put": {"x": LANE_RULE.document()}}),
        ("nic_rules_ntuple", {**NTUPLE, "put": {"1": TO_VF.document()}}),
        ("nic_rules_ntuple", {**NTUPLE, "put": {"1": {"other": "TCP over IPv4"}}}),
        ("nic_rules_ntuple", {**NTUPLE, "put": {"1": {**LANE_RULE.document(), "name": "x"}}}),
        ("nic_rules_flower", {**FLOWER, "put": {"1205/88b50001": TO_VF.document()}}),
        ("nic_rules_flower", {**FLOWER, "put": {"10/1": LANE_RULE.document()}}),
        ("nic_rules_flower", {**FLOWER, "put": {TO_VF_PLACE: {**TO_VF.document(), "target": "*"}}}),
        ("nic_rules_flower", {**FLOWER, "put": {TO_VF_PLACE: {**TO_VF.document(), "target": "@x.rep"}}}),
        ("nic_rules_flower", {**FLOWER, "gone": ["10/1"]}),
        ("nic_rules_flower", {**FLOWER, "gone": [TO_VF_PLACE]}),
        ("nic_rules_flower", {**FLOWER, "hook": False}),
        ("nic_vfs", {"function": PF0, "count": -1}),
        ("nic_vfs", {"function": PF0, "count": 257}),
        ("nic_eswitch", {"function": PF0, "mode": "switch"}),
        ("nic_driver", {**UNBIND, "functions": []}),
        ("nic_driver", {**UNBIND, "functions": [PF1, PF0]}),
        ("nic_driver", {**UNBIND, "keep": BIND["keep"]}),
        ("nic_driver", {**UNBIND, "package": OWN}),
        ("nic_driver", {**UNBIND, "safe_mode": True}),
        ("nic_driver", {**UNBIND, "driver": "../ice"}),
        ("nic_driver", {**UNBIND, "action": "bind"}),
        ("nic_driver", {**BIND, "safe_mode": True}),
        ("nic_driver", {**BIND, "keep": {**BIND["keep"], PF0: {**BIND["keep"][PF0], "device": "a b"}}}),
        ("ddp_package", {**FILE, "path": "/etc/passwd"}),
        ("ddp_package", {**FILE, "path": PLACE[:-4]}),
        ("ddp_package", {**FILE, "path": "/lib/../intel/ice/ddp/x.pkg"}),
        ("ddp_package", {**FILE, "path": "lib/intel/ice/ddp/x.pkg"}),
        ("ddp_package", {**FILE, "card": "x"}),
        ("ddp_package", {**FILE, "initramfs": "sh"}),
    ],
)
def test_data_that_no_host_carries_out(kind: str, data: dict[str, Any]) -> None:
    with pytest.raises(ShapeError):
        parse_data(kind, data)


@pytest.mark.parametrize("data", CARD_SAMPLES, ids=lambda data: data.kind)
def test_effect_holds_and_undo(data: StepData) -> None:
    for config in (clean(), carded().config):
        after = fold(config, data.effect(config))
        assert data.holds(after)
        assert all(Condition(change.path, change.after).holds(after) for change in data.effect(config))
        step = make_step(data, config, HostPaths(), 1, "a", None)
        assert Step.parse(json.loads(json.dumps(step.to_dict()))) == step
        back = data.undo(config)
        if isinstance(back, str):
            assert data == NicDriver.unbinding(config, CARD)
            assert back == f"what a new driver does not bring back: {PF0} with rules"
        elif isinstance(data, NicDriver) and data.action == "bind":
            assert back == NicDriver.unbinding(config, CARD)
        else:
            assert parse_data(data.kind, json.loads(json.dumps(back.to_dict()))) == back
            assert differences(config, fold(after, back.effect(after))) == []


def test_steps_run_in_the_order_that_ice_wants() -> None:
    steps: list[StepData] = [
        *CARD_SAMPLES,
        NicMtu("data0", 3000),
        NicRing("eth1", {"rx": 4096, "tx": 4096}),
        NicQueues("eth1", {"combined": 8}),
    ]
    pairs: list[tuple[str | None, StepData]] = [(None, data) for data in reversed(steps)]
    assert [data.summary(clean()) for _, data in in_order(pairs)] == [
        "eth1: ethtool rules -1",
        "eth1: tc rules -1",
        f"{PF0}: VFs 0 -> 0",
        f"{PF0}: eswitch legacy -> legacy",
        f"card {CARD}: driver ice off 2 functions",
        f"{PLACE} absent -> absent",
        f"{PLACE} absent -> 222222222222",
        f"card {CARD}: driver ice on 2 functions, package Own 1.0.0.1",
        f"{PF0}: eswitch legacy -> switchdev",
        f"{PF0}: VFs 0 -> 4",
        "eth1: queues 16 combined -> 8 combined",
        "eth1: ring rx 2048 tx 256 -> rx 4096 tx 4096",
        "data0: MTU 1500 -> 3000",
        "eth1: ethtool rules +1 -2",
        "eth1: tc rules +1 -1",
    ]


def test_a_package_is_replaced_and_taken_back_in_two_driver_steps() -> None:
    config = folded = clean()
    undos = []
    steps: list[StepData] = [
        NicDriver.unbinding(config, CARD),
        DdpPackage(CARD, PLACE, "2" * 64, None),
        NicDriver.binding(config, CARD, OWN, queues={"eth2": {"combined": 4}}),
    ]
    for data in steps:
        undos.append(data.undo(folded))
        folded = fold(folded, data.effect(folded))
    assert {".".join(item["path"]) for item in differences(config, folded)} == {
        f"cards.{CARD}.package.name",
        f"cards.{CARD}.package.version",
        f"cards.{CARD}.files.{PLACE}",
        "nics.eth2.queues.combined",
    }
    for undo in reversed(undos):
        assert not isinstance(undo, str)
        folded = fold(folded, undo.effect(folded))
    assert differences(config, folded) == []


def test_out_of_safe_mode_there_are_filters_again() -> None:
    function = {"ntuple": None, "flower": None}
    config = fleet_facts.merge(
        clean(),
        {"functions": {PF0: function, PF1: function}, "cards": {CARD: {"package": None, "safe_mode": True}}},
    )
    bind = NicDriver.binding(config, CARD, OWN, queues={"eth1": {"combined": 8}})
    after = fold(config, bind.effect(config))
    assert after["functions"][PF0]["ntuple"] == {"on": True, "rules": {}}
    assert after["nics"]["eth1"]["queues"] == {"combined": 8}
    step = make_step(bind, config, HostPaths("/"), 3, "a", None)
    # Without a driver there is no device whose queues could be looked at, only afterwards.
    assert not any(condition.path[0] == "nics" for condition in step.pre)
    assert ("nics", "eth1", "queues") in [condition.path for condition in step.post]
    back = NicDriver.unbinding(config, CARD).undo(config)
    assert isinstance(back, NicDriver)
    assert (back.package, back.safe_mode, back.keep[PF0].ntuple) == (None, True, None)


def test_a_file_without_a_serial_is_every_cards() -> None:
    both = fleet_facts.merge(clean(), {"cards": {"0" * 16: clean()["cards"][CARD]}})
    path = fleet_facts.FIRMWARE.format("", "ice")
    changed = DdpPackage(CARD, path, "3" * 64, None).changes(both)
    assert sorted(changed) == [("cards", card, "files", path) for card in sorted(("0" * 16, CARD))]


def test_rules_of_others_stay_and_are_never_undone_into() -> None:
    now = {"16382": LANE_RULE.document(), "4": {"other": "TCP over IPv4"}, "9": LANE_RULE.document()}
    step = NicRulesNtuple.between(PF0, "eth1", now, ["16382"], {"16383": LANE_RULE.document()})
    assert (set(step.put), step.gone) == ({"16383"}, ("16382",))
    config = fleet_facts.merge(clean(), {"functions": {PF0: {"ntuple": {"on": True, "rules": now}}}})
    assert set(step.changes(config)[("functions", PF0, "ntuple")]["rules"]) == {"16383", "4", "9"}
    over = NicRulesNtuple(PF0, "eth1", True, {"4": LANE_RULE.document()}, ())
    assert over.undo(config) == "what is at 4 cannot be set again as it is"
    same = NicRulesNtuple.between(PF0, "eth1", now, ["16382"], {"16382": LANE_RULE.document()})
    assert same.holds(config)


def test_commands_are_in_an_order_that_the_kernel_takes() -> None:
    paths = HostPaths()
    there = {"1205/88b50000": LANE_RULE.document(), "10/1": {"other": "u32"}}
    put = NicRulesFlower.between(PF0, "eth1", there, [TO_VF])
    assert [" ".join(argv) for argv in put.argv(paths)] == [
        "ethtool -K eth1 hw-tc-offload on",
        "tc qdisc add dev eth1 clsact",
        "tc filter del dev eth1 ingress protocol 0x88b5 pref 1205 handle 0x88b50000 flower",
        "tc filter replace dev eth1 ingress protocol 802.1q pref 1206 handle 0x88b50001 flower vlan_id 7 vlan_ethtype "
        "0x88b5 src_mac 02:00:00:00:00:00/ff:ff:ff:00:00:00 action mirred egress redirect dev @pf0vf2.rep",
    ]
    off = NicRulesFlower.between(PF0, "eth1", {TO_VF_PLACE: TO_VF.document()}, [], hook=False, offload=False)
    assert [" ".join(argv[:3]) for argv in off.argv(paths)] == ["tc filter del", "tc qdisc del", "ethtool -K eth1"]
    bind = NicDriver.binding(clean(), CARD, None, safe_mode=True).argv(paths)
    assert [" ".join(argv) for argv in bind][:7] == [
        "modprobe ice",
        f"echo {PF0} > /sys/bus/pci/drivers/ice/bind",
        f"echo {PF1} > /sys/bus/pci/drivers/ice/bind",
        "ethtool -L eth1 combined 16",
        "ethtool -G eth1 rx 2048 tx 256",
        "ip link set dev eth1 mtu 1500",
        "ethtool -K eth1 hw-tc-offload off",
    ]


def test_tables_of_facts_agree_with_each_other() -> None:
    document = carded().to_dict()
    for path, value in (
        (("config", "functions", PF0, "device"), "eth9"),
        (("config", "functions", PF0, "card"), "0" * 16),
        (("config", "cards", CARD, "files", PLACE + ".xz"), None),
        (("status", "functions"), {}),
        (("status", "cards"), {}),
    ):
        changed = copy.deepcopy(document)
        place: Any = changed
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = value
        with pytest.raises(ShapeError, match=r"is none of|are not the"):
            Facts.parse(changed)


def test_a_redirect_that_lost_its_device_is_a_fact() -> None:
    rules = {TO_VF_PLACE: {**TO_VF.document(), "target": "*"}}
    document = carded().to_dict()
    document["config"]["functions"][PF0]["flower"]["rules"] = rules
    assert Facts.parse(document).config["functions"][PF0]["flower"]["rules"] == rules


def test_selectors() -> None:
    ask = {"host": "a", "devices": [{"serial": CARD, "port": 1}, {"pci": PF0}], "nv": []}
    assert FactsRequest.parse(ask).to_dict() == ask
    for wrong in ({"serial": "00-11", "port": 0}, {"serial": CARD}, {"serial": CARD, "port": 0, "pci": PF0}):
        with pytest.raises(ShapeError):
            FactsRequest.parse({"host": "a", "devices": [wrong], "nv": []})
