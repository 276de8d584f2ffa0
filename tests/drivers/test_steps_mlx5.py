# SPDX-License-Identifier: Apache-2.0
"""Each step of mlx5_core is carried out by the agent on the model, and taken back; what the driver refuses is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.common.scissors import Cut, Scissors
from tests.drivers.common.transaction import NAME, Applied, Scene
from tests.drivers.mlx5 import build
from tests.drivers.mlx5.build import PF0
from tests.drivers.mlx5.machine import Machine
from tether_hw.agent import close, execute, facts, take_back
from tether_hw.agent.run import CONFIRMED, REVERTED
from tether_hw.agent.staged import Staged
from tether_hw.plan.effects import fold
from tether_hw.plan.facts import Facts, differences
from tether_hw.plan.kinds.base import StepData, make_step
from tether_hw.plan.kinds.nic_eswitch import NicEswitch
from tether_hw.plan.kinds.nic_function import NicFunction
from tether_hw.plan.kinds.nic_mtu import NicMtu
from tether_hw.plan.kinds.nic_nv import NicNv
from tether_hw.plan.kinds.nic_param import NicParam
from tether_hw.plan.kinds.nic_queues import NicQueues
from tether_hw.plan.kinds.nic_sf import NicSf
from tether_hw.plan.kinds.nic_vf_binding import NicVfBinding
from tether_hw.plan.kinds.nic_vfs import NicVfs
from tether_hw.plan.order import phase
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.plan import HostPlan, Plan

MAC, OTHER = "02:00:00:00:08:01", "02:00:00:00:08:02"
GBIT = 125_000_000
KEYS = ("NUM_OF_VFS", "SRIOV_EN")
LATE = pytest.mark.parametrize("late", [0, 9])

Steps = list[StepData]


class Card:
    """A host of the model, its facts, and plans of steps that are said one by one."""

    def __init__(self, root: Path, late: int = 0, **more: Any) -> None:
        self.machine: Machine = build.machine(root, late=late, **more)
        self.scene = Scene(self.machine, root)
        self.port = self.machine.functions[0]

    def facts(self) -> Facts:
        self.machine.settle()
        with self.scene._agent():
            return Facts.parse(facts.collect(self.scene.host, NAME, [{"pci": PF0}], KEYS))

    def apply(self, *steps: StepData) -> Applied:
        """The steps in the order in which they stand, which must be that of plans."""
        inventory = self.scene.inventory({"data0": {"device": {"pci": PF0}}})
        return self.scene.apply(inventory, self.plan(*steps))

    def cut(self, scissors: Scissors, *steps: StepData) -> Applied:
        """A run that the scissors end."""
        plan = self.plan(*steps)
        inventory = self.scene.inventory({"data0": {"device": {"pci": PF0}}})
        with scissors.held(), pytest.raises(Cut):
            self.scene.apply(inventory, plan)
        run = self.scene.host.all_runs()[-1]
        return Applied(run, Staged.of(run))

    def plan(self, *steps: StepData) -> Plan:
        assert [phase(data) for data in steps] == sorted(phase(data) for data in steps)
        found = self.facts()
        config, made = found.config, []
        for number, data in enumerate(steps, 1):
            made.append(make_step(data, config, HostPaths(str(self.scene.root)), number, NAME, "data0"))
            config = fold(config, made[-1].effect)
        host = HostPlan(NAME, str(self.scene.root), found.digest, found.config, None, tuple(made), ())
        return Plan("2026-11-23T00:00:00Z", "0", "x", {NAME: host})

    def done(self, *steps: StepData) -> Applied:
        """They are carried out, facts are as planned, and taken back they leave what was there."""
        applied = self.apply(*steps)
        assert applied.state == "confirmed", applied.why
        assert differences(applied.staged.plan.expected(), self.facts().config) == []
        return applied

    def back(self, applied: Applied) -> None:
        record = self.scene.roll_back(applied)
        assert record["restored"], (record, applied.why)
        assert differences(applied.staged.plan.config, self.facts().config) == []

    def refused(self, *steps: StepData) -> str:
        """They are taken back; why."""
        before = self.facts().config
        applied = self.apply(*steps)
        assert applied.state == "rolled-back", applied.state
        assert differences(before, self.facts().config) == []
        return applied.why


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return Card(tmp_path)


FULL: Steps = [
    NicNv(PF0, {"SRIOV_EN": "1", "NUM_OF_VFS": "32"}, {"SRIOV_EN": "1", "NUM_OF_VFS": "16"}),
    NicParam(PF0, "flow_steering_mode", "dmfs"),
    NicParam(PF0, "esw_port_metadata", "false"),
    NicEswitch(PF0, "switchdev", "none", "none"),
    NicVfs(PF0, 4, False),
    NicSf(PF0, 88, True, MAC),
    NicFunction(PF0, "vf0", None, {"address": OTHER, "tx_max": 10 * GBIT, "tx_share": GBIT}),
    NicFunction(PF0, "sf88", None, {"tx_max": GBIT}),
    NicVfBinding(PF0, (0, 1, 2, 3), "mlx5_core", True),
    NicQueues("data0", {"combined": 8}),
    NicMtu("data0", 9000),
]


@LATE
def test_everything_at_once(tmp_path: Path, late: int) -> None:
    card = Card(tmp_path, late)
    steps = [NicNv.between(card.facts().config, PF0, {"NUM_OF_VFS": "32"}), *FULL[1:]]
    applied = card.done(*steps)
    vf = card.port.virtuals[0]
    assert (vf.found, vf.address) == (OTHER, OTHER)  # its driver came when it had its address
    assert card.port.sfs[88].found == MAC
    assert card.port.autoprobe
    assert (card.port.steering, card.port.metadata, card.port.encap) == ("dmfs", False, "none")
    card.back(applied)
    assert card.port.virtuals == []


@pytest.mark.pain(1)
@LATE
def test_a_mode_change_beside_vfs(tmp_path: Path, late: int) -> None:
    card = Card(tmp_path, late)
    kept = card.done(NicVfs(PF0, 3, True), NicQueues("data0", {"combined": 4}))
    applied = card.done(
        NicVfBinding(PF0, (0, 1, 2), "mlx5_core", False),
        NicEswitch(PF0, "switchdev"),
        NicVfBinding(PF0, (0, 1, 2), "mlx5_core", True),
    )
    assert card.facts().config["nics"]["data0"]["queues"] == {"combined": 4}  # the driver had 16 anew
    card.back(applied)
    card.back(kept)


@pytest.mark.pain(26)
@LATE
def test_all_of_it_taken_away(tmp_path: Path, late: int) -> None:
    card = Card(tmp_path, late)
    config = card.facts().config
    card.done(*FULL[3:])
    applied = card.done(
        NicVfBinding(PF0, (0, 1, 2, 3), "mlx5_core", False),
        NicFunction(PF0, "vf0", None, {"address": None, "tx_max": 0, "tx_share": 0}),
        NicFunction(PF0, "sf88", None, {"tx_max": 0}),
        NicSf(PF0, 88, False),
        NicVfs(PF0, 0),
        NicEswitch(PF0, "legacy", None, "basic"),
        NicQueues("data0", {"combined": 16}),
        NicMtu("data0", 1500),
    )
    assert differences(config, card.facts().config) == []
    card.back(applied)
    vf = card.port.virtuals[0]
    assert (vf.found, vf.tx_max, vf.driver) == (OTHER, 10 * GBIT, "mlx5_core")
    assert card.port.sfs[88].found == MAC


def test_another_address_for_an_sf_that_is_active(card: Card) -> None:
    card.done(NicEswitch(PF0, "switchdev"), NicSf(PF0, 7, True, MAC))
    applied = card.done(NicFunction(PF0, "sf7", None, {"address": OTHER}))
    assert card.port.sfs[7].found == OTHER
    card.back(applied)
    assert card.port.sfs[7].found == MAC


def test_addresses_and_rates_by_the_netdev_in_legacy_mode(card: Card) -> None:
    card.done(NicVfs(PF0, 2, False))
    applied = card.done(NicFunction(PF0, "vf1", "data0", {"address": MAC, "tx_max": GBIT}))
    assert (card.port.virtuals[1].address, card.port.virtuals[1].tx_max) == (MAC, GBIT)
    card.back(applied)


def test_of_values_of_which_one_is_refused_none_stays(card: Card) -> None:
    card.done(NicEswitch(PF0, "switchdev"), NicVfs(PF0, 1, False))
    put = {"address": MAC, "tx_share": GBIT, "tx_max": 100_000 * GBIT}
    why = card.refused(NicFunction(PF0, "vf0", None, put))
    assert "TX rate value exceed link maximum speed" in why
    assert "address, tx_share was taken" in why


def test_of_modes_of_which_one_is_refused_none_stays(card: Card) -> None:
    why = card.refused(NicEswitch(PF0, "switchdev", "transport"))
    assert "Inline mode can't be set" in why


@pytest.mark.parametrize(
    ("trouble", "steps", "words"),
    [
        (lambda card: setattr(card.port, "ipsec", True), [NicEswitch(PF0, "switchdev")], "IPsec"),
        (lambda card: setattr(card.port, "traps", True), [NicEswitch(PF0, "switchdev")], "traps are active"),
        (lambda card: None, [NicVfs(PF0, 200, False)], "Numerical result out of range"),
        (lambda card: None, [NicParam(PF0, "flow_steering_mode", "hmfs")], "supported values are"),
        (
            lambda card: setattr(card.machine, "sf_built", False),
            [NicEswitch(PF0, "switchdev"), NicSf(PF0, 1, True)],
            "Operation not supported",
        ),
        (lambda card: None, [NicSf(PF0, 1, True)], "only supported in eswitch switchdev mode"),
    ],
)
def test_the_drivers_own_words(card: Card, trouble: Callable[[Card], None], steps: Steps, words: str) -> None:
    trouble(card)
    assert words in card.refused(*steps)


def test_bound_vfs_are_in_the_way_of_a_mode_change(card: Card) -> None:
    card.done(NicVfs(PF0, 1, True))
    assert "Device or resource busy" in card.refused(NicEswitch(PF0, "switchdev"))


def test_what_others_changed_since_does_not_keep_a_mode_from_going_back(card: Card) -> None:
    applied = card.done(NicEswitch(PF0, "switchdev"))
    assert card.port.device is not None
    card.port.device.mtu = 4000
    assert card.scene.roll_back(applied)["restored"]
    assert card.port.mode == "legacy"


def test_settings_are_for_the_next_start(card: Card) -> None:
    step = NicNv.between(card.facts().config, PF0, {"NUM_OF_VFS": "8"})
    applied = card.done(step)
    assert card.facts().config["functions"][PF0]["mlx5"]["nv"]["NUM_OF_VFS"]["next"] == "8"
    card.back(applied)


#: Both make every kind of change; the second takes away what the first one made.
UP: Steps = [NicNv(PF0, {"NUM_OF_VFS": "32"}, {"NUM_OF_VFS": "16"}), *FULL[1:]]
DOWN: Steps = [
    NicVfBinding(PF0, (0, 1, 2, 3), "mlx5_core", False),
    NicFunction(PF0, "vf0", None, {"address": None, "tx_max": 0, "tx_share": 0}),
    NicFunction(PF0, "sf88", None, {"tx_max": 0}),
    NicSf(PF0, 88, False),
    NicVfs(PF0, 0),
    NicEswitch(PF0, "legacy", None, "basic"),
    NicQueues("data0", {"combined": 16}),
]
CHANGES = {"up": 20, "down": 14}
#: Behind a change: what comes between two changes is looked at only.
CUTS = [(way, at) for way in CHANGES for at in range(1, CHANGES[way] + 1)]


def start(root: Path, way: str) -> tuple[Card, Steps]:
    """A card before it goes up or down, and the steps."""
    card = Card(root)
    if way == "down":
        card.done(*UP)
    return card, UP if way == "up" else DOWN


@pytest.mark.parametrize("way", CHANGES)
def test_there_is_enough_to_cut(tmp_path: Path, way: str) -> None:
    card, steps = start(tmp_path, way)
    scissors = Scissors()
    with scissors.held():
        card.done(*steps)
    assert scissors.made == CHANGES[way]


@pytest.mark.parametrize(("way", "at"), CUTS)
def test_cut_off_and_taken_back(tmp_path: Path, way: str, at: int) -> None:
    card, steps = start(tmp_path, way)
    before = card.facts().config
    applied = card.cut(Scissors(at, behind=True), *steps)
    with card.scene._agent(), applied.run.acting(1.0):
        assert applied.run.decide(REVERTED, "dead-man")
        take_back.take_back(card.scene.host, applied.run, applied.staged, "the deadline passed")
    record = applied.run.journal.last("revert", "end")
    assert record is not None
    assert record["restored"], record
    assert differences(before, card.facts().config) == []


@pytest.mark.parametrize(("way", "at"), CUTS)
def test_cut_off_and_resumed(tmp_path: Path, way: str, at: int) -> None:
    card, steps = start(tmp_path, way)
    applied = card.cut(Scissors(at, behind=True), *steps)
    with card.scene._agent():
        execute._carry_out(card.scene.host, applied.run, applied.staged)
        assert applied.run.outcome() is None, applied.why
        assert applied.run.decide(CONFIRMED, "tests")
        close.finish(card.scene.host, applied.run, applied.staged)
    assert differences(applied.staged.plan.expected(), card.facts().config) == []
    card.back(applied)
