# SPDX-License-Identifier: Apache-2.0
"""Reads functions of drivers mlx5_core and netdevsim into parts of this host's facts. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from tether_hw.nic.functions import devlink, nv, reset, vpd
from tether_hw.nic.functions.found import (
    PCI,
    Found,
    Run,
    Sysfs,
    features,
    line,
    ntuple_table,
    number,
    physical,
    uplink,
    vf_drivers,
)
from tether_hw.nic.steering.show import flower_rules, flower_table, hooked
from tether_hw.plan.facts_mlx5 import ENCAP_MODES, INLINE_MODES, RUNTIME_PARAMS, STEERING_MODE
from tether_hw.plan.function_name import FUNCTION, NETDEVSIM, devlink_handle, is_simulated, sysfs_folder

FAMILY = "cx7"
DRIVER = "mlx5_core"
VENDOR = "0x15b3"
#: PCI devices of ConnectX-7 and BlueField-3: with no driver bound, nothing else says whose they are.
DEVICES = {"0x1021", "0xa2dc"}
#: Who asks for this setting, asks for a card with two sides.
SIDES = "INTERNAL_CPU_OFFLOAD_ENGINE"
_NO_ADDRESS = "00:00:00:00:00:00"
_MBIT = 125_000  # bytes a second
_SIMULATED_VFS = 4  # what netdevsim allows unless it is told otherwise


def find(sysfs: Sysfs) -> list[Found]:
    """Every physical function of mlx5_core, those of a card of ours without it, and every device of netdevsim."""
    found = []
    for pci, driver in physical(sysfs):
        known = sysfs.read(f"{PCI}/{pci}/vendor") == VENDOR and sysfs.read(f"{PCI}/{pci}/device") in DEVICES
        if driver == DRIVER or known:
            serial = vpd.serial(sysfs.read_bytes(f"{PCI}/{pci}/vpd") or b"")
            found.append(Found(FAMILY, pci, driver, uplink(sysfs, pci), serial))
    for name in sysfs.entries(f"bus/{NETDEVSIM}/devices"):
        if FUNCTION.match(name) and is_simulated(name):
            found.append(Found(FAMILY, name, NETDEVSIM, uplink(sysfs, name), None))
    return found


@dataclass(frozen=True)
class _Told:
    """What devlink tells of all devices at once."""

    ports: list[devlink.Port]
    rates: Mapping[str, devlink.Rate]
    params: Optional[str]
    hooks: frozenset[str]

    @classmethod
    def ask(cls, run: Run) -> _Told:
        ports = devlink.ports(run(["devlink", "-j", "port", "show"]))
        stand_in = any(port.symbol is not None and port.netdev is not None for port in ports)
        return cls(
            ports,
            devlink.rates(run(["devlink", "-j", "port", "function", "rate", "show"])),
            run(["devlink", "-j", "dev", "param", "show"]),
            hooked(run) if stand_in else frozenset(),
        )


def read(chosen: Sequence[Found], sysfs: Sysfs, run: Run, keys: Sequence[str]) -> dict[str, Any]:
    """{"functions", "function_status"} of these functions; keys: the settings in the card's memory to read.

    Raises FlowerError or NtupleError where tc or ethtool prints what nobody understands.
    """
    document: dict[str, Any] = {"functions": {}, "function_status": {}}
    told = _Told.ask(run) if chosen else _Told([], {}, None, frozenset())
    for one in chosen:
        same = [devlink_handle(other.function) for other in chosen if other.slot == one.slot]
        symbols = {device: name for handle in same for name, device in devlink.representors(told.ports, handle).items()}
        config, status = _function(one, sysfs, run, told, symbols, keys)
        document["functions"][one.function] = config
        document["function_status"][one.function] = status
    return document


def _function(
    one: Found, sysfs: Sysfs, run: Run, told: _Told, symbols: Mapping[str, str], keys: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    place, handle = sysfs_folder(one.function), devlink_handle(one.function)
    bound = one.driver in (DRIVER, NETDEVSIM)
    device = one.device if bound else None
    info = devlink.info(run(["devlink", "-j", "dev", "info", handle]) if bound else None, handle)
    switch = devlink.eswitch(run(["devlink", "-j", "dev", "eswitch", "show", handle]) if bound else None, handle)
    can = features(run(["ethtool", "-k", device])) if device else {}
    vfs = number(sysfs.read(f"{place}/sriov_numvfs"))
    settings = nv.read(run, one.function, keys) if bound and not is_simulated(one.function) else {}
    driven = vf_drivers(sysfs, one.function)
    mode = switch.mode if switch.mode in ("legacy", "switchdev") else None
    part = None
    outside = _outside(_by_number(told.ports, handle, "pcivf", external=True), told) if bound and not vfs else {}
    if bound:
        params = _params(run, told, handle)
        autoprobe = sysfs.read(f"{place}/sriov_drivers_autoprobe")
        links = _netdev_vfs(run, device, vfs)
        part = {
            "steering_mode": params.get(STEERING_MODE, {}).get("runtime"),
            "inline": switch.inline if switch.inline in INLINE_MODES else None,
            "encap": switch.encap if switch.encap in ENCAP_MODES else None,
            "autoprobe": None if autoprobe not in ("0", "1") else autoprobe == "1",
            "params": {name: params[name]["runtime"] for name in RUNTIME_PARAMS if "runtime" in params.get(name, {})},
            "vfs": _vfs(vfs, driven, mode, _by_number(told.ports, handle, "pcivf"), told, links) or outside,
            "sfs": _sfs(_by_number(told.ports, handle, "pcisf"), told),
            "nv": {key: {"next": settings[key].next, "current": settings[key].current} for key in settings},
            "reps": _reps(run, told, devlink.representors(told.ports, handle), symbols),
        }
    config = {
        "card": one.card or (info.serial if info.serial and info.serial.isalnum() else None),
        "driver": one.driver,
        "device": device,
        "eswitch": mode,
        "vfs": vfs or len(outside),
        "ntuple": ntuple_table(run, device, can) if device else None,
        "flower": flower_table(run, device, can.get("hw-tc-offload", ""), symbols) if device else None,
        "mlx5": part,
    }
    status: dict[str, Any] = {
        "port": one.port,
        "vfs_max": _vfs_max(sysfs, one.function),
        "vf_drivers": driven,
        "ntuple_size": None,
        "driver_version": line(run(["ethtool", "-i", device]), r"version: (\S+)") if device else None,
        "firmware": {**info.fixed, **info.running},
        "lldp": None,
        "rides_ssh": False,
        "representors": devlink.representors(told.ports, handle),
        "psid": info.fixed.get("fw.psid"),
        "nv_default": {key: settings[key].default for key in settings},
    }
    if SIDES in settings:
        offer = reset.read(run, one.function)
        status["reset"] = None if offer is None else {"levels": list(offer.levels), "syncs": list(offer.syncs)}
        status["restricted"] = reset.restricted(run, one.function)
    return config, status


def _reps(run: Run, told: _Told, found: Mapping[str, str], symbols: Mapping[str, str]) -> dict[str, Any]:
    """The rules of what stands for VFs and SFs, where they have a hook."""
    hooked = {name: found[name] for name in sorted(found) if found[name] in told.hooks}
    return {name: {"rules": flower_rules(run, hooked[name], symbols)} for name in hooked}


def _params(run: Run, told: _Told, handle: str) -> dict[str, dict[str, str]]:
    """The parameters of a device; asked for by name where devlink does not list all of all devices."""
    if told.params is not None:
        return devlink.params(told.params, handle)
    found: dict[str, dict[str, str]] = {}
    for name in (STEERING_MODE, *RUNTIME_PARAMS):
        found.update(devlink.params(run(["devlink", "-j", "dev", "param", "show", handle, "name", name]), handle))
    return found


def _vfs_max(sysfs: Sysfs, function: str) -> int:
    if not is_simulated(function):
        return number(sysfs.read(f"{sysfs_folder(function)}/sriov_totalvfs"))
    told = sysfs.read(f"kernel/debug/{NETDEVSIM}/{function}/max_vfs")
    return number(told) if told is not None else _SIMULATED_VFS


def _by_number(
    ports: Sequence[devlink.Port], handle: str, flavour: str, external: bool = False
) -> dict[int, devlink.Port]:
    """The ports of one kind that stand for what this host has itself, or the host behind the card."""
    return {
        port.number: port
        for port in ports
        if port.device == handle and port.flavour == flavour and port.number is not None and port.external is external
    }


def _netdev_vfs(run: Run, device: Optional[str], count: int) -> dict[int, dict[str, Any]]:
    """What the physical function's device tells of its VFs."""
    try:
        links = json.loads((run(["ip", "-j", "link", "show", "dev", device]) if device and count else None) or "[]")
        listed = links[0].get("vfinfo_list", []) if links else []
        return {int(vf["vf"]): vf for vf in listed if isinstance(vf, dict)}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def _vfs(
    count: int,
    driven: Mapping[str, Optional[str]],
    mode: Optional[str],
    ports: Mapping[int, devlink.Port],
    told: _Told,
    links: Mapping[int, Mapping[str, Any]],
) -> dict[str, Any]:
    found = {}
    for vf in range(count):
        port, link = ports.get(vf), links.get(vf, {})
        address = link.get("address") if port is None or port.hw_addr is None else port.hw_addr
        if mode == "switchdev":
            rate = told.rates.get(port.handle) if port is not None else None
            most, share = (0, 0) if rate is None else (rate.tx_max, rate.tx_share)
        else:
            told_rate = link.get("rate")
            rates = told_rate if isinstance(told_rate, dict) else {}
            most, share = (int(rates.get(name, 0)) * _MBIT for name in ("max_tx", "min_tx"))
        found[str(vf)] = {
            "address": _address(address),
            "tx_max": most,
            "tx_share": share,
            "driver": driven.get(str(vf)),
        }
    return found


def _outside(ports: Mapping[int, devlink.Port], told: _Told) -> dict[str, Any]:
    """VFs of the host that carries a card with an own system: who drives them is not seen from here."""
    found: dict[str, Any] = {}
    for vf in range(len(ports)):
        if vf not in ports:
            break  # they come one by one
        rate = told.rates.get(ports[vf].handle, devlink.Rate("leaf"))
        limits = {"tx_max": rate.tx_max, "tx_share": rate.tx_share}
        found[str(vf)] = {"address": _address(ports[vf].hw_addr), **limits, "driver": None}
    return found


def _sfs(ports: Mapping[int, devlink.Port], told: _Told) -> dict[str, Any]:
    found = {}
    for sf in sorted(ports):
        rate = told.rates.get(ports[sf].handle, devlink.Rate("leaf"))
        found[str(sf)] = {
            "address": _address(ports[sf].hw_addr),
            "tx_max": rate.tx_max,
            "tx_share": rate.tx_share,
            "active": ports[sf].state == "active",
        }
    return found


def _address(text: Any) -> Optional[str]:
    return text.lower() if isinstance(text, str) and text != _NO_ADDRESS else None
