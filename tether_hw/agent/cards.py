# SPDX-License-Identifier: Apache-2.0
"""The cards of this host as its facts have them: the families' readers, given this host's sysfs and programs."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterable, Optional, Sequence

from tether_hw.agent import command, sysfs
from tether_hw.agent.errors import AgentError
from tether_hw.agent.session import connection
from tether_hw.nic.functions import read
from tether_hw.nic.functions.read import Filter, Found
from tether_hw.nic.generic import read as links

if TYPE_CHECKING:
    from tether_hw.plan.paths import HostPaths

_READ_S = 15.0


def ask(argv: Sequence[str]) -> Optional[str]:
    """What a program prints; None where it is not there or says no."""
    try:
        return command.run(argv, _READ_S)
    except AgentError:
        return None


def chosen(
    selectors: Iterable[dict[str, Any]], devices: Iterable[str], functions: Iterable[str], serials: Iterable[str] = ()
) -> list[Found]:
    """The physical functions that belong to what is asked for or owned, with all others of the same cards."""
    return read.choose(read.find(sysfs.SYSFS), selectors, devices, functions, serials)


def collect(
    functions: Sequence[Found], paths: HostPaths, sizes: dict[str, Optional[int]], nv: Sequence[str] = ()
) -> dict[str, Any]:
    """Config and status of these functions and their cards.

    sizes: device -> locations of its table of filters. nv: settings in the memory of cards that are read.
    """
    if not functions:
        return {"functions": {}, "cards": {}, "function_status": {}, "card_status": {}}
    try:
        document = read.read(functions, sysfs.SYSFS, ask, paths.root, platform.release(), nv)
    except ValueError as error:
        raise AgentError("the rules of this host are not understood: %s" % error) from None
    ssh = session_devices()
    for pci, status in document["function_status"].items():
        device = document["functions"][pci]["device"]
        status["ntuple_size"] = sizes.get(device)
        status["rides_ssh"] = device in ssh
    return document


@dataclass(frozen=True)
class Standing:
    """One function as it is now: its parts of config and status, and those of its card."""

    config: dict[str, Any]
    status: dict[str, Any]
    card: Optional[dict[str, Any]]


def standing(pci: str, paths: HostPaths, nv: Sequence[str] = ()) -> Standing:
    """A function as it is now; `nv`: settings in its card's memory to read. AgentError where it is not there."""
    found = collect(chosen([], [], [pci]), paths, {}, nv)
    if pci not in found["functions"]:
        raise AgentError("there is no function %s of a card that we know" % pci)
    config = found["functions"][pci]
    return Standing(config, found["function_status"][pci], found["cards"].get(config["card"]))


def nic(device: str) -> dict[str, Any]:
    """What facts say of a device as it is now; nothing where it is not there."""
    nics = links.read([{"name": device}], [], [])[0]
    entry: dict[str, Any] = nics.get(device, {})
    return entry


def function_of(functions: Iterable[Found], selector: dict[str, Any], device: Optional[str]) -> Optional[Found]:
    """The function that a selector means."""
    for one in functions:
        if (device is not None and one.device == device) or read.meant(one, selector):
            return one
    return None


def session_devices() -> set[str]:
    """The devices that carry the SSH connection of this verb: that of the route back, and what it is made of."""
    seen = connection()
    client = (seen.peer or "").split(" ")[0] if seen is not None else ""
    if not client:
        return set()
    try:
        routes = json.loads(ask(["ip", "-j", "route", "get", client]) or "[]")
        waiting = [str(route["dev"]) for route in routes if "dev" in route]
    except (ValueError, TypeError):
        return set()
    found: set[str] = set()
    while waiting:
        device = waiting.pop()
        if device not in found:
            found.add(device)
            names = sysfs.SYSFS.entries("class/net/%s" % device)
            waiting += [name[len("lower_") :] for name in names if name.startswith("lower_")]
    return found


def filters(device: str) -> list[Filter]:
    """What tc has on a device now. Raises AgentError where it does not tell."""
    try:
        found = read.filters(ask, device)
    except ValueError as error:
        raise AgentError("the filters of %s are not understood: %s" % (device, error)) from None
    if found is None:
        raise AgentError("tc does not tell the filters of %s" % device)
    return found
