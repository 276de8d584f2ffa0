# SPDX-License-Identifier: Apache-2.0
"""What a virtual function or subfunction is: its address and rates, its driver, and whether it is there at all.

devlink keeps the values that it took before the one that it refused, and a refusal of one says nothing of the others:
each is set by itself, and what counts is the read-back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Union

from tether_hw.agent import cards, command, kernel_log, nic_keeps, sysfs, waiting
from tether_hw.agent.errors import AgentError
from tether_hw.nic.functions import read
from tether_hw.plan.effects import MISSING, look_up
from tether_hw.plan.function_name import devlink_handle, sysfs_folder
from tether_hw.plan.kinds.nic_function import NicFunction
from tether_hw.plan.kinds.nic_sf import NicSf
from tether_hw.plan.kinds.nic_vf_binding import NicVfBinding

if TYPE_CHECKING:
    from pathlib import Path

    from tether_hw.plan.paths import HostPaths

_PCI = "bus/pci/devices"
_DRIVERS = "bus/pci/drivers"
_PORT_FUNCTION = ("devlink", "port", "function", "set")


def carry_out(
    data: Union[NicFunction, NicVfBinding, NicSf], paths: HostPaths, snapshot: Path, timeout_s: float
) -> None:
    """Make it what the step says, and wait until it shows. Raises AgentError with the driver's reason."""
    before = len(kernel_log.lines(data.function))
    try:
        if isinstance(data, NicFunction):
            _attributes(data, paths, timeout_s)
            return
        cards.standing(data.function, paths)  # no function of anybody else's
        if isinstance(data, NicVfBinding):
            _binding(data, snapshot, timeout_s)
        else:
            _subfunction(data, timeout_s)
    except AgentError as error:
        raise AgentError(error.message + kernel_log.told(data.function, before)) from None


def _attributes(data: NicFunction, paths: HostPaths, timeout_s: float) -> None:
    wanted = left = _unlike(data, paths)
    if wanted:
        refused = _put(NicFunction(data.function, data.target, data.device, wanted), timeout_s)
        left = _unlike(data, paths)
        if left and refused:
            kept = sorted(set(wanted) - set(left))
            words = "; ".join(refused)
            raise AgentError("%s; %s was taken" % (words, ", ".join(kept)) if kept else words)
    if not left:
        return

    def missing() -> Optional[str]:
        left = _unlike(data, paths)
        words = ["%s is not %s" % (name, left[name]) for name in sorted(left)]
        return "%s of %s: %s" % (data.target, data.function, ", ".join(words)) if left else None

    waiting.until(missing, timeout_s)


def _unlike(data: NicFunction, paths: HostPaths) -> dict[str, Any]:
    """What of the values that are to be put is otherwise now."""
    now = look_up({"functions": {data.function: cards.standing(data.function, paths).config}}, data.path)
    if now is MISSING:
        raise AgentError("%s has no %s" % (data.function, data.target))
    return {name: data.put[name] for name in data.put if now[name] != data.put[name]}


def _put(data: NicFunction, timeout_s: float) -> list[str]:
    """Set each value; what was refused, in words."""
    if data.device is not None:
        commands: tuple[tuple[str, ...], ...] = (data.by_device(data.device),)
    else:
        port = _port(data.function, data.target)
        if port is None:
            raise AgentError("devlink has no port for %s of %s" % (data.target, data.function))
        commands = data.by_port(port.handle)
        if data.target.startswith("sf") and "address" in data.put and port.state == "active":
            # Its driver reads the address once, when it starts.
            off, on = (((*_PORT_FUNCTION, port.handle, "state", state),) for state in ("inactive", "active"))
            commands = (*off, *commands, *on)
    refused = []
    for argv in commands:
        try:
            command.checked(argv, timeout_s)
        except AgentError as error:
            refused.append(error.message)
    return refused


def _port(function: str, target: str) -> Optional[read.Port]:
    """The devlink port that stands for a VF or SF now: its index changes whenever it is made again.

    One of this host comes before one of the host that carries the card.
    """
    flavour = {"vf": "pcivf", "sf": "pcisf"}[target[:2]]
    meant = (devlink_handle(function), flavour, int(target[2:]))
    found = [port for port in read.ports(cards.ask) if (port.device, port.flavour, port.number) == meant]
    return min(found, key=lambda port: port.external, default=None)


