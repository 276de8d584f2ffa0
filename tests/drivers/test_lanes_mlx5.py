# SPDX-License-Identifier: Apache-2.0
"""Lanes on VFs of a ConnectX-7 behind the model: what carries them, what stays, and planners that are wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml

from tests.drivers.common.mutants import Pairs
from tests.drivers.common.rules import seen
from tests.drivers.common.transaction import NAME, Applied, Scene
from tests.drivers.mlx5 import build
from tests.drivers.mlx5.draws import FAMILY
from tests.drivers.mlx5.mutants_how import no_waits
from tests.support.cases import key_of
from tether_hw.agent import nic_rules_port
from tether_hw.agent.errors import AgentError
from tether_hw.fleet import planner_boot
from tether_hw.fleet.inventory import Inventory, load
from tether_hw.nic.steering import lanes as lane_rules
from tether_hw.plan.canonical import digest
from tether_hw.plan.checks import Check
from tether_hw.plan.effects import fold
from tether_hw.plan.kinds.nic_eswitch import NicEswitch
from tether_hw.plan.kinds.nic_rules_port import NicRulesPort
from tether_hw.plan.kinds.nic_vf_binding import NicVfBinding
from tether_hw.plan.kinds.nic_vfs import NicVfs
from tether_hw.plan.lane import lane_mac
from tether_hw.plan.order import in_order
from tether_hw.plan.plan import HostPlan, Plan

LANES = [lane_mac(NAME, "data0", lane) for lane in range(2)]
BESIDE = {"lanes": {"on": ["vf 0", "vf 1"]}, "eswitch": "switchdev", "vfs": 3}


def wanting(scene: Scene, **says: Any) -> Inventory:
    """An inventory in which the port says this; its lanes, if any, are on a link with another host's."""
    nic = {"family": "cx7", "device": {"pci": build.PF0}, **says}
    hosts = {NAME: {"address": "192.0.2.1", "nics": {"data0": nic}}}
    document: dict[str, Any] = {"tether": 1, "hosts": hosts}
    if "lanes" in nic:
        there = {"device": {"name": "data0"}, "lanes": {"queues": [0]}}
        hosts["b"] = {"address": "192.0.2.2", "nics": {"data0": there}}
        document["links"] = {"fabric": {"members": [f"{NAME}.data0", "b.data0"]}}
    folder = scene.root / "controller"
    folder.mkdir(exist_ok=True)
    path = folder / "inventory.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    keys = {"hosts": {name: {"keys": [key_of(name)]} for name in hosts}}
    (folder / "inventory.keys.yaml").write_text(yaml.safe_dump(keys), encoding="utf-8")
    return load(path)


def without_engine(plan: Plan) -> Plan:
    """The card's part of a plan: there is no engine in the model."""
    assert not plan.refusals, plan.refusals
    host = plan.hosts[NAME]
    steps = tuple(step for step in host.steps if not step.kind.startswith("engine_"))
    config = fold(host.config, [change for step in steps for change in step.effect])
    checks = (Check("config", "config", None, {"digest": digest(config)}),)
    return replace(
        plan, hosts={NAME: card_only(host, steps, (*checks, *(c for c in host.checks if c.check == "rules")))}
    )


def card_only(host: HostPlan, steps: Any, checks: Any) -> HostPlan:
    return replace(host, steps=steps, checks=checks, boot=None, bundle=None)


def applied(scene: Scene, inventory: Inventory) -> tuple[Plan, Applied]:
    plan = without_engine(scene.plan(inventory))
    return plan, scene.apply(inventory, plan)


def kinds(plan: Plan) -> list[str]:
    return [step.kind for step in plan.hosts[NAME].steps]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(build.machine(tmp_path), tmp_path)


