# SPDX-License-Identifier: Apache-2.0
"""Physical functions of cards, as sysfs has them, and what the readers of all families ask of one.

Sysfs and programs are handed in, so that a model of a driver can stand behind both. Nothing is changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Protocol

from tether_hw.nic.steering import ntuple
from tether_hw.nic.steering.rule import Rule
from tether_hw.plan.function_name import devlink_handle, is_simulated, pf_number, sysfs_folder

#: argv -> standard output; None where the program is not there or says no.
Run = Callable[[Sequence[str]], Optional[str]]
PCI = "bus/pci/devices"
_SLOT = re.compile(r"([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2})\.([0-7])\Z")
_UPLINK = re.compile(r"p[0-9]+(s[0-9]+)?\Z")


class Sysfs(Protocol):
    def read(self, path: str) -> Optional[str]: ...

    def read_bytes(self, path: str) -> Optional[bytes]: ...

    def entries(self, path: str) -> list[str]: ...

    def target(self, path: str) -> Optional[str]: ...


@dataclass(frozen=True)
class Found:
    """A physical function that may be of interest: whose reader knows it, its name, driver, device and card."""

    family: str

    function: str
    driver: Optional[str]
    device: Optional[str]
    card: Optional[str]

    @property
    def slot(self) -> str:
        """What it shares with the other functions of its card."""
        return self.function if is_simulated(self.function) else self.function.rpartition(".")[0]

    @property
    def port(self) -> int:
        return pf_number(self.function)


def physical(sysfs: Sysfs) -> Iterator[tuple[str, Optional[str]]]:
    """The address and driver of every PCI function that is no virtual one."""
    for address in sysfs.entries(PCI):
        if _SLOT.match(address) and sysfs.target(f"{PCI}/{address}/physfn") is None:
            yield address, sysfs.target(f"{PCI}/{address}/driver")


def uplink(sysfs: Sysfs, function: str) -> Optional[str]:
    """The network device of a function. Newer kernels list the devices that stand for its VFs beside it."""
    names = sysfs.entries(f"{sysfs_folder(function)}/net")
    ports = {name: sysfs.read(f"class/net/{name}/phys_port_name") or "" for name in names}
    fitting = [name for name in names if not ports[name] or _UPLINK.match(ports[name])]
    return next(iter(sorted(fitting, key=lambda name: (not ports[name], ports[name], name))), None)


def choose(
    found: Iterable[Found],
    selectors: Iterable[Mapping[str, Any]],
    devices: Iterable[str],
    functions: Iterable[str],
    cards: Iterable[str] = (),
) -> list[Found]:
    """Those that are asked for by selector, device, name or card, with all functions of the same cards."""
    there = list(found)
    names, serials = set(devices), set(cards)
    wanted = set(functions) | {one.function for one in there if one.card in serials}
    for selector in selectors:
        wanted |= {one.function for one in there if meant(one, selector)}
    slots = {one.slot for one in there if one.function in wanted or one.device in names}
    return [one for one in there if one.slot in slots]


def meant(one: Found, selector: Mapping[str, Any]) -> bool:
    """Whether a selector by PCI address, by devlink handle, or by serial number and port, means this function."""
    if "serial" in selector:
        return (one.card, one.port) == (selector["serial"], selector["port"])
    if "devlink" in selector:
        return bool(selector["devlink"] == devlink_handle(one.function))
    return selector.get("pci") == one.function


def ntuple_table(run: Run, device: str, features: Mapping[str, str]) -> Optional[dict[str, Any]]:
    """The filters of ethtool; None where the driver has none."""
    text = run(["ethtool", "-n", device])
    if text is None or "ntuple-filters" not in features:
        return None
    rules = {str(item.location): _ntuple_rule(item) for item in ntuple.read(text)}
    return {"on": features["ntuple-filters"].startswith("on"), "rules": rules}


def _ntuple_rule(item: ntuple.Filter) -> dict[str, Any]:
    if not item.plain or item.flow_type != "ether" or item.ethertype is None or item.drop == (item.queue is not None):
        what = f"{item.flow_type} {item.ethertype:#06x}" if item.ethertype is not None else item.flow_type
        return {"other": f"{what} to {'drop' if item.drop else f'queue {item.queue}'}"}
    action = "drop" if item.drop else "queue"
    rule = Rule("rule", "device", 0, action, item.ethertype, item.destination, item.source, item.vlan, item.queue)
    return rule.document()


def vf_drivers(sysfs: Sysfs, function: str) -> dict[str, Optional[str]]:
    """VF -> the driver that has it."""
    place = sysfs_folder(function)
    names = [name[6:] for name in sysfs.entries(place) if re.match(r"virtfn[0-9]{1,4}\Z", name)]
    return {name: sysfs.target(f"{place}/virtfn{name}/driver") for name in names}


def features(text: Optional[str]) -> dict[str, str]:
    """What `ethtool -k` prints: name -> "on", "off", with " [fixed]" behind it where nobody can change it."""
    pairs = (line.strip().partition(": ") for line in (text or "").splitlines())
    return {name: value for name, colon, value in pairs if colon}


def line(text: Optional[str], pattern: str) -> Optional[str]:
    """The group of the first line that begins like this."""
    match = re.search(rf"^{pattern}", text or "", re.MULTILINE)
    return match[1] if match else None


def number(text: Optional[str]) -> int:
    return int(text) if text and text.isdigit() else 0
