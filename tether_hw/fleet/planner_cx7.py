# SPDX-License-Identifier: Apache-2.0
"""The ConnectX ports and simulated devices of a host, each planned by its family with what its driver can. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tether_hw.fleet.draft import HostDraft, Setting
from tether_hw.fleet.inventory import Inventory
from tether_hw.fleet.planner_e810 import lanes_at
from tether_hw.nic.cx7.goal import FunctionPlan, Scene
from tether_hw.nic.cx7.model import Cx7Nic
from tether_hw.nic.cx7.nv import Waiting, boot, plan_settings
from tether_hw.nic.cx7.plan import plan_function
from tether_hw.nic.cx7.steer import Port
from tether_hw.plan.facts import Facts
from tether_hw.plan.function_name import is_simulated


def plan_cx7(inventory: Inventory, name: str, draft: HostDraft, setting: Setting, devices: Mapping[str, str]) -> None:
    """Plan the functions of this family that the inventory asks for, and those on which something of ours is left."""
    functions = draft.facts.config["functions"]
    ports: dict[str, Port | None] = {}
    for entry in draft.facts.status["owned"]:
        path = entry["path"]
        if path[0] == "functions" and functions.get(path[1], {}).get("mlx5") is not None:
            ports.setdefault(path[1], None)
    for nic_name, nic in sorted(inventory.hosts[name].nics.items()):
        if not isinstance(nic, Cx7Nic) or nic_name not in devices:
            continue
        function = function_of(draft.facts, nic, devices[nic_name])
        if function is None or functions[function]["mlx5"] is None:
            driver = draft.facts.config["nics"][devices[nic_name]]["driver"]
            known = " or ".join(sorted(setting.profiles.cx7))
            draft.refusals.append(f"NIC {nic_name}: {devices[nic_name]} has driver {driver}, this family has {known}")
            continue
        other = ports.get(function)
        if other is not None:
            draft.refusals.append(f"NIC {nic_name}: {function} is NIC {other.name} already")
            continue
        ports[function] = Port(nic_name, nic, function, devices[nic_name], lanes_at(inventory, name, nic_name))
        if nic.mode == "dpdk":
            draft.not_for_apply.append(f"{name}: NIC {nic_name} is in mode dpdk, and no bundle has a carrier dpdk")
    scenes = {}
    for function in sorted(ports):
        can = setting.profiles.cx7.get(functions[function]["driver"])
        if can is None:
            draft.notes.append(f"{function} has no driver of ours any more: what we set cannot be put back")
        else:
            scenes[function] = Scene(draft.facts.config, draft.facts.status, can, (), setting.forced)
    _settings(draft, ports, scenes)
    for function, scene in scenes.items():
        plan = plan_function(function, ports[function], replace(scene, others=tuple(draft.nic_steps)))
        _take(draft, plan)


def _settings(draft: HostDraft, ports: Mapping[str, Port | None], scenes: Mapping[str, Scene]) -> None:
    """What cards start with, and the boot for it. Those that the inventory asks something of come first."""
    waiting = Waiting([], {})
    config = draft.facts.config
    for function in sorted(scenes, key=lambda name: (ports[name] is None, name)):
        plan = FunctionPlan()
        scene = plan_settings(plan, function, ports[function], replace(scenes[function], config=config), waiting)
        config = scene.config
        _take(draft, plan)
    if waiting.words:
        step = boot(waiting, replace(next(iter(scenes.values())), config=draft.facts.config))
        if step is not None:
            draft.nic_steps.append((None, step))


def _take(draft: HostDraft, plan: FunctionPlan) -> None:
    draft.nic_steps += plan.steps
    draft.refusals.extend(plan.refusals)
    draft.notes.extend(plan.notes)
    draft.steered |= plan.steered
    draft.checks.extend(plan.checks)


def functions_of(inventory: Inventory, name: str, facts: Facts, devices: Mapping[str, str]) -> dict[str, str]:
    """NIC -> its function, where lanes are on others beside it."""
    found = {}
    for nic_name, nic in inventory.hosts[name].nics.items():
        if isinstance(nic, Cx7Nic) and nic.lane_functions() and nic_name in devices:
            function = function_of(facts, nic, devices[nic_name])
            found.update({} if function is None or is_simulated(function) else {nic_name: function})
    return found


def function_of(facts: Facts, nic: Cx7Nic, device: str) -> str | None:
    """The function that a NIC of this family is."""
    functions = facts.config["functions"]
    selector = nic.device.selector()
    for entry in facts.status["devices"]:
        if entry["selector"] == selector and entry["function"] in functions:
            return str(entry["function"])
    return next((one for one, facts in functions.items() if facts["device"] == device), None)
