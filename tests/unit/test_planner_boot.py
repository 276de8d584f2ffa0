# SPDX-License-Identifier: Apache-2.0
"""Plans through boots: what a boot in the middle wipes, later steps make again; so does the boot plan at any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import fleet_facts, plan_steps
from tests.support.cases import applied, key_of
from tests.support.laws import check_law, loaded, plan_for
from tether_hw.fleet import planner
from tether_hw.fleet.planner_e810 import plan_e810
from tether_hw.plan.facts import Facts
from tether_hw.plan.kinds.host_reboot import HostReboot

PF0 = plan_steps.PF0
INVENTORY: dict[str, Any] = {
    "tether": 1,
    "hosts": {
        "a": {
            "address": "192.0.2.1",
            "nics": {
                "data0": {
                    "family": "e810",
                    "device": {"name": "eth1"},
                    "queues": 8,
                    "eswitch": "switchdev",
                    "vfs": 4,
                    "steering": {"rules": [{"name": "vm", "match": {"vlan": 7}, "action": {"redirect": {"vf": 2}}}]},
                    "lanes": {"on": "pf", "queues": [0], "by": "mac"},
                }
            },
        }
    },
    "links": {"fabric0": {"members": ["a.data0"], "mtu": 3000, "latency": "20us", "rate": "10Gbit"}},
}


def facts() -> Facts:
    config, status = fleet_facts.card()
    config = fleet_facts.merge(config, {"keys": {"node": key_of("a")}})
    return fleet_facts.facts("a", {"eth1": "ice", "eth2": "ice"}, config, status)


@pytest.fixture
def booting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Each of so many plannings wants a boot."""
    wanted = [1]

    def with_boot(inventory: Any, name: str, draft: Any, *more: Any) -> None:
        plan_e810(inventory, name, draft, *more)
        if wanted[0]:
            wanted[0] -= 1
            step = HostReboot.planned(draft.facts.config, draft.facts.status["owned"], "firmware")
            draft.nic_steps.append((None, step))

    monkeypatch.setattr(planner, "plan_e810", with_boot)
    return wanted


def kinds(plan: Any) -> list[str]:
    return [step.kind for step in plan.hosts["a"].steps]


def test_a_boot_comes_before_what_it_would_wipe(tmp_path: Path, booting: list[int]) -> None:
    inventory = loaded(INVENTORY, tmp_path)
    found = {"a": facts()}
    plan = plan_for(inventory, found)
    assert plan.refusals == ()
    assert kinds(plan)[0] == "host_reboot"
    assert "nic_vfs" in kinds(plan)
    assert plan.hosts["a"].boots
    assert [step.id[:2] for step in plan.hosts["a"].steps] == [f"{n:02d}" for n in range(1, len(kinds(plan)) + 1)]
    check_law(inventory, found, plan)


def test_what_was_there_before_a_boot_is_made_again_after_it(tmp_path: Path, booting: list[int]) -> None:
    inventory = loaded(INVENTORY, tmp_path)
    booting[0] = 0
    first = plan_for(inventory, {"a": facts()})
    assert first.refusals == ()
    assert not first.hosts["a"].boots
    after = {"a": applied(facts(), first.hosts["a"])}
    booting[0] = 1
    second = plan_for(inventory, after)
    assert second.refusals == ()
    steps = kinds(second)
    assert steps[: steps.index("host_reboot")] == ["engine_service"]
    again = steps[steps.index("host_reboot") + 1 :]
    assert again == [step.kind for step in first.hosts["a"].boot.steps]  # type: ignore[union-attr]
    assert {"nic_eswitch", "nic_vfs", "nic_rules_flower", "nic_queues", "engine_service"} <= set(again)
    assert second.hosts["a"].expected() == after["a"].config


def test_one_boot_has_to_be_enough(tmp_path: Path, booting: list[int]) -> None:
    booting[0] = 2
    plan = plan_for(loaded(INVENTORY, tmp_path), {"a": facts()})
    assert "one boot is not enough" in plan.refusals[0]["reason"]


def test_a_boot_plan_ends_in_what_the_plan_left(tmp_path: Path) -> None:
    plan = plan_for(loaded(INVENTORY, tmp_path), {"a": facts()})
    boot = plan.hosts["a"].boot
    assert boot is not None
    assert boot.config["functions"][PF0]["vfs"] == 0
    assert boot.config["engine"]["service"] == "stopped"
    assert boot.expected() == plan.hosts["a"].expected()
    assert [step.kind for step in boot.steps][-1] == "engine_service"
    assert all(step.kind != "engine_config" for step in boot.steps)  # files outlive a boot
