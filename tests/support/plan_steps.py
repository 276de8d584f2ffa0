# SPDX-License-Identifier: Apache-2.0
"""Steps and facts of a card, for tests of what crosses between controller and host."""

from __future__ import annotations

from typing import Any

from tests.support import fleet_facts
from tether_hw.plan.facts import Facts
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.ddp_package import DdpPackage
from tether_hw.plan.kinds.nic_driver import NicDriver
from tether_hw.plan.kinds.nic_eswitch import NicEswitch
from tether_hw.plan.kinds.nic_rules_flower import NicRulesFlower
from tether_hw.plan.kinds.nic_rules_ntuple import NicRulesNtuple
from tether_hw.plan.kinds.nic_vfs import NicVfs
from tether_hw.plan.rule import MacMatch, Rule
from tether_hw.plan.rules_table import flower_place

CARD = fleet_facts.CARD
PF0, PF1 = "0000:17:00.0", "0000:17:00.1"
PLACE = fleet_facts.FIRMWARE.format("updates/", f"ice-{CARD}")
OWN = {"name": "Own", "version": "1.0.0.1"}
LANE_RULE = Rule("lane0", "eth1", 0, "queue", destination=MacMatch("02:00:00:00:00:12"), queue=3)
TO_VF = Rule(
    name="vm",
    device="eth1",
    number=1,
    action="redirect",
    vlan=7,
    source=MacMatch("02:00:00:00:00:00", "ff:ff:ff:00:00:00"),
    target="@pf0vf2.rep",
    offload="preferred",
)
TO_VF_PLACE = flower_place(TO_VF)


def clean() -> dict[str, Any]:
    """The config of a host with a card that nobody has touched, and a veth."""
    devices = {"data0": "veth", "eth1": "ice", "eth2": "ice"}
    return fleet_facts.facts("a", devices, *fleet_facts.card()).config


def carded() -> Facts:
    """The same with rules of ours and of others."""
    ntuple = {"on": True, "rules": {"16382": LANE_RULE.document(), "4": {"other": "TCP over IPv4"}}}
    flower = {"hook": True, "offload": True, "rules": {"10/1": {"other": "u32"}, TO_VF_PLACE: TO_VF.document()}}
    config, status = fleet_facts.card(
        {"functions": {PF0: {"ntuple": ntuple, "flower": flower}}},
        {"functions": {PF0: {"vf_drivers": {"0": "iavf"}, "representors": {"@pf0vf0.rep": "eth3"}}}},
    )
    return fleet_facts.facts("a", {"data0": "veth", "eth1": "ice", "eth2": "ice"}, config, status)


CARD_SAMPLES: list[StepData] = [
    NicRulesNtuple(PF0, "eth1", True, {"16382": LANE_RULE.document()}, ("16383", "7")),
    NicRulesNtuple(PF0, "eth1", False, {}, ("16382",)),
    NicRulesFlower(PF0, "eth1", True, True, {TO_VF_PLACE: TO_VF.document()}, ("1205/88b50000",)),
    NicRulesFlower(PF0, "eth1", False, False, {}, (TO_VF_PLACE,)),
    NicVfs(PF0, 4),
    NicVfs(PF0, 0),
    NicEswitch(PF0, "switchdev"),
    NicEswitch(PF0, "legacy"),
    NicDriver.unbinding(clean(), CARD),
    NicDriver.binding(clean(), CARD, OWN),
    DdpPackage(CARD, PLACE, "2" * 64, "update-initramfs"),
    DdpPackage(CARD, PLACE, None, None),
]