def test_vfs_carry_lanes_in_switchdev(scene: Scene) -> None:
    inventory, before = wanting(scene, **BESIDE), FAMILY.picture(scene.machine)
    plan, done = applied(scene, inventory)
    assert done.state == "confirmed", done.why
    function = scene.machine.functions[0]
    for number, vf in enumerate(function.virtuals[:2]):
        assert (vf.driver, vf.found) == ("mlx5_core", LANES[number])
        out = vf.representor
        assert out is not None and out.up and out.hook
        (leaving,) = out.filters
        assert leaving.target is function.device and leaving.in_hw and leaving.keys["src_mac"] == LANES[number]
        coming = [one for one in function.device.filters if one.target is out]
        assert [one.keys["dst_mac"] for one in coming] == [LANES[number]] and coming[0].in_hw
    assert not function.virtuals[2].representor.hook
    assert kinds(without_engine(scene.plan(inventory))) == []
    assert scene.roll_back(done)["restored"]
    assert not before.differences(FAMILY.picture(scene.machine))
    assert kinds(plan).index("nic_vf_binding") < kinds(plan).index("nic_rules_port")


def test_in_legacy_the_card_knows_lanes_by_the_addresses_of_their_vfs(scene: Scene) -> None:
    inventory = wanting(scene, lanes={"on": "vf 1"}, vfs=2)
    plan, done = applied(scene, inventory)
    assert done.state == "confirmed", done.why
    assert scene.machine.functions[0].virtuals[1].found == LANES[0]
    assert not {"nic_rules_port", "nic_rules_flower", "nic_rules_ntuple"} & set(kinds(plan))
    assert kinds(without_engine(scene.plan(inventory))) == []


def test_a_vf_without_a_driver_gets_one_and_goes_back(tmp_path: Path) -> None:
    scene = Scene(build.machine(tmp_path), tmp_path)
    function = scene.machine.functions[0]
    function.autoprobe = False
    function.set_vfs(2)
    inventory = wanting(scene, lanes={"on": "vf 1"}, vfs=2)
    _, done = applied(scene, inventory)
    assert done.state == "confirmed", done.why
    assert [vf.driver for vf in function.virtuals] == [None, "mlx5_core"]
    _, gone = applied(scene, wanting(scene, vfs=2))
    assert gone.state == "confirmed", gone.why
    assert [vf.driver for vf in function.virtuals] == [None, None]
    assert function.virtuals[1].address == "00:00:00:00:00:00"


def test_lanes_go_and_their_rules_with_them(scene: Scene) -> None:
    assert applied(scene, wanting(scene, **BESIDE))[1].state == "confirmed"
    plan, done = applied(scene, wanting(scene, eswitch="switchdev", vfs=3))
    assert done.state == "confirmed", done.why
    function = scene.machine.functions[0]
    assert not function.device.hook and not any(vf.representor.hook for vf in function.virtuals)
    assert kinds(plan).count("nic_rules_port") == 2
    assert scene.roll_back(done)["restored"]
    assert [len(vf.representor.filters) for vf in function.virtuals] == [1, 1, 0]


def test_rules_of_others_on_a_representor_are_in_the_way(scene: Scene) -> None:
    assert applied(scene, wanting(scene, eswitch="switchdev", vfs=3))[1].state == "confirmed"
    name = scene.machine.functions[0].virtuals[0].representor.name
    for words in (f"tc qdisc add dev {name} clsact", f"tc filter add dev {name} ingress pref 7 protocol ip flower"):
        assert scene.machine.run(f"{words} action drop".split() if "filter" in words else words.split()).code == 0
    refusals = scene.plan(wanting(scene, **BESIDE)).refusals
    assert "@pf0vf0.rep: rules of tc that are not ours (1) are in the way of its lane" in str(refusals)
    assert "in the way of the change to legacy" in str(scene.plan(wanting(scene, eswitch="legacy", vfs=0)).refusals)


@contextmanager
def changed(change: Callable[[Pairs], Pairs]) -> Iterator[None]:
    with patch.object(planner_boot, "in_order", lambda steps: change(list(in_order(steps)))):
        yield


