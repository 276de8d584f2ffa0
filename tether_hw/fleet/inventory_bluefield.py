# SPDX-License-Identifier: Apache-2.0
"""What must hold of the ports of cards with two sides: which side may say what, and that both sides agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tether_hw.fleet.explain import nearest
from tether_hw.nic.bluefield.model import ENGINE, ENGINE_OF, BluefieldNic, Seat

if TYPE_CHECKING:
    from tether_hw.fleet.cards import Card
    from tether_hw.fleet.inventory import Inventory, Loader
    from tether_hw.fleet.models import Host

Where = tuple[str | int, ...]
_SWITCH = ("steering_mode", "eswitch", "inline", "encap", "sfs")


def seated(loader: Loader, inventory: Inventory) -> dict[str, Host]:
    """The hosts, each port of a card with its seat; those whose card is not to be found go to the loader."""
    hosts = {}
    for name, host in inventory.hosts.items():
        nics = dict(host.nics)
        ports: dict[tuple[str, int], str] = {}
        first: dict[str, str] = {}
        for nic_name, nic in sorted(host.nics.items(), key=lambda item: (getattr(item[1], "port", 0), item[0])):
            if not isinstance(nic, BluefieldNic):
                continue
            base: Where = ("hosts", name, "nics", nic_name)
            card = _card(loader, inventory, base, name, nic)
            if card is None:
                del nics[nic_name]
                continue
            taken = ports.setdefault((nic.card, nic.port), nic_name)
            if taken != nic_name:
                loader.problem((*base, "port"), f"is port {nic.port} of {taken} too", "a port is there once")
            nics[nic_name] = _with_seat(nic, name, card, first.setdefault(nic.card, nic_name) == nic_name)
        hosts[name] = host.model_copy(update={"nics": nics})
    return hosts


def _card(loader: Loader, inventory: Inventory, base: Where, name: str, nic: BluefieldNic) -> Card | None:
    card = inventory.cards.get(nic.card)
    if card is None:
        near = nearest(nic.card, sorted(inventory.cards))
        hint = f"did you mean {near!r}?" if near else "say it in cards: serial, arm, host, mode"
        loader.problem((*base, "card"), f"unknown card {nic.card!r}", hint)
        return None
    if name not in (card.arm, card.host):
        hint = f"its NICs stand under {card.arm} and {card.host}"
        loader.problem((*base, "card"), f"{name} is neither the Arm nor the host of {nic.card}", hint)
        return None
    return card


def _with_seat(nic: BluefieldNic, name: str, card: Card, lowest: bool) -> BluefieldNic:
    """A setting that is the card's is set at one function of it."""
    side = "arm" if name == card.arm else "host"
    seat = Seat(nic.card, card.mode, "arm" if side == "arm" else "host", card.arm, card.host, card.reboots)
    own = {**card.nv, ENGINE: ENGINE_OF[card.mode]} if seat.holds and lowest else {}
    return nic.seated(seat, card.serial, card.psid, own)


def check_sides(loader: Loader, name: str, host: Host) -> None:
    """What a side says that is the other's to say."""
    for nic_name, nic in host.nics.items():
        if not isinstance(nic, BluefieldNic):
            continue
        base: Where = ("hosts", name, "nics", nic_name)
        seat = nic.seat
        if ENGINE in nic.nv and nic.nv[ENGINE] != ENGINE_OF[seat.mode]:
            hint = "leave it out: the mode says it"
            loader.problem((*base, "nv", ENGINE), f"card {seat.card} is in mode {seat.mode}", hint)
        if seat.side == "arm" and seat.mode == "nic":
            hint = f"its ports are those of {seat.host}; or say mode: dpu"
            loader.problem((*base, "card"), f"in mode nic the Arm has no port of {seat.card}", hint)
        elif seat.side == "host" and seat.mode != "nic":
            _host(loader, base, nic)
        elif seat.side == "arm":
            _arm(loader, base, nic)


def _arm(loader: Loader, base: Where, nic: BluefieldNic) -> None:
    if any(name.startswith("vf") for name in nic.lane_functions()):
        hint = f"VFs are functions of {nic.seat.host}: say on: pf, or an SF of the Arm"
        loader.problem((*base, "lanes", "on"), "a lane at the Arm is on no VF", hint)
    if nic.eswitch == "legacy":
        hint = "say eswitch: switchdev on both of its ports, or mode: nic"
        loader.problem((*base, "eswitch"), f"{nic.seat.host}'s driver waits for switchdev at the Arm", hint)


def _host(loader: Loader, base: Where, nic: BluefieldNic) -> None:
    """In modes dpu and zero-trust: VFs, their drivers, queues and lanes are the host's, all else is the Arm's."""
    seat = nic.seat
    at = f"say it at the NIC with port {nic.port} of {seat.arm}"
    if nic.lane_functions():
        hint = f"say on: pf here; the rules of VFs stand at {seat.arm}"
        loader.problem((*base, "lanes", "on"), "the switch that brings lanes to VFs is the Arm's", hint)
    for field in _SWITCH:
        if getattr(nic, field) is not None:
            loader.problem((*base, field), f"is the Arm's to say in mode {seat.mode}", at)
    if nic.params != type(nic.params)():
        loader.problem((*base, "params"), f"are the Arm's to say in mode {seat.mode}", at)
    if isinstance(nic.vfs, list):
        hint = f"say vfs: {len(nic.vfs)} here, and the list at the NIC with port {nic.port} of {seat.arm}"
        loader.problem((*base, "vfs"), f"what VFs are told is the Arm's to say in mode {seat.mode}", hint)
    if nic.nv:
        hint = f"say them at cards.{seat.card}.nv: they are set at {seat.arm}"
        loader.problem((*base, "nv"), f"settings are the Arm's to say in mode {seat.mode}", hint)
    for number, rule in enumerate([] if nic.steering is None else nic.steering.rules):
        if rule.kind in ("redirect", "goto") or rule.chain:
            where: Where = (*base, "steering", "rules", number, "action")
            loader.problem(where, f"the switch is the Arm's in mode {seat.mode}", at)


def check_both_sides(loader: Loader, inventory: Inventory) -> None:
    """Both sides of a port count the same VFs; whose they are, the host says."""
    found: dict[tuple[str, int], dict[str, tuple[str, BluefieldNic]]] = {}
    for host in inventory.hosts.values():
        for nic_name, nic in host.nics.items():
            if isinstance(nic, BluefieldNic):
                found.setdefault((nic.card, nic.port), {})[nic.seat.side] = (nic_name, nic)
    for sides in found.values():
        if "arm" not in sides:
            continue
        nic_name, arm = sides["arm"]
        if arm.vf_count is None or arm.seat.mode == "nic":
            continue
        where: Where = ("hosts", arm.seat.arm, "nics", nic_name, "vfs")
        hosts = sides.get("host")
        if hosts is None or hosts[1].vf_count is None:
            hint = f"say vfs: {arm.vf_count} at a NIC of {arm.seat.host} with card: {arm.card}, port: {arm.port}"
            loader.problem(where, f"the VFs are {arm.seat.host}'s to make", hint)
        elif hosts[1].vf_count != arm.vf_count:
            count = hosts[1].vf_count
            loader.problem(where, f"{arm.vf_count} VFs, {arm.seat.host}.{hosts[0]} makes {count}", "say the same")


__all__ = ["check_both_sides", "check_sides", "seated"]
