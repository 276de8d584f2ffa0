# SPDX-License-Identifier: Apache-2.0
"""Steps of mlx5_core and netdevsim: effect, undo and what holds afterwards; their order; what no host carries out."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.support import facts_cx7
from tests.support.facts_cx7 import PF0, PF1, SIM
from tests.support.plan_steps_cx7 import FRESH, LATER, MAC, SAMPLES, carded, in_use
from tether_hw.plan.effects import Condition, fold
from tether_hw.plan.facts import Facts, differences, parse_selector
from tether_hw.plan.facts_mlx5 import nv_keys
from tether_hw.plan.function_name import devlink_handle, of_handle, pf_number, sysfs_folder
from tether_hw.plan.kinds.base import StepData, make_step
from tether_hw.plan.kinds.nic_eswitch import NicEswitch
from tether_hw.plan.kinds.nic_function import NicFunction
from tether_hw.plan.kinds.nic_nv import NicNv
from tether_hw.plan.kinds.nic_queues import NicQueues
from tether_hw.plan.kinds.nic_sf import NicSf
from tether_hw.plan.kinds.nic_vf_binding import NicVfBinding
from tether_hw.plan.kinds.nic_vfs import NicVfs
from tether_hw.plan.kinds.registry import parse_data
from tether_hw.plan.order import in_order
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.rule import SYMBOLIC
from tether_hw.plan.shape import ShapeError
from tether_hw.plan.step import Step
from tether_hw.plan.verbs import FactsRequest


def test_names_of_functions() -> None:
    assert (devlink_handle(PF0), sysfs_folder(PF0)) == ("pci/0000:08:00.0", "bus/pci/devices/0000:08:00.0")
    assert (devlink_handle(SIM), sysfs_folder(SIM)) == ("netdevsim/netdevsim1", "bus/netdevsim/devices/netdevsim1")
    assert (pf_number(PF1), pf_number(SIM)) == (1, 0)
    assert [of_handle(devlink_handle(function)) for function in (PF0, SIM)] == [PF0, SIM]
    for other in ("pci/netdevsim1", "netdevsim/0000:08:00.0", "auxiliary/mlx5_core.sf.2", "pci/0000:08:00.0/1", ""):
        assert of_handle(other) is None


def test_names_of_representors() -> None:
    for name in ("@pf0vf2.rep", "@c1pf0vf0.rep", "@pf0sf88.rep", "@c1pf0.rep", "@pf1.rep"):
        assert SYMBOLIC.match(name), name
    for name in ("@pf0vf2", "@vf2.rep", "@pf0vf2.rep\n", "@c1.rep", "@pf0xf1.rep"):
        assert not SYMBOLIC.match(name), name


@pytest.mark.parametrize(
    ("data", "config"),
    [(data, carded().config) for data in FRESH] + [(data, in_use().config) for data in LATER],
    ids=lambda value: value.kind if isinstance(value, StepData) else "",
)
def test_effect_holds_and_undo(data: StepData, config: dict[str, Any]) -> None:
    assert not data.holds(config)
    after = fold(config, data.effect(config))
    assert data.holds(after)
    assert all(Condition(change.path, change.after).holds(after) for change in data.effect(config))
    step = make_step(data, config, HostPaths(), 1, "a", None)
    assert Step.parse(json.loads(json.dumps(step.to_dict()))) == step
    assert all(condition.holds(config) for condition in step.pre)
    assert all(condition.holds(after) for condition in step.post)
    back = data.undo(config)
    assert not isinstance(back, str), back
    assert parse_data(data.kind, json.loads(json.dumps(back.to_dict()))) == back
    assert differences(config, fold(after, back.effect(after))) == []


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("nic_vfs", {"function": PF0, "count": 0, "probe": False}),
        ("nic_vfs", {"function": SIM, "count": 2, "probe": True}),
        ("nic_vfs", {"function": "netdevsim", "count": 2, "probe": None}),
        ("nic_vfs", {"function": f"../{PF0}", "count": 2, "probe": None}),
        ("nic_eswitch", {"function": PF0, "mode": "switchdev", "inline": "all", "encap": None}),
        ("nic_eswitch", {"function": PF0, "mode": "switchdev", "inline": None, "encap": "vxlan"}),
        ("nic_param", {"function": PF0, "name": "enable_roce", "value": "true"}),
        ("nic_param", {"function": PF0, "name": "esw_multiport", "value": "true cmode driverinit"}),
        ("nic_function", {"function": PF0, "target": "vf01", "device": None, "put": {"address": MAC}}),
        ("nic_function", {"function": PF0, "target": "pf0", "device": None, "put": {"address": MAC}}),
        ("nic_function", {"function": PF0, "target": "vf0", "device": None, "put": {}}),
        ("nic_function", {"function": PF0, "target": "vf0", "device": None, "put": {"state": "active"}}),
        ("nic_function", {"function": PF0, "target": "vf0", "device": None, "put": {"address": "01" + MAC[2:]}}),
        ("nic_function", {"function": PF0, "target": "vf0", "device": None, "put": {"address": "00:" * 5 + "00"}}),
        ("nic_function", {"function": PF0, "target": "vf0", "device": None, "put": {"tx_max": -1}}),
        ("nic_function", {"function": PF0, "target": "vf0", "device": "cx0", "put": {"tx_max": 1}}),
        ("nic_function", {"function": PF0, "target": "sf1", "device": "cx0", "put": {"address": MAC}}),
        ("nic_vf_binding", {"function": PF0, "vfs": [], "driver": "mlx5_core", "bound": True}),
        ("nic_vf_binding", {"function": PF0, "vfs": [1, 0], "driver": "mlx5_core", "bound": True}),
        ("nic_vf_binding", {"function": PF0, "vfs": [-1], "driver": "mlx5_core", "bound": True}),
        ("nic_vf_binding", {"function": PF0, "vfs": [0], "driver": "../x", "bound": True}),
        ("nic_vf_binding", {"function": SIM, "vfs": [0], "driver": "netdevsim", "bound": True}),
        ("nic_sf", {"function": PF0, "sfnum": 88, "present": False, "address": MAC}),
        ("nic_sf", {"function": PF0, "sfnum": -1, "present": True, "address": None}),
        ("nic_nv", {"function": PF0, "put": {}, "former": {}}),
        ("nic_nv", {"function": PF0, "put": {"SRIOV_EN": "1"}, "former": {"NUM_OF_VFS": "1"}}),
        ("nic_nv", {"function": PF0, "put": {"SRIOV_EN": "1 2"}, "former": {"SRIOV_EN": "0"}}),
        ("nic_nv", {"function": PF0, "put": {"--yes": "1"}, "former": {"--yes": "0"}}),
        ("nic_nv", {"function": SIM, "put": {"SRIOV_EN": "1"}, "former": {"SRIOV_EN": "0"}}),
    ],
)
def test_data_that_no_host_carries_out(kind: str, data: dict[str, Any]) -> None:
    with pytest.raises(ShapeError):
        parse_data(kind, data)


def test_steps_run_in_the_order_that_mlx5_wants() -> None:
    steps: list[StepData] = [
        *SAMPLES,
        NicEswitch(PF0, "legacy"),
        NicVfs(PF0, 0),
        NicQueues("cx0", {"combined": 8}),
    ]
    names = [(data.kind, *_side(data)) for _, data in in_order([(None, data) for data in reversed(steps)])]
    seen = list(dict.fromkeys(names))
    assert seen == [
        ("nic_vf_binding", False),
        ("nic_function", "clear"),
        ("nic_sf", False),
        ("nic_vfs", False),
        ("nic_eswitch", "legacy"),
        ("nic_nv",),
        ("nic_param",),
        ("nic_eswitch", "switchdev"),
        ("nic_vfs", True),
        ("nic_sf", True),
        ("nic_function", "set"),
        ("nic_vf_binding", True),
        ("nic_queues",),
        ("nic_rules_port",),
    ]


def _side(data: StepData) -> tuple[Any, ...]:
    if isinstance(data, NicFunction):
        return ("clear" if data.clears else "set",)
    if isinstance(data, NicEswitch):
        return (data.mode,)
    for kind, name in ((NicVfBinding, "bound"), (NicSf, "present"), (NicVfs, "count")):
        if isinstance(data, kind):
            return (bool(getattr(data, name)),)
    return ()


@pytest.mark.pain(9)
def test_from_legacy_to_functions_with_addresses_and_back() -> None:
    config = folded = carded().config
    undos = []
    for data in (
        NicEswitch(PF0, "switchdev"),
        NicVfs(PF0, 2, False),
        NicFunction(PF0, "vf0", None, {"address": MAC, "tx_max": 125_000_000}),
        NicVfBinding(PF0, (0, 1), "mlx5_core", True),
    ):
        undos.append(data.undo(folded))
        folded = fold(folded, data.effect(folded))
    told = {"address": MAC, "tx_max": 125_000_000, "tx_share": 0, "driver": "mlx5_core"}
    assert folded["functions"][PF0]["mlx5"]["vfs"]["0"] == told
    for undo in reversed(undos):
        assert not isinstance(undo, str), undo
        folded = fold(folded, undo.effect(folded))
    assert differences(config, folded) == []


def test_what_does_not_come_back_by_itself_is_taken_away_by_a_step_before() -> None:
    config = in_use().config
    assert "address and rates of VF 0" in str(NicVfs(PF0, 0).undo(config))
    assert "SF 88 does not come back" in str(NicEswitch(PF0, "legacy").undo(config))
    rated = in_use().config
    rated["functions"][PF0]["mlx5"]["sfs"] = {}
    assert "the rate of VF 0 does not" in str(NicEswitch(PF0, "legacy").undo(rated))
    rated["functions"][PF0]["mlx5"]["vfs"]["0"].update(address=None, tx_max=0)
    assert "not all VFs have driver mlx5_core" in str(NicVfs(PF0, 0).undo(rated))
    rated["functions"][PF0]["mlx5"]["vfs"]["1"]["driver"] = None
    assert NicVfs(PF0, 0).undo(rated) == NicVfs(PF0, 2, False)
    assert "VF 1 had another driver" in str(NicVfBinding(PF0, (1,), "mlx5_core", True).undo(config))


def test_a_step_leaves_what_it_touches_on_its_way() -> None:
    config = carded().config
    step = make_step(NicVfs(PF0, 2, False), config, HostPaths(), 1, "a", None)
    assert Condition(("functions", PF0, "mlx5", "autoprobe"), True) in step.post
    step = make_step(NicEswitch(PF0, "switchdev"), config, HostPaths(), 1, "a", None)
    kept = [condition for condition in step.post if condition.path[0] == "nics"]
    assert [condition.path for condition in kept] == [("nics", "cx0", name) for name in ("mtu", "queues", "ring")]
    assert all(condition in step.pre for condition in kept)
    assert [change.path for change in step.effect] == [("functions", PF0, "eswitch")]


@pytest.mark.pain(15)
def test_settings_of_the_card_are_those_of_all_its_functions() -> None:
    config = carded().config
    step = NicNv.between(config, PF0, {"SRIOV_EN": "1", "PF_TOTAL_SF": "16"})
    assert sorted(step.changes(config)) == [
        ("functions", PF0, "mlx5", "nv", "PF_TOTAL_SF", "next"),
        ("functions", PF0, "mlx5", "nv", "SRIOV_EN", "next"),
        ("functions", PF1, "mlx5", "nv", "SRIOV_EN", "next"),
    ]
    assert NicNv.between(config, PF0, {"SRIOV_EN": "0", "PF_TOTAL_SF": "1"}).put == {"PF_TOTAL_SF": "1"}
    with pytest.raises(ValueError, match="has no setting NUM_OF_VFS"):
        NicNv.between(config, PF0, {"NUM_OF_VFS": "1"})
    assert nv_keys(config) == ("PF_TOTAL_SF", "SRIOV_EN")


def test_all_virtual_functions_that_a_driver_may_have() -> None:
    config = in_use().config
    assert NicVfBinding.all_of(config, PF0, "mlx5_core", True) == NicVfBinding(PF0, (0,), "mlx5_core", True)
    assert NicVfBinding.all_of(config, PF0, "mlx5_core", False) == NicVfBinding(PF0, (1,), "mlx5_core", False)
    assert NicVfBinding.all_of(config, PF1, "mlx5_core", True) is None


def test_facts_cross_and_agree_with_themselves() -> None:
    for facts in (carded(), in_use()):
        assert Facts.parse(json.loads(json.dumps(facts.to_dict()))) == facts
    document = in_use().to_dict()
    for path, value in (
        (("mlx5", "vfs"), facts_cx7.vfs(3)),
        (("mlx5", "vfs", "0", "address"), "x"),
        (("mlx5", "sfs"), {"08": {}}),
        (("mlx5", "nv"), {"sriov_en": {"next": "1", "current": "1"}}),
        (("mlx5", "inline"), "all"),
        (("mlx5", "extra"), 1),
    ):
        changed = copy.deepcopy(document)
        place: Any = changed["config"]["functions"][PF0]
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = value
        with pytest.raises(ShapeError):
            Facts.parse(changed)


def test_what_facts_are_asked() -> None:
    ask = {"host": "a", "devices": [{"devlink": "netdevsim/netdevsim1"}, {"pci": PF0}], "nv": ["SRIOV_EN"]}
    assert FactsRequest.parse(ask).to_dict() == ask
    for wrong in ("netdevsim1", "pci/0000:08:00.0", "netdevsim/netdevsim01", "netdevsim/netdevsim1\n"):
        with pytest.raises(ShapeError):
            parse_selector({"devlink": wrong}, "devices[0]")
    with pytest.raises(ShapeError):
        FactsRequest.parse({**ask, "nv": ["; reboot"]})
