# SPDX-License-Identifier: Apache-2.0
"""Reads the cards of driver ice into parts of this host's facts. Runs on the host, changes nothing.

Sysfs and programs are handed in, so that a model of the driver can stand behind both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Protocol

from tether_hw.nic.e810.read_files import packages
from tether_hw.nic.steering import flower, ntuple
from tether_hw.nic.steering.rule import Rule
from tether_hw.nic.steering.show import filters, flower_table

DRIVER = "ice"
VENDOR = "0x8086"
#: PCI devices of the E810: with no driver bound, nothing else says whose they are.
DEVICES = {"0x1591", "0x1592", "0x1593", "0x1599", "0x159a", "0x159b"}

__all__ = ["DRIVER", "Filter", "Found", "choose", "filters", "find", "meant", "packages", "read"]
PCI = "bus/pci/devices"
_SLOT = re.compile(r"([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2})\.([0-7])\Z")
_UPLINK = re.compile(r"p[0-9]+(s[0-9]+)?\Z")

Filter = flower.Filter
#: argv -> standard output; None where the program is not there or says no.
Run = Callable[[Sequence[str]], Optional[str]]


class Sysfs(Protocol):
    def read(self, path: str) -> Optional[str]: ...

    def read_bytes(self, path: str) -> Optional[bytes]: ...

    def entries(self, path: str) -> list[str]: ...

    def target(self, path: str) -> Optional[str]: ...


@dataclass(frozen=True)
class Found:
    """A physical function that may be of interest: its address, driver, device and card."""

    pci: str
    driver: Optional[str]
    device: Optional[str]
    card: Optional[str]

    @property
    def slot(self) -> str:
        return self.pci.rpartition(".")[0]

    @property
    def port(self) -> int:
        return int(self.pci.rpartition(".")[2])


def find(sysfs: Sysfs) -> list[Found]:
    """Every physical function of ice on this host, and those of an E810 that another driver has, or none."""
    found = []
    for pci in sysfs.entries(PCI):
        if not _SLOT.match(pci) or sysfs.target(f"{PCI}/{pci}/physfn") is not None:
            continue
        driver = sysfs.target(f"{PCI}/{pci}/driver")
        known = sysfs.read(f"{PCI}/{pci}/vendor") == VENDOR and sysfs.read(f"{PCI}/{pci}/device") in DEVICES
        if driver == DRIVER or known:
            found.append(Found(pci, driver, uplink(sysfs, pci), serial(sysfs.read_bytes(f"{PCI}/{pci}/config") or b"")))
    return found


def uplink(sysfs: Sysfs, pci: str) -> Optional[str]:
    """The network device of a function. Newer kernels list the devices that stand for its VFs beside it."""
    names = sysfs.entries(f"{PCI}/{pci}/net")
    ports = {name: sysfs.read(f"class/net/{name}/phys_port_name") or "" for name in names}
    fitting = [name for name in names if not ports[name] or _UPLINK.match(ports[name])]
    return next(iter(sorted(fitting, key=lambda name: not ports[name])), None)


def serial(config: bytes) -> Optional[str]:
    """The device serial number in a PCI configuration space: an extended capability, that of the package files."""
    at, seen = 0x100, 0
    while at and at + 12 <= len(config) and seen < 64:
        header = int.from_bytes(config[at : at + 4], "little")
        if header & 0xFFFF == 0x0003:
            number = int.from_bytes(config[at + 4 : at + 12], "little")
            return f"{number:016x}" if number else None
        at, seen = header >> 20, seen + 1
    return None


def choose(
    found: Iterable[Found],
    selectors: Iterable[Mapping[str, Any]],
    devices: Iterable[str],
    functions: Iterable[str],
    cards: Iterable[str] = (),
) -> list[Found]:
    """Those that are asked for by selector, device, address or card, with all functions of the same cards."""
    there = list(found)
    names, serials = set(devices), set(cards)
    wanted = set(functions) | {one.pci for one in there if one.card in serials}
    for selector in selectors:
        wanted |= {one.pci for one in there if meant(one, selector)}
    slots = {one.slot for one in there if one.pci in wanted or one.device in names}
    return [one for one in there if one.slot in slots]


def meant(one: Found, selector: Mapping[str, Any]) -> bool:
    """Whether a selector by PCI address, or by serial number and port, means this function."""
    if "serial" in selector:
        return (one.card, one.port) == (selector["serial"], selector["port"])
    return selector.get("pci") == one.pci


def read(chosen: Sequence[Found], sysfs: Sysfs, run: Run, root: str, release: str) -> dict[str, Any]:
    """{"functions", "cards", "function_status", "card_status"} of these functions.

    Raises FlowerError or NtupleError where tc or ethtool prints what nobody understands.
    """
    ports = _json(run(["devlink", "-j", "port", "show"])).get("port", {}) if chosen else {}
    document: dict[str, Any] = {"functions": {}, "cards": {}, "function_status": {}, "card_status": {}}
    by_card: dict[str, dict[str, str]] = {}
    for one in chosen:
        by_card.setdefault(one.slot, {}).update(representors(ports, one.pci))
    for one in chosen:
        symbols = {device: name for name, device in by_card[one.slot].items()}
        config, status, safe_mode = _function(one, sysfs, run, symbols)
        status["representors"] = representors(ports, one.pci)
        document["functions"][one.pci] = config
        document["function_status"][one.pci] = status
        card = config["card"]
        if card is None:
            continue
        if card not in document["cards"]:
            files, search = packages(sysfs, root, release, card)
            document["cards"][card] = {"package": None, "safe_mode": False, "files": files}
            document["card_status"][card] = {"search": search}
        entry = document["cards"][card]
        entry["safe_mode"] = entry["safe_mode"] or safe_mode
        entry["package"] = entry["package"] or _package(status["firmware"])
    for entry in document["cards"].values():
        entry["package"] = None if entry["safe_mode"] else entry["package"]
    return document


def _function(
    one: Found, sysfs: Sysfs, run: Run, symbols: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, Any], bool]:
    place = f"{PCI}/{one.pci}"
    handle = f"pci/{one.pci}"
    bound = one.driver == DRIVER
    info = _first(_json(run(["devlink", "-j", "dev", "info", handle])).get("info")) if bound else {}
    mode = _first(_json(run(["devlink", "-j", "dev", "eswitch", "show", handle])).get("dev")) if bound else {}
    features = _features(run(["ethtool", "-k", one.device])) if bound and one.device else {}
    fixed = features.get("ntuple-filters", "").endswith("[fixed]")
    told = str(info.get("serial_number", "")).replace("-", "").lower()
    config = {
        "card": one.card or (told if re.match(r"[0-9a-f]{16}\Z", told) else None),
        "driver": one.driver,
        "device": one.device if bound else None,
        "eswitch": mode.get("mode") if mode.get("mode") in ("legacy", "switchdev") else None,
        "vfs": _number(sysfs.read(f"{place}/sriov_numvfs")),
        "ntuple": None,
        "flower": None,
        "mlx5": None,
    }
    status: dict[str, Any] = {
        "port": one.port,
        "vfs_max": _number(sysfs.read(f"{place}/sriov_totalvfs")),
        "vf_drivers": _vf_drivers(sysfs, place),
        "ntuple_size": None,
        "driver_version": None,
        "firmware": _firmware(info),
        "lldp": None,
        "rides_ssh": False,
        "psid": None,
        "nv_default": {},
    }
    if bound and one.device:
        config["ntuple"] = None if fixed else _ntuple(run, one.device, features)
        config["flower"] = flower_table(run, one.device, features.get("hw-tc-offload", ""), symbols)
        status["driver_version"] = _line(run(["ethtool", "-i", one.device]), r"version: (\S+)")
        lldp = _line(run(["ethtool", "--show-priv-flags", one.device]), r"fw-lldp-agent\s*: (on|off)")
        status["lldp"] = None if lldp is None else lldp == "on"
    return config, status, bound and fixed


def representors(ports: Mapping[str, Any], pci: str) -> dict[str, str]:
    """Symbolic name -> device of what stands for the VFs of a function, in what devlink tells of its ports."""
    found = {}
    for handle, port in ports.items():
        if handle.startswith(f"pci/{pci}/") and port.get("flavour") == "pcivf" and port.get("netdev"):
            found[f"@pf{port['pfnum']}vf{port['vfnum']}.rep"] = str(port["netdev"])
    return found


def _ntuple(run: Run, device: str, features: Mapping[str, str]) -> Optional[dict[str, Any]]:
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


def _package(firmware: Mapping[str, str]) -> Optional[dict[str, str]]:
    name, version = firmware.get("fw.app.name"), firmware.get("fw.app")
    # In safe mode ice shows zeros.
    return {"name": name, "version": version} if name and version and version.strip("0.") else None


def _firmware(info: Mapping[str, Any]) -> dict[str, str]:
    versions = info.get("versions")
    running = versions.get("running") if isinstance(versions, dict) else None
    return {str(name): str(value) for name, value in running.items()} if isinstance(running, dict) else {}


def _vf_drivers(sysfs: Sysfs, place: str) -> dict[str, Optional[str]]:
    names = [name[6:] for name in sysfs.entries(place) if re.match(r"virtfn[0-9]{1,4}\Z", name)]
    return {name: sysfs.target(f"{place}/virtfn{name}/driver") for name in names}


def _features(text: Optional[str]) -> dict[str, str]:
    pairs = (line.strip().partition(": ") for line in (text or "").splitlines())
    return {name: value for name, colon, value in pairs if colon}


def _line(text: Optional[str], pattern: str) -> Optional[str]:
    match = re.search(rf"^{pattern}", text or "", re.MULTILINE)
    return match[1] if match else None


def _number(text: Optional[str]) -> int:
    return int(text) if text and text.isdigit() else 0


def _first(value: Any) -> dict[str, Any]:
    """devlink puts what it tells of a device below the device's handle."""
    inner = list(value.values())[:1] if isinstance(value, dict) else []
    return inner[0] if inner and isinstance(inner[0], dict) else {}


def _json(text: Optional[str], kind: type = dict) -> Any:
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        return kind()
    return value if isinstance(value, kind) else kind()