def _kept(steps: Pairs) -> Pairs:
    return [pair for pair in steps if not (isinstance(pair[1], NicRulesPort) and pair[1].rules is None)]


def _early(steps: Pairs) -> Pairs:
    ports = [pair for pair in steps if isinstance(pair[1], NicRulesPort)]
    rest = [pair for pair in steps if pair not in ports]
    at = next(number for number, (_, data) in enumerate(rest) if isinstance(data, (NicEswitch, NicVfs)))
    return rest[:at] + ports + rest[at:]


def _unbound(steps: Pairs) -> Pairs:
    return [pair for pair in steps if not isinstance(pair[1], NicVfBinding)]


def test_a_planner_that_leaves_rules_on_representors_is_caught(scene: Scene) -> None:
    assert applied(scene, wanting(scene, **BESIDE))[1].state == "confirmed"
    inventory = wanting(scene, eswitch="legacy", vfs=3)
    before = FAMILY.picture(scene.machine)
    with changed(_kept), seen() as bites:
        done = scene.apply(inventory, without_engine(scene.plan(inventory)))
    assert done.state != "confirmed" and bites["mode-busy"]
    assert not before.differences(FAMILY.picture(scene.machine))
    assert applied(scene, inventory)[1].state == "confirmed"


def test_a_planner_that_sets_rules_before_their_port_is_there_is_caught(scene: Scene) -> None:
    inventory, before = wanting(scene, **BESIDE), FAMILY.picture(scene.machine)
    with changed(_early):
        done = scene.apply(inventory, without_engine(scene.plan(inventory)))
    assert done.state != "confirmed" and "@pf0vf0.rep" in done.why
    assert not before.differences(FAMILY.picture(scene.machine))


def test_a_planner_that_leaves_vfs_without_their_driver_is_seen(scene: Scene) -> None:
    with changed(_unbound):
        done = applied(scene, wanting(scene, **BESIDE))[1]
    assert done.state == "confirmed"
    assert kinds(without_engine(scene.plan(wanting(scene, **BESIDE)))) == ["nic_vf_binding"]


def test_an_agent_that_does_not_wait_for_representors_is_caught(tmp_path: Path) -> None:
    scene = Scene(build.machine(tmp_path, late=100), tmp_path)
    inventory = wanting(scene, **BESIDE)
    plan = without_engine(scene.plan(inventory))
    patches = no_waits(scene.machine)
    with patches[0], patches[1]:
        assert scene.apply(inventory, plan).state != "confirmed"


def test_a_rule_that_does_not_come_is_not_believed(scene: Scene) -> None:
    inventory, before = wanting(scene, **BESIDE), FAMILY.picture(scene.machine)
    plan = without_engine(scene.plan(inventory))
    with patch.object(nic_rules_port, "batch", lambda *_: ""):
        done = scene.apply(inventory, plan)
    assert "its rules are not as planned" in done.why
    assert not before.differences(FAMILY.picture(scene.machine))


def test_required_in_hardware_and_a_kernel_that_takes_none(tmp_path: Path) -> None:
    scene = Scene(build.machine(tmp_path, release=build.NO_FLOWER, has_flower=False), tmp_path)
    refusals = scene.plan(wanting(scene, **BESIDE, steering={"offload": "required"})).refusals
    assert "rules in hardware are required" in str(refusals)


def test_what_an_error_of_a_port_says(scene: Scene) -> None:
    step = NicRulesPort(build.PF0, "@pf0vf7.rep", lane_rules.from_function(_lane(), "data0", "required"))
    scene.machine.settle()
    with scene._agent(), pytest.raises(AgentError, match=r"there is no @pf0vf7\.rep"):
        nic_rules_port.carry_out(step, scene.host.paths, 0.01)


def _lane() -> Any:
    from tether_hw.nic.functions.lane import LaneAt

    return LaneAt(0, LANES[0], None, 0, on="vf7")
