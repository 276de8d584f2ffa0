# SPDX-License-Identifier: Apache-2.0
"""Reads the cards of driver ice into parts of this host's facts. Runs on the host, changes nothing.

Sysfs and programs are handed in, so that a model of the driver can stand behind both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from tether_hw.nic.e810.read_files import packages
from tether_hw.nic.functions import devlink
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
from tether_hw.nic.steering.show import flower_table

FAMILY = "e810"
DRIVER = "ice"
VENDOR = "0x8086"
#: PCI devices of the E810: with no driver bound, nothing else says whose they are.
DEVICES = {"0x1591", "0x1592", "0x1593", "0x1599", "0x159a", "0x159b"}

__all__ = ["DRIVER", "FAMILY", "PCI", "find", "packages", "read", "serial", "uplink"]


def find(sysfs: Sysfs) -> list[Found]:
    """Every physical function of ice on this host, and those of an E810 that another driver has, or none."""
    found = []
    for pci, driver in physical(sysfs):
        known = sysfs.read(f"{PCI}/{pci}/vendor") == VENDOR and sysfs.read(f"{PCI}/{pci}/device") in DEVICES
        if driver == DRIVER or known:
            card = serial(sysfs.read_bytes(f"{PCI}/{pci}/config") or b"")
            found.append(Found(FAMILY, pci, driver, uplink(sysfs, pci), card))
    return found


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


def read(chosen: Sequence[Found], sysfs: Sysfs, run: Run, root: str, release: str) -> dict[str, Any]:
    """{"functions", "cards", "function_status", "card_status"} of these functions.

    Raises FlowerError or NtupleError where tc or ethtool prints what nobody understands.
    """
    ports = devlink.ports(run(["devlink", "-j", "port", "show"])) if chosen else []
    document: dict[str, Any] = {"functions": {}, "cards": {}, "function_status": {}, "card_status": {}}
    for one in chosen:
        same = [f"pci/{other.function}" for other in chosen if other.slot == one.slot]
        symbols = {name: symbol for handle in same for symbol, name in devlink.representors(ports, handle).items()}
        config, status, safe_mode = _function(one, sysfs, run, symbols)
        status["representors"] = devlink.representors(ports, f"pci/{one.function}")
        document["functions"][one.function] = config
        document["function_status"][one.function] = status
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
    place = f"{PCI}/{one.function}"
    handle = f"pci/{one.function}"
    bound = one.driver == DRIVER
    info = devlink.info(run(["devlink", "-j", "dev", "info", handle]) if bound else None, handle)
    mode = devlink.eswitch(run(["devlink", "-j", "dev", "eswitch", "show", handle]) if bound else None, handle).mode
    can = features(run(["ethtool", "-k", one.device])) if bound and one.device else {}
    fixed = can.get("ntuple-filters", "").endswith("[fixed]")
    told = (info.serial or "").replace("-", "").lower()
    config: dict[str, Any] = {
        "card": one.card or (told if re.match(r"[0-9a-f]{16}\Z", told) else None),
        "driver": one.driver,
        "device": one.device if bound else None,
        "eswitch": mode if mode in ("legacy", "switchdev") else None,
        "vfs": number(sysfs.read(f"{place}/sriov_numvfs")),
        "ntuple": None,
        "flower": None,
        "mlx5": None,
    }
    status: dict[str, Any] = {
        "port": one.port,
        "vfs_max": number(sysfs.read(f"{place}/sriov_totalvfs")),
        "vf_drivers": vf_drivers(sysfs, one.function),
        "ntuple_size": None,
        "driver_version": None,
        "firmware": dict(info.running),
        "lldp": None,
        "rides_ssh": False,
        "psid": None,
        "nv_default": {},
    }
    if bound and one.device:
        config["ntuple"] = None if fixed else ntuple_table(run, one.device, can)
        config["flower"] = flower_table(run, one.device, can.get("hw-tc-offload", ""), symbols)
        status["driver_version"] = line(run(["ethtool", "-i", one.device]), r"version: (\S+)")
        lldp = line(run(["ethtool", "--show-priv-flags", one.device]), r"fw-lldp-agent\s*: (on|off)")
        status["lldp"] = None if lldp is None else lldp == "on"
    return config, status, bound and fixed


def _package(firmware: Mapping[str, str]) -> Optional[dict[str, str]]:
    name, version = firmware.get("fw.app.name"), firmware.get("fw.app")
    # In safe mode ice shows zeros.
    return {"name": name, "version": version} if name and version and version.strip("0.") else None
