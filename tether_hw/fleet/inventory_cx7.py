# SPDX-License-Identifier: Apache-2.0
"""What must hold within the ConnectX ports and simulated devices of a host, and between those of one card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tether_hw.nic.cx7.model import SwitchNic
from tether_hw.nic.cx7.nv import OWN
from tether_hw.nic.steering.model import overlap

if TYPE_CHECKING:
    from tether_hw.fleet.inventory import Loader
    from tether_hw.fleet.models import Host
    from tether_hw.nic.steering.model import Steering, WantedRule

Where = tuple[str | int, ...]


def check_cx7(loader: Loader, name: str, host: Host) -> None:
    """Mistakes of the NICs of this family go to the loader."""
    settings: dict[tuple[str, str], tuple[str, str]] = {}
    for nic_name, nic in host.nics.items():
        if not isinstance(nic, SwitchNic):
            continue
        base: Where = ("hosts", name, "nics", nic_name)
        _mode(loader, base, nic)
        _functions(loader, base, nic)
        if nic.steering is not None:
            _rules(loader, base, nic, nic.steering)
        for key, value in nic.nv.items():
            if nic.device.serial is None or key.startswith(OWN):
                continue
            first = settings.setdefault((nic.device.serial, key), (nic_name, value))
            if first[1] != value:
                hint = "it is the card's: say it once, or the same on each of its NICs"
                loader.problem((*base, "nv", key), f"{first[0]} of the same card has {first[1]}", hint)


def _mode(loader: Loader, base: Where, nic: SwitchNic) -> None:
    simulated = nic.device.devlink is not None
    for field, there, hint in (
        ("carrier", nic.mode == "dpdk" and nic.carrier is not None, "the PMD carries the frames: leave it out"),
        ("udp", nic.mode == "dpdk" and nic.udp is not None, "leave it out, or say mode: kernel"),
    ):
        if there:
            loader.problem((*base, field), "does not go with mode dpdk", hint)
    for field, there in (
        ("nv", bool(nic.nv)),
        ("psid", nic.psid is not None),
        ("sfs", bool(nic.sfs)),
        ("mode", nic.mode == "dpdk"),
    ):
        if simulated and there:
            loader.problem((*base, field), "is of cards; netdevsim has none", "leave it out")


def _functions(loader: Loader, base: Where, nic: SwitchNic) -> None:
    addresses: dict[str, str] = {}
    vfs = nic.vfs if isinstance(nic.vfs, list) else []
    named = [*(("vfs", number, f"VF {number}", vf) for number, vf in enumerate(vfs))]
    numbers: set[int] = set()
    for number, sf in enumerate(nic.sfs or []):
        if sf.number in numbers:
            loader.problem((*base, "sfs", number, "number"), f"{sf.number} is there twice", "a number is an SF's name")
        numbers.add(sf.number)
        if nic.eswitch == "legacy":
            loader.problem((*base, "sfs", number), "SFs are of switchdev", "say eswitch: switchdev")
    for field, number, who, function in [
        *named,
        *(("sfs", number, f"SF {sf.number}", sf) for number, sf in enumerate(nic.sfs or [])),
    ]:
        if function.address is None:
            continue
        first = addresses.setdefault(function.address, who)
        if first != who:
            loader.problem((*base, field, number, "address"), f"is the address of {first} too", "addresses are unique")


def _rules(loader: Loader, base: Where, nic: SwitchNic, steering: Steering) -> None:
    names: dict[str, int] = {}
    for number, rule in enumerate(steering.rules):
        where = (*base, "steering", "rules", number)
        if names.setdefault(rule.name, number) != number:
            loader.problem((*where, "name"), f"is the name of rule {names[rule.name]} too", "names are unique on a NIC")
        for other in steering.rules[:number]:
            if other.name == rule.name or ("queue" in {rule.kind, other.kind} and rule.kind != other.kind):
                continue  # queues are chosen behind the switch
            if overlap(rule.bind("x", 0, "required", 0), other.bind("x", 0, "required", 0)):
                message = f"fits frames that {other.name} fits too"
                loader.problem((*where, "match"), message, "which rule wins is the card's choice: set them apart")
        _action(loader, where, nic, rule)


def _action(loader: Loader, where: Where, nic: SwitchNic, rule: WantedRule) -> None:
    if nic.mode == "dpdk" and rule.kind in ("redirect", "goto"):
        hint = "say queue: N or drop, or mode: kernel"
        loader.problem((*where, "action"), "is the switch's: DPDK steers to queues of its own port", hint)
    if isinstance(rule.action, str):
        return
    if rule.kind in ("redirect", "goto") and nic.eswitch == "legacy":
        loader.problem((*where, "action"), "there is no switch in legacy mode", "say eswitch: switchdev")
    if rule.action.queue is not None and nic.queues is not None and rule.action.queue >= nic.queues:
        hint = f"queues are 0 to {nic.queues - 1}"
        loader.problem((*where, "action"), f"queue {rule.action.queue} of a NIC with {nic.queues} queues", hint)
    numbers = {sf.number for sf in nic.sfs or []}
    for target in rule.targets:
        if target.vf is not None and nic.vf_count is not None and target.vf >= nic.vf_count:
            loader.problem((*where, "action"), f"VF {target.vf} of a NIC with {nic.vf_count}", "say more vfs:")
        if target.sf is not None and nic.sfs is not None and target.sf not in numbers:
            loader.problem((*where, "action"), f"SF {target.sf} is none of sfs", "say it there")
