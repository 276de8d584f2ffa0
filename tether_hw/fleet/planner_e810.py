# SPDX-License-Identifier: Apache-2.0
"""The E810 cards of a host: their NICs brought together by card, and planned by their family. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tether_hw.fleet.draft import HostDraft, Setting
from tether_hw.fleet.inventory import Inventory
from tether_hw.fleet.packages import path_of
from tether_hw.nic.e810.model import E810Nic
from tether_hw.nic.e810.plan import Scene, plan_card
from tether_hw.nic.e810.steer import Port
from tether_hw.nic.functions.lane import LaneAt


def dpdk_nics(inventory: Inventory, name: str) -> list[str]:
    """The NICs of a host that DPDK drives alone: the kernel may have no device of them."""
    nics = inventory.hosts[name].nics.items()
    return sorted(nic_name for nic_name, nic in nics if isinstance(nic, E810Nic) and nic.mode == "dpdk")


def leaves_safe_mode(nic: object, config: Mapping[str, Any], device: str) -> bool:
    """Whether a NIC's card is in safe mode and gets a package: what the driver limits now it will not limit then."""
    if not isinstance(nic, E810Nic) or nic.ddp is None:
        return False
    function = next((one for one in config["functions"].values() if one["device"] == device), None)
    return function is not None and function["card"] is not None and config["cards"][function["card"]]["safe_mode"]


def without_driver(nic: object, draft: HostDraft) -> str | None:
    """Why the port of an E810 that the host has shows no device; None where it has none or is no E810."""
    function = _function(draft, nic, None) if isinstance(nic, E810Nic) else None
    if function is None:
        return None
    driver = draft.facts.config["functions"][function]["driver"]
    return f"{function} has {'no driver' if driver is None else f'driver {driver}'}: give it to ice, or say mode: dpdk"


def plan_e810(inventory: Inventory, name: str, draft: HostDraft, setting: Setting, devices: Mapping[str, str]) -> None:
    """Plan the E810 cards that the inventory asks for, and those on which something of ours is left."""
    config, status = draft.facts.config, draft.facts.status
    cards: dict[str, list[Port]] = {}
    for path in (entry["path"] for entry in status["owned"]):
        serial = config["functions"].get(path[1], {}).get("card") if path[0] == "functions" else path[1]
        if path[0] == "functions" and config["functions"].get(path[1], {}).get("mlx5") is not None:
            continue  # of another family
        if path[0] in ("functions", "cards"):
            if serial in config["cards"]:
                cards.setdefault(serial, [])
            else:
                draft.notes.append(f"{path[1]} is gone: its {path[-1]}, which we set, cannot be put back")
    packages = {}
    for nic_name, nic in sorted(inventory.hosts[name].nics.items()):
        if not isinstance(nic, E810Nic):
            continue
        port = _port(inventory, name, nic_name, nic, draft, devices.get(nic_name))
        if port is None:
            continue
        serial = config["functions"][port.function]["card"]
        if serial is None:
            draft.refusals.append(f"NIC {nic_name}: its card shows no serial number: devlink dev info has none")
            continue
        cards.setdefault(serial, []).append(port)
        if nic.ddp is not None:
            file = setting.packages.of(nic.ddp)
            place = inventory.ddp_place(name, nic_name, file.field)
            packages[nic_name] = file.told(place, str(path_of(inventory, nic.ddp)))
        if nic.mode == "dpdk":
            draft.not_for_apply.append(f"{name}: NIC {nic_name} is in mode dpdk, and no bundle has a carrier dpdk")
    for serial in sorted(cards):
        scene = Scene(config, status, setting.profiles.e810, packages, tuple(draft.nic_steps))
        plan = plan_card(serial, cards[serial], scene)
        draft.nic_steps = [pair for pair in draft.nic_steps if pair[1] not in plan.dropped] + plan.steps
        draft.refusals.extend(plan.refusals)
        draft.notes.extend(plan.notes)
        draft.steered |= plan.steered
        draft.checks.extend(plan.checks)


def lanes_at(inventory: Inventory, name: str, nic_name: str) -> tuple[LaneAt, ...]:
    """The lanes of a NIC that have an address of their own on raw Ethernet."""
    return tuple(
        LaneAt(
            lane.lane,
            lane.address["mac"],
            lane.address["vlan"],
            lane.queue,
            inventory.links[lane.link].delivers == "by-lane",
            lane.on,
        )
        for lane in inventory.lanes[name]
        if lane.nic == nic_name and "mac" in lane.address
    )


def _port(
    inventory: Inventory, name: str, nic_name: str, nic: E810Nic, draft: HostDraft, device: str | None
) -> Port | None:
    function = _function(draft, nic, device)
    if function is None:
        driver = draft.facts.config["nics"][device]["driver"] if device is not None else None
        if device is not None:
            draft.refusals.append(f"NIC {nic_name}: {device} is no E810: its driver is {driver}")
        elif nic.mode == "dpdk":
            selector = " ".join(f"{kind} {value}" for kind, value in nic.device.selector().items())
            draft.refusals.append(f"NIC {nic_name}: no E810 with {selector}")
        return None
    lanes = lanes_at(inventory, name, nic_name)
    return Port(nic_name, nic, function, draft.facts.config["functions"][function]["device"], lanes)


def _function(draft: HostDraft, nic: E810Nic, device: str | None) -> str | None:
    functions = draft.facts.config["functions"]
    selector = nic.device.selector()
    for entry in draft.facts.status["devices"]:
        if entry["selector"] == selector and entry["function"] in functions:
            return str(entry["function"])
    found = (one for one, facts in functions.items() if device is not None and facts["device"] == device)
    return next(found, None)
