# SPDX-License-Identifier: Apache-2.0
"""The planner's law: facts + effects = intent, the plan of that is empty, and taken back it is as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.support import fleet_facts
from tests.support.cases import applied, key_of
from tether_hw.fleet.inventory import Inventory, load
from tether_hw.fleet.planner import Setting, make_plan
from tether_hw.plan.cold import volatile
from tether_hw.plan.effects import fold
from tether_hw.plan.facts import Facts, differences
from tether_hw.plan.kinds.registry import parse_data
from tether_hw.plan.plan import Plan
from tether_hw.plan.undo import undo_order


def loaded(document: dict[str, Any], folder: Path) -> Inventory:
    path = folder / "inventory.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    keys = {name: {"keys": [key_of(name)]} for name in document["hosts"]}
    (folder / "inventory.keys.yaml").write_text(yaml.safe_dump({"hosts": keys}), encoding="utf-8")
    return load(path)


def plan_for(inventory: Inventory, facts: dict[str, Facts], setting: Setting | None = None) -> Plan:
    there = {name: facts[name] for name in inventory.hosts if name in facts}
    return make_plan(inventory, there, setting or fleet_facts.setting())


def check_law(
    inventory: Inventory, facts: dict[str, Facts], plan: Plan, setting: Setting | None = None
) -> dict[str, Facts]:
    """The law for every host that is not refused; gives the facts afterwards."""
    after = dict(facts)
    for name, host in plan.hosts.items():
        config = host.config
        for step in host.steps:
            assert all(condition.holds(config) for condition in step.pre)
            config = fold(config, parse_data(step.kind, step.data).effect(config))
        assert differences(config, host.expected()) == []
        if host.boot is not None:
            boots = host.boot.config
            for step in host.boot.steps:
                assert all(condition.holds(boots) for condition in step.pre)
                boots = fold(boots, step.effect)
            lasting = [one for one in differences(config, boots) if not volatile(tuple(one["path"]))]
            assert lasting == []
        for undo in undo_order(host.steps):
            assert undo.data is not None, undo.reason
            config = fold(config, undo.data.effect(config))
        assert differences(config, facts[name].config) == []
        after[name] = applied(facts[name], host)
    again = make_plan(inventory, {name: after[name] for name in plan.hosts}, setting or fleet_facts.setting())
    assert [step.summary for step in again.steps] == []
    assert again.refusals == ()
    assert Plan.load(plan.text()) == plan
    return after
