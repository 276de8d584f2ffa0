# SPDX-License-Identifier: Apache-2.0
"""What must hold within the E810 NICs of a host, and between those of one card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tether_hw.nic.e810.model import E810Nic
from tether_hw.nic.steering.model import overlap

if TYPE_CHECKING:
    from tether_hw.fleet.inventory import Loader
    from tether_hw.fleet.models import Host
    from tether_hw.nic.steering.model import Steering, WantedRule

Where = tuple[str | int, ...]


def check_e810(loader: Loader, name: str, host: Host) -> None:
    """Mistakes of the E810 NICs of a host go to the loader."""
    packages: dict[str, str] = {}
    for nic_name, nic in host.nics.items():
        if not isinstance(nic, E810Nic):
            continue
        base: Where = ("hosts", name, "nics", nic_name)
        _mode(loader, base, nic)
        if nic.steering is not None:
            _rules(loader, base, nic, nic.steering)
        serial = nic.device.serial
        if nic.ddp is not None and serial is not None:
            first = packages.setdefault(serial, nic_name)
            other = host.nics[first]
            if isinstance(other, E810Nic) and other.ddp != nic.ddp:
                loader.problem(
                    (*base, "ddp"),
                    f"{first} of the same card has another",
                    "a package is the card's: say it once, or the same on each of its NICs",
                )


def _mode(loader: Loader, base: Where, nic: E810Nic) -> None:
    if nic.mode != "dpdk":
        return
    for field, there, hint in (
        ("carrier", nic.carrier is not None, "the PMD carries the frames: leave it out"),
        ("udp", nic.udp is not None, "leave it out, or say mode: kernel"),
        ("eswitch", nic.eswitch == "switchdev", "switchdev is the kernel's: say legacy or leave it out"),
        ("vfs", bool(nic.vfs), "VFs are the kernel's: leave them out"),
    ):
        if there:
            loader.problem((*base, field), "does not go with mode dpdk", hint)
    if nic.device.name is not None:
        loader.problem(
            (*base, "device", "name"),
            "a NIC in mode dpdk has no kernel device",
            'say pci: "0000:17:00.0", or serial and port',
        )


def _rules(loader: Loader, base: Where, nic: E810Nic, steering: Steering) -> None:
    names: dict[str, int] = {}
    for number, rule in enumerate(steering.rules):
        where = (*base, "steering", "rules", number)
        if names.setdefault(rule.name, number) != number:
            loader.problem((*where, "name"), f"is the name of rule {names[rule.name]} too", "names are unique on a NIC")
        bound = rule.bind("x", number, "required", 0)
        for other in steering.rules[:number]:
            if other.name != rule.name and overlap(bound, other.bind("x", 0, "required", 0)):
                message = f"fits frames that {other.name} fits too"
                loader.problem((*where, "match"), message, "which rule wins is the card's choice: set them apart")
        _action(loader, (*where, "action"), nic, rule)


def _action(loader: Loader, where: Where, nic: E810Nic, rule: WantedRule) -> None:
    if isinstance(rule.action, str):
        return
    if rule.action.redirect is not None:
        vf = rule.action.redirect.vf
        if nic.mode == "dpdk":
            loader.problem(
                (*where, "redirect"), "DPDK steers to queues of its own port", "say queue: N, or mode: kernel"
            )
        elif nic.eswitch != "switchdev":
            hint = "say eswitch: switchdev: only there VFs have representors"
            loader.problem((*where, "redirect"), "there is no representor without switchdev", hint)
        elif vf is None:
            loader.problem((*where, "redirect", "sf"), "a port of the family e810 is made without SFs", "say vf: N")
        elif nic.vfs is not None and vf >= nic.vfs:
            hint = f"VFs are 0 to {nic.vfs - 1}" if nic.vfs else "say vfs: N"
            loader.problem((*where, "redirect", "vf"), f"VF {vf} of a NIC with {nic.vfs}", hint)
    if rule.action.mirror or rule.action.police is not None:
        word = "mirror" if rule.action.mirror else "police"
        loader.problem((*where, word), "ice does one thing with a frame", "leave mirror and police out")
    if rule.action.queue is not None:
        if nic.queues is not None and rule.action.queue >= nic.queues:
            hint = f"queues are 0 to {nic.queues - 1}"
            loader.problem((*where, "queue"), f"queue {rule.action.queue} of a NIC with {nic.queues} queues", hint)
        if nic.eswitch == "switchdev":
            hint = "redirect to a VF or drop there; queues are chosen with eswitch: legacy"
            loader.problem((*where, "queue"), "rules of a switchdev port have no queue", hint)
