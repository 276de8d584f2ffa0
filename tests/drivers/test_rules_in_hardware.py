# SPDX-License-Identifier: Apache-2.0
"""Rules that hardware does not take: required ones are taken back, preferred ones are kept and told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.drivers.common.rules import Refused
from tests.drivers.common.transaction import Scene
from tests.drivers.ice import sign
from tests.drivers.ice.build import PF0, machine
from tests.drivers.ice.card import Function
from tests.drivers.ice.draws import Picture
from tests.support.e810_variants import variant
from tether_hw.agent.state import status
from tether_hw.cli.exits import Exit
from tether_hw.cli.results import check_lines, proofs


def wish(offload: str) -> dict[str, Any]:
    """Two rules that redirect to VFs."""
    rules = [
        {"name": f"vm{vf}", "match": {"destination": f"02:00:00:00:00:1{vf}"}, "action": {"redirect": {"vf": vf}}}
        for vf in (0, 1)
    ]
    steering = {"offload": offload, "rules": rules}
    return {"family": "e810", "device": {"pci": PF0}, "eswitch": "switchdev", "vfs": 2, "steering": steering}


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A switch that has no room left for a second rule."""
    room = [1]
    offload = Function.offload

    def take(self: Function, device: Any, new: Any) -> None:
        if not room[0]:
            raise Refused("flower-keys", 28, "ice: no room for another rule")
        offload(self, device, new)
        room[0] -= 1

    monkeypatch.setattr(Function, "offload", take)


@pytest.mark.pain(1)
@pytest.mark.usefixtures("full")
def test_required_is_taken_back_with_the_drivers_words(tmp_path: Path) -> None:
    scene = Scene(machine(tmp_path, sign.signed(variant())), tmp_path)
    before = Picture.of(scene.machine)
    inventory = scene.inventory({"east": wish("required")})
    applied = scene.apply(inventory, scene.plan(inventory))
    assert applied.state == "rolled-back"
    assert "nic_rules_flower-east: not_in_hw: tc filter replace dev data0 ingress" in applied.why
    assert "ice: no room for another rule" in applied.why
    assert not before.differences(Picture.of(scene.machine))


@pytest.mark.usefixtures("full")
def test_preferred_is_kept_and_told(tmp_path: Path) -> None:
    scene = Scene(machine(tmp_path, sign.signed(variant())), tmp_path)
    inventory = scene.inventory({"east": wish("preferred")})
    applied = scene.apply(inventory, scene.plan(inventory))
    assert applied.state == "confirmed", applied.why
    told = status(scene.host, applied.run)["in_software"]
    assert [(check["id"], check["result"]) for check in told] == [("rules-east", "in software")]
    assert told[0]["evidence"] == "in software, hardware did not take them: 1205/88b50001"
    assert proofs(told) is Exit.UNPROVED
    assert check_lines(told)[0].startswith("SOFT   a: rules-east: in software")
    assert scene.plan(inventory).steps == []


@pytest.mark.parametrize("offload", ["required", "preferred", "software"])
def test_with_room_all_are_where_they_may_be(tmp_path: Path, offload: str) -> None:
    scene = Scene(machine(tmp_path, sign.signed(variant())), tmp_path)
    inventory = scene.inventory({"east": wish(offload)})
    applied = scene.apply(inventory, scene.plan(inventory))
    assert applied.state == "confirmed", applied.why
    assert status(scene.host, applied.run)["in_software"] == []
    record = applied.run.journal.last("verify", "end")
    assert record is not None
    count = 0 if offload == "software" else 2
    assert [check["evidence"] for check in record["checks"] if check["check"] == "rules"] == [
        f"2 rules of flower are there, {count} of them in hardware"
    ]


def test_a_rule_that_lost_its_target_is_set_again(tmp_path: Path) -> None:
    scene = Scene(machine(tmp_path, sign.signed(variant())), tmp_path)
    inventory = scene.inventory({"east": wish("required")})
    assert scene.apply(inventory, scene.plan(inventory)).state == "confirmed"
    function = scene.machine.functions[0]
    function.set_vfs(0)
    function.set_vfs(2)  # by somebody else: tc goes on showing the old rules as in hardware
    plan = scene.plan(inventory)
    assert [step.kind for step in plan.steps] == ["nic_rules_flower"]
    applied = scene.apply(inventory, plan)
    assert applied.state == "confirmed", applied.why
    assert scene.plan(inventory).steps == []