def _binding(data: NicVfBinding, snapshot: Path, timeout_s: float) -> None:
    vfs = {number: sysfs.SYSFS.target("%s/virtfn%d" % (sysfs_folder(data.function), number)) for number in data.vfs}
    absent = [str(number) for number, address in vfs.items() if address is None]
    if absent:
        raise AgentError("%s has no VF %s" % (data.function, ", ".join(absent)))
    addresses = [str(address) for address in vfs.values()]
    for address in addresses:
        now = _driver(address)
        if now not in (None, data.driver):
            raise AgentError("VF %s of %s has driver %s" % (address, data.function, now))
    if data.bound:
        if not sysfs.SYSFS.entries("%s/%s" % (_DRIVERS, data.driver)):
            command.checked(["modprobe", data.driver], timeout_s)
        with nic_keeps.autoprobe(data.function, True, snapshot):
            _each(data, addresses)
    else:
        _each(data, addresses)

    def missing() -> Optional[str]:
        left = [address for address in addresses if (_driver(address) == data.driver) != data.bound]
        words = "has not" if data.bound else "still has"
        return "VF %s %s driver %s" % (", ".join(left), words, data.driver) if left else None

    waiting.until(missing, timeout_s)


def _each(data: NicVfBinding, addresses: list[str]) -> None:
    place = "%s/%s/%s" % (_DRIVERS, data.driver, "bind" if data.bound else "unbind")
    for address in addresses:
        if (_driver(address) == data.driver) == data.bound:
            continue
        before = len(kernel_log.lines(address))
        try:
            sysfs.SYSFS.write(place, address)
        except AgentError as error:
            if (_driver(address) == data.driver) != data.bound:
                raise AgentError(error.message + kernel_log.told(address, before)) from None


def _driver(address: str) -> Optional[str]:
    return sysfs.SYSFS.target("%s/%s/driver" % (_PCI, address))


def _subfunction(data: NicSf, timeout_s: float) -> None:
    target = "sf%d" % data.sfnum
    port = _port(data.function, target)
    if not data.present:
        if port is not None:
            if port.state == "active":
                command.checked((*_PORT_FUNCTION, port.handle, "state", "inactive"), timeout_s)
            command.checked(("devlink", "port", "del", port.handle), timeout_s)
        waiting.until(lambda: _sf_left(data.function, target), timeout_s)
        return
    if port is None:
        command.checked(data.adding, timeout_s)
        port = _port(data.function, target)
        if port is None:
            raise AgentError("devlink shows no port for %s of %s" % (target, data.function))
    active = port.state == "active"
    if data.address is not None and port.hw_addr != data.address:
        if active:
            command.checked((*_PORT_FUNCTION, port.handle, "state", "inactive"), timeout_s)
        command.checked((*_PORT_FUNCTION, port.handle, "hw_addr", data.address), timeout_s)
        active = False
    if not active:
        command.checked((*_PORT_FUNCTION, port.handle, "state", "active"), timeout_s)
    waiting.until(lambda: _sf_missing(data, target), timeout_s)
    _with_netdev(data, timeout_s)


def _sf_left(function: str, target: str) -> Optional[str]:
    return "%s of %s is still there" % (target, function) if _port(function, target) is not None else None


def _sf_missing(data: NicSf, target: str) -> Optional[str]:
    port = _port(data.function, target)
    if port is None or (port.state, port.opstate) != ("active", "attached"):
        now = "gone" if port is None else "%s, %s" % (port.state, port.opstate)
        return "%s of %s is %s" % (target, data.function, now)
    if _auxiliary(data) is None:
        return "%s of %s has no device" % (target, data.function)
    return None


def _auxiliary(data: NicSf) -> Optional[str]:
    """The device of a subfunction: its own number is not the one that its maker gave it."""
    folder = sysfs_folder(data.function)
    for name in sysfs.SYSFS.entries(folder):
        if name.startswith("mlx5_core.sf.") and sysfs.SYSFS.read("%s/%s/sfnum" % (folder, name)) == str(data.sfnum):
            return name
    return None


def _with_netdev(data: NicSf, timeout_s: float) -> None:
    """A subfunction may come without a network device; then it is told to have one, and starts anew."""
    handle = "auxiliary/%s" % _auxiliary(data)
    shown = read.params(cards.ask(["devlink", "-j", "dev", "param", "show", handle, "name", "enable_eth"]), handle)
    if shown.get("enable_eth", {}).get("driverinit") == "false":
        setting = ("devlink", "dev", "param", "set", handle, "name", "enable_eth", "value", "true")
        command.checked((*setting, "cmode", "driverinit"), timeout_s)
        command.checked(("devlink", "dev", "reload", handle), timeout_s)
        waiting.until(lambda: _sf_missing(data, "sf%d" % data.sfnum), timeout_s)
