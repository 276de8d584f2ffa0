# SPDX-License-Identifier: Apache-2.0
"""Cards with two sides, while each side is planned: what the one must know of the other. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tether_hw.nic.bluefield import sides
from tether_hw.nic.bluefield.model import BluefieldNic, Side
from tether_hw.nic.cx7.goal import FunctionPlan, Scene
from tether_hw.plan.kinds.nic_reset import NicReset

if TYPE_CHECKING:
    from tether_hw.fleet.draft import HostDraft
    from tether_hw.fleet.inventory import Inventory
    from tether_hw.nic.cx7.nv import Waiting
    from tether_hw.nic.cx7.steer import Port
    from tether_hw.plan.plan import HostPlan


def arms_first(inventory: Inventory, names: Iterable[str]) -> list[str]:
    """Hosts in the order in which they are planned: what an Arm resets, its host waits for."""
    arms = {card.arm for card in inventory.cards.values()}
    return sorted(names, key=lambda name: (name not in arms, name))


def side_of(inventory: Inventory, name: str, nic: object, serial: str | None) -> Side | None:
    """The side of a card where somebody else has, or wants, what the mode gives to one of them; None: it has all."""
    if isinstance(nic, BluefieldNic):
        return None if nic.seat.mode == "nic" else nic.seat.side
    for card in inventory.cards.values():
        if serial == card.serial and name in (card.arm, card.host) and card.mode != "nic":
            return "arm" if name == card.arm else "host"
    return None


def _beside(inventory: Inventory, nic: BluefieldNic) -> BluefieldNic | None:
    """The same port as the other side says it."""
    other = inventory.hosts.get(nic.seat.other)
    for one in () if other is None else other.nics.values():
        if isinstance(one, BluefieldNic) and (one.card, one.port) == (nic.card, nic.port):
            return one
    return None


def gives_addresses(inventory: Inventory, nic: BluefieldNic) -> bool:
    """Whether the Arm gives the host's VFs of this port addresses, which drivers read when they take them."""
    if nic.seat.side != "host" or nic.seat.holds:
        return False
    arm = _beside(inventory, nic)
    return arm is not None and any("address" in told for told in arm.vfs_told().values())


def at_side(
    inventory: Inventory, draft: HostDraft, ports: Mapping[str, Port | None], scenes: Mapping[str, Scene]
) -> dict[str, FunctionPlan]:
    """Function -> what the mode of its card says, for every port of a card with two sides."""
    found = {}
    modes: dict[str, FunctionPlan] = {}
    for function, scene in scenes.items():
        port = ports[function]
        if port is None or not isinstance(port.nic, BluefieldNic):
            continue
        nic, seat = port.nic, port.nic.seat
        says = nic.card not in modes and (seat.side == "arm" or _beside(inventory, nic) is None)
        plan = sides.mode_of(nic, port.name, function, scene, says)
        first = modes.setdefault(nic.card, plan)
        if first is not plan and plan.stays:
            plan = FunctionPlan(stays=True)  # said once for a card
        if not plan.stays and seat.side == "host" and nic.card in draft.resets:
            plan.stays = True
            plan.notes.append(
                f"NIC {port.name}: {seat.arm}'s plan resets card {seat.card}: nothing here before that; "
                "then tether plan"
            )
        if not plan.stays and seat.side == "arm":
            sides.check_arm(plan, nic, port.name, function, draft.facts.config["functions"], ports)
        found[function] = plan
    return found


def give_resets(
    plan: FunctionPlan, ports: Mapping[str, Port | None], scenes: Mapping[str, Scene], waiting: Waiting
) -> None:
    """One reset a card, asked for at its lowest port."""
    asked = sum(port.nic.vf_count or 0 for port in ports.values() if port is not None)
    for function in sorted(scenes):
        port = ports[function]
        if port is not None and isinstance(port.nic, BluefieldNic):
            sides.reset(plan, port.nic, port.name, function, scenes[function], waiting, asked)
            return


def reset_cards(inventory: Inventory, plan: HostPlan) -> frozenset[str]:
    """The cards that a plan resets."""
    functions = plan.config["functions"]
    serials = {functions[step.data["function"]]["card"] for step in plan.steps if step.kind == NicReset.kind}
    return frozenset(name for name, card in inventory.cards.items() if card.serial in serials)


def explained(draft: HostDraft, name: str, nic: object) -> bool:
    """Whether the mode of a card, or its Arm, says why a port shows no device; that is a refusal or a note."""
    if not isinstance(nic, BluefieldNic):
        return False
    seat, serial = nic.seat, nic.device.serial
    other = draft.beside.get(seat.other)
    beside: Mapping[str, Any] | None = None if other is None else other.config["functions"]
    mine = [
        one
        for one, facts in draft.facts.config["functions"].items()
        if facts["card"] == serial and draft.facts.status["functions"][one]["port"] == nic.port
    ]
    if seat.side == "arm" and not mine:
        running = None if beside is None else sides.running_mode(beside, str(serial))
        if running == "nic":
            draft.notes.append(
                f"NIC {name}: card {seat.card} runs in mode nic, where the Arm has no port of it: nothing here before "
                f"it runs in mode {seat.mode}"
            )
            return True
        return False
    if mine and draft.facts.config["functions"][mine[0]]["driver"] is None:
        words = sides.without_switch(nic, name, mine[0], beside)
        if words is not None:
            draft.refusals.append(words)
            return True
    return False
