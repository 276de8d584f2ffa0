# SPDX-License-Identifier: Apache-2.0
"""Taking the driver from all functions of a card and giving it back, with what stood on its devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from tether_hw.agent import cards, command, kernel_log, nic_links, package_words, sysfs, waiting
from tether_hw.agent.errors import AgentError
from tether_hw.nic.e810.read import DRIVER
from tether_hw.plan.rule_commands import ntuple_switch, tc_hook, tc_offload

if TYPE_CHECKING:
    from pathlib import Path

    from tether_hw.plan.kinds.nic_driver import NicDriver
    from tether_hw.plan.kinds.nic_driver_keep import Keep
    from tether_hw.plan.paths import HostPaths
    from tether_hw.plan.rule_commands import Words

_PCI = "bus/pci/devices"
_DRIVERS = "bus/pci/drivers"
_SETTLE_S = 30.0  # until a device has its name


def carry_out(data: NicDriver, paths: HostPaths, snapshot: Path, timeout_s: float) -> None:
    """Make it what the step says. Raises AgentError with the driver's reason."""
    _ours(data)
    if data.action == "unbind":
        _unbind(data, paths, snapshot, timeout_s)
    else:
        _bind(data, paths, snapshot, timeout_s)


def _ours(data: NicDriver) -> None:
    """All functions of the card and no other, and a driver that a family of ours knows. Raises AgentError."""
    if data.driver != DRIVER:
        raise AgentError("driver %s is none that we take and give" % data.driver)
    there = {one.function for one in cards.chosen([], [], data.functions) if one.card == data.card}
    if there != set(data.functions):
        raise AgentError("card %s has the functions %s, the plan names others" % (data.card, ", ".join(sorted(there))))


def _driver(pci: str) -> Optional[str]:
    return sysfs.SYSFS.target("%s/%s/driver" % (_PCI, pci))


def _unbind(data: NicDriver, paths: HostPaths, snapshot: Path, timeout_s: float) -> None:
    found = [cards.standing(pci, paths) for pci in data.functions]
    nic_links.keep([str(one.config["device"]) for one in found if one.config["device"]], snapshot)
    for pci, now in zip(data.functions, found):
        if now.config["vfs"]:
            raise AgentError("%s still has %d VFs" % (pci, now.config["vfs"]))
    for pci in data.functions:
        if _driver(pci) == data.driver:
            sysfs.SYSFS.write("%s/%s/unbind" % (_DRIVERS, data.driver), pci)

    def missing() -> Optional[str]:
        left = [pci for pci in data.functions if _driver(pci) or sysfs.SYSFS.entries("%s/%s/net" % (_PCI, pci))]
        return "%s still has a driver" % ", ".join(left) if left else None

    waiting.until(missing, timeout_s)


def _bind(data: NicDriver, paths: HostPaths, snapshot: Path, timeout_s: float) -> None:
    before = {pci: len(kernel_log.lines(pci)) for pci in data.functions}
    if not sysfs.SYSFS.entries("%s/%s" % (_DRIVERS, data.driver)):
        command.checked(["modprobe", data.driver], timeout_s)  # which probes every function at once
    for pci in data.functions:
        if _driver(pci) is None:
            try:
                sysfs.SYSFS.write("%s/%s/bind" % (_DRIVERS, data.driver), pci)
            except AgentError as error:
                if _driver(pci) != data.driver:
                    raise AgentError(error.message + kernel_log.told(pci, before[pci])) from None
    waiting.until(lambda: _devices_missing(data, paths), min(timeout_s, _SETTLE_S))
    _package(data, paths, before)
    for pci in data.functions:
        _restore(data.keep[pci], pci, paths, timeout_s)
    nic_links.restore([data.keep[pci].device for pci in data.functions], snapshot, timeout_s)


def _devices_missing(data: NicDriver, paths: HostPaths) -> Optional[str]:
    for one in cards.chosen([], [], data.functions):
        if one.function not in data.functions:
            continue
        if one.driver != data.driver:
            return "%s has driver %s, not %s" % (one.function, one.driver, data.driver)
        if one.device != data.keep[one.function].device:
            return "the device of %s is %s, it was %s" % (one.function, one.device, data.keep[one.function].device)
    return None


def _package(data: NicDriver, paths: HostPaths, before: dict[str, int]) -> None:
    card = cards.standing(data.functions[0], paths).card
    now: dict[str, Any] = card or {"package": None, "safe_mode": False}
    if (now["package"], now["safe_mode"]) == (data.package, data.safe_mode):
        return
    said = [line for pci in data.functions for line in kernel_log.since(pci, before[pci])]
    raise AgentError(package_words.explain(data.card, data.package, data.safe_mode, now, said))


def _restore(keep: Keep, pci: str, paths: HostPaths, timeout_s: float) -> None:
    """Set what a new driver has otherwise; what is so already is left alone, some drivers refuse even that."""
    now = cards.standing(pci, paths).config
    nic = cards.nic(keep.device)
    wanted: list[Words] = []
    if keep.ntuple is not None and now["ntuple"] is not None and now["ntuple"]["on"] != keep.ntuple:
        wanted.append(ntuple_switch(keep.device, keep.ntuple))
    if keep.flower is not None and now["flower"] is not None:
        hook, offload = keep.flower
        if now["flower"]["offload"] != offload:
            wanted.append(tc_offload(keep.device, offload))
        if now["flower"]["hook"] != hook:
            wanted.append(tc_hook(keep.device, hook))
    same = [name for name in keep.NIC if nic.get(name) == keep.changes()[name]]
    flags = {"-L": "queues", "-G": "ring", "set": "mtu"}
    for argv in keep.argv():
        what = next((flags[word] for word in argv if word in flags), None)
        if what is not None and what not in same:
            wanted.append(argv)
    for argv in wanted:
        command.checked(argv, timeout_s)
