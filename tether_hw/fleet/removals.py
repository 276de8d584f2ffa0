# SPDX-License-Identifier: Apache-2.0
"""What we own on a host and the inventory no longer asks for. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from tether_hw.fleet.inventory import Inventory
from tether_hw.fleet.lanes import carrier_of
from tether_hw.fleet.models import DEFAULT_MTU
from tether_hw.nic.generic.limits import XDP_MTU_MAX
from tether_hw.plan.effects import MISSING, look_up
from tether_hw.plan.facts import Facts
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.nic_mtu import NicMtu
from tether_hw.plan.kinds.nic_queues import NicQueues
from tether_hw.plan.kinds.nic_ring import NicRing


def asked_for(inventory: Inventory, name: str, devices: Mapping[str, str]) -> set[tuple[str, str]]:
    """The (device, field) pairs of which the inventory says what they shall be."""
    host = inventory.hosts[name]
    pairs = set()
    for nic_name, device in devices.items():
        nic = host.nics[nic_name]
        link = inventory.link_of[name].get(nic_name)
        stated = inventory.links[link].mtu if link else None
        if nic.mtu is not None or (stated is not None and carrier_of(nic, host.engine) != "udp"):
            pairs.add((device, "mtu"))
        if nic.queues is not None:
            pairs.add((device, "queues"))
        if nic.ring is not None:
            pairs.add((device, "ring"))
    return pairs


def nic_removals(
    facts: Facts, inventory: Inventory, name: str, devices: Mapping[str, str], notes: list[str]
) -> list[tuple[str | None, StepData]]:
    """The (NIC, step) pairs that put back what we set and nobody asks for, while it still is what we set."""
    steps: list[tuple[str | None, StepData]] = []
    wanted = asked_for(inventory, name, devices)
    nic_of = {device: nic for nic, device in devices.items()}
    for entry in facts.status["owned"]:
        path = tuple(entry["path"])
        if path[0] != "nics" or len(path) != 3 or (path[1], path[2]) in wanted:
            continue
        device, what = path[1], path[2]
        now = look_up(facts.config, path)
        if now is MISSING:
            notes.append(f"{device} is gone: its {what}, which we set, cannot be put back")
        elif now == entry["before"]:
            continue
        elif now != entry["set"]:
            notes.append(f"{device}: {what} is no longer what we set; it is left as it is")
        elif _lanes_need(inventory, name, nic_of.get(device), what, entry["before"]):
            notes.append(f"{device}: {what} stays as we set it, its lanes need it")
        else:
            steps.append((nic_of.get(device), _put_back(device, what, entry["before"])))
    return steps


def _lanes_need(inventory: Inventory, name: str, nic: str | None, what: str, before: object) -> bool:
    """True when the lanes of a NIC could not be with the value that was there before us."""
    lanes = [lane for lane in inventory.lanes[name] if lane.nic == nic and "mac" in lane.address]
    if not lanes:
        return False
    if what == "queues" and isinstance(before, dict):
        return bool(max(lane.queue for lane in lanes) >= min(before.values()))
    mtu = inventory.links[lanes[0].link].mtu or DEFAULT_MTU
    if what != "mtu" or not isinstance(before, int):
        return False
    return before < mtu or (lanes[0].carrier == "af_xdp" and before > XDP_MTU_MAX)


def _put_back(device: str, what: str, before: object) -> StepData:
    if what == "mtu" and isinstance(before, int):
        return NicMtu(device, before)
    if what == "queues" and isinstance(before, dict):
        return NicQueues(device, before)
    if what == "ring" and isinstance(before, dict):
        return NicRing(device, before)
    raise ValueError(f"the owned record of {device} has no usable {what}")


def engine_is_ours(facts: Facts) -> bool:
    """True when the owned record lists anything of the engine."""
    return any(entry["path"][0] == "engine" for entry in facts.status["owned"])
