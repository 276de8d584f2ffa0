# SPDX-License-Identifier: Apache-2.0
"""Steps of a ConnectX-7 and of a device of netdevsim, for tests of what crosses between controller and host."""

from __future__ import annotations

from typing import Any

from tests.support import facts_cx7, fleet_facts
from tests.support.facts_cx7 import PF0, SIM
from tether_hw.nic.functions.lane import LaneAt
from tether_hw.nic.steering.lanes import from_function
from tether_hw.plan.facts import Facts
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.nic_eswitch import NicEswitch
from tether_hw.plan.kinds.nic_function import NicFunction
from tether_hw.plan.kinds.nic_nv import NicNv
from tether_hw.plan.kinds.nic_param import NicParam
from tether_hw.plan.kinds.nic_rules_port import NicRulesPort
from tether_hw.plan.kinds.nic_sf import NicSf
from tether_hw.plan.kinds.nic_vf_binding import NicVfBinding
from tether_hw.plan.kinds.nic_vfs import NicVfs

MAC = "02:00:00:00:08:01"
NV = {"SRIOV_EN": {"next": "0", "current": "0"}, "PF_TOTAL_SF": {"next": "0", "current": "0"}}


def carded(config: dict[str, Any] | None = None) -> Facts:
    """A host with the card, its settings asked for, and a device of netdevsim beside it."""
    card, beside = facts_cx7.card(), facts_cx7.simulated()
    for function in card[0]["functions"].values():
        function["mlx5"]["nv"] = NV
    devices = {"cx0": "mlx5_core", "cx1": "mlx5_core", "sim0": "netdevsim"}
    both = fleet_facts.merge(fleet_facts.merge(card[0], beside[0]), config or {})
    return fleet_facts.facts("a", devices, both, fleet_facts.merge(card[1], beside[1]))


def in_use() -> Facts:
    """The same card in switchdev with two VFs that have something, one of them with a driver, and an SF."""
    vfs = facts_cx7.vfs(2, None, vf0={"address": MAC, "tx_max": 125_000_000}, vf1={"driver": "mlx5_core"})
    sfs = {"88": {"address": None, "tx_max": 0, "tx_share": 0, "active": True}}
    part = {"vfs": vfs, "sfs": sfs}
    return carded({"functions": {PF0: {"eswitch": "switchdev", "vfs": 2, "mlx5": part}}})


#: On `carded`.
FRESH: list[StepData] = [
    NicVfs(PF0, 4, False),
    NicVfs(PF0, 2, True),
    NicVfs(SIM, 3),
    NicEswitch(PF0, "switchdev", "none", "none"),
    NicEswitch(SIM, "switchdev"),
    NicParam(PF0, "flow_steering_mode", "dmfs"),
    NicParam(PF0, "esw_multiport", "true"),
    NicSf(PF0, 7, True, MAC),
    NicRulesPort(PF0, "@pf0vf0.rep", from_function(LaneAt(0, MAC, 100, 0, on="vf0"), "cx0", "preferred")),
    NicNv(PF0, {"SRIOV_EN": "1", "PF_TOTAL_SF": "16"}, {"SRIOV_EN": "0", "PF_TOTAL_SF": "0"}),
]
#: On `in_use`.
LATER: list[StepData] = [
    NicFunction(PF0, "vf0", None, {"address": None, "tx_max": 0}),
    NicFunction(PF0, "vf1", None, {"address": MAC, "tx_max": 250_000_000, "tx_share": 125_000}),
    NicFunction(PF0, "vf1", "cx0", {"tx_max": 250_000_000}),
    NicFunction(PF0, "sf88", None, {"tx_share": 125_000}),
    NicVfBinding(PF0, (1,), "mlx5_core", False),
    NicVfBinding(PF0, (0,), "mlx5_core", True),
    NicSf(PF0, 88, False),
    NicSf(PF0, 89, True),
]
SAMPLES = [*FRESH, *LATER]
