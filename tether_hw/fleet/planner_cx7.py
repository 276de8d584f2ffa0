# SPDX-License-Identifier: Apache-2.0
"""The ports of mlx5 and of netdevsim that a host has, each planned with what its driver can. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tether_hw.fleet.draft import HostDraft, Setting
from tether_hw.fleet.inventory import Inventory
from tether_hw.fleet.planner_bluefield import at_side, give_resets, gives_addresses, side_of
from tether_hw.fleet.planner_e810 import lanes_at
from tether_hw.nic.bluefield.model import BluefieldNic
from tether_hw.nic.cx7.capability import ByReset, Capabilities
from tether_hw.nic.cx7.goal import FunctionPlan, Scene
from tether_hw.nic.cx7.model import SwitchNic
from tether_hw.nic.cx7.nv import Waiting, boot, plan_settings
from tether_hw.nic.cx7.plan import plan_function
from tether_hw.nic.cx7.steer import Port
from tether_hw.plan.facts import Facts
from tether_hw.plan.function_name import is_simulated

Ports = Mapping[str, Port | None]


def plan_cx7(inventory: Inventory, name: str, draft: HostDraft, setting: Setting, devices: Mapping[str, str]) -> None:
    """Plan the functions that the inventory asks for, and those on which something of ours is left."""
    ports = _ports(inventory, name, draft, setting, devices)
    scenes = {}
    for function in sorted(ports):
        can = capabilities(inventory, name, setting, ports[function], draft, function)
        if can is None:
            draft.notes.append(f"{function} has no driver of ours any more: what we set cannot be put back")
            continue
        port = ports[function]
        held = port is not None and isinstance(port.nic, BluefieldNic) and gives_addresses(inventory, port.nic)
        scenes[function] = Scene(draft.facts.config, draft.facts.status, can, (), setting.forced, held)
    for function, plan in at_side(inventory, draft, ports, scenes).items():
        _take(draft, plan)
        if plan.stays:
            port = ports[function]
            who = None if port is None else port.name
            draft.nic_steps = [pair for pair in draft.nic_steps if pair[0] != who or pair in plan.steps]
            del scenes[function]
    _settings(draft, ports, scenes)
    for function, scene in scenes.items():
        _take(draft, plan_function(function, ports[function], replace(scene, others=tuple(draft.nic_steps))))


def _ports(
    inventory: Inventory, name: str, draft: HostDraft, setting: Setting, devices: Mapping[str, str]
) -> dict[str, Port | None]:
    functions = draft.facts.config["functions"]
    ports: dict[str, Port | None] = {}
    for entry in draft.facts.status["owned"]:
        path = entry["path"]
        if path[0] == "functions" and functions.get(path[1], {}).get("mlx5") is not None:
            ports.setdefault(path[1], None)
    for nic_name, nic in sorted(inventory.hosts[name].nics.items()):
        if not isinstance(nic, SwitchNic) or nic_name not in devices:
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
    return ports


def capabilities(
    inventory: Inventory, name: str, setting: Setting, port: Port | None, draft: HostDraft, function: str
) -> Capabilities | None:
    """What the driver of a function can be asked for at this side of its card, if it is a card with two."""
    facts = draft.facts.config["functions"][function]
    side = side_of(inventory, name, None if port is None else port.nic, facts["card"])
    if side is not None and facts["driver"] == setting.profiles.bluefield[side].driver:
        return setting.profiles.bluefield[side]
    return setting.profiles.cx7.get(facts["driver"])


def _settings(draft: HostDraft, ports: Ports, scenes: Mapping[str, Scene]) -> None:
    """What cards start with, and the boot or reset for it. Those that the inventory asks something of come first."""
    boots, resets = Waiting([], {}), Waiting([], {})
    config = draft.facts.config
    for function in sorted(scenes, key=lambda name: (ports[name] is None, name)):
        plan = FunctionPlan()
        settings = scenes[function].can.settings
        waiting = resets if settings is not None and isinstance(settings.starts_by, ByReset) else boots
        scene = plan_settings(plan, function, ports[function], replace(scenes[function], config=config), waiting)
        config = scene.config
        _take(draft, plan)
    if boots.words:
        step = boot(boots, replace(next(iter(scenes.values())), config=draft.facts.config))
        if step is not None:
            draft.nic_steps.append((None, step))
    if resets.words:
        plan = FunctionPlan()
        give_resets(plan, ports, scenes, resets)
        _take(draft, plan)


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
        if isinstance(nic, SwitchNic) and nic.lane_functions() and nic_name in devices:
            function = function_of(facts, nic, devices[nic_name])
            found.update({} if function is None or is_simulated(function) else {nic_name: function})
    return found


def function_of(facts: Facts, nic: SwitchNic, device: str) -> str | None:
    """The function that a NIC of these families is."""
    functions = facts.config["functions"]
    selector = nic.device.selector()
    for entry in facts.status["devices"]:
        if entry["selector"] == selector and entry["function"] in functions:
            return str(entry["function"])
    return next((one for one, facts in functions.items() if facts["device"] == device), None)
