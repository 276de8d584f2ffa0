# SPDX-License-Identifier: Apache-2.0
"""Facts of hosts that nobody has, by driver, with what differs from them."""

from __future__ import annotations

import copy
from typing import Any

from tether_hw.fleet.planner import BundleOffer, Setting
from tether_hw.fleet.profiles import load as load_profiles
from tether_hw.fleet.render import engine_unit
from tether_hw.plan.facts import Facts, empty_config

BUNDLE = "b" * 64
NEWER_BUNDLE = "c" * 64

#: Driver -> (entry of config, entry of status' limits) of a device that nobody has touched.
DEVICES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "veth": (
        {"driver": "veth", "mtu": 1500, "queues": {"rx": 2, "tx": 2}, "ring": None},
        {"mtu_min": 68, "mtu_max": 65535, "queues_max": {"rx": 4, "tx": 4}, "ring_max": None},
    ),
    "virtio_net": (
        {"driver": "virtio_net", "mtu": 1500, "queues": {"combined": 1}, "ring": {"rx": 256, "tx": 256}},
        {"mtu_min": 68, "mtu_max": 65535, "queues_max": {"combined": 4}, "ring_max": {"rx": 256, "tx": 256}},
    ),
    "ice": (
        {"driver": "ice", "mtu": 1500, "queues": {"combined": 16}, "ring": {"rx": 2048, "tx": 256}},
        {"mtu_min": 68, "mtu_max": 9702, "queues_max": {"combined": 32}, "ring_max": {"rx": 8160, "tx": 8160}},
    ),
    "mlx5_core": (
        {"driver": "mlx5_core", "mtu": 1500, "queues": {"combined": 16}, "ring": {"rx": 1024, "tx": 1024}},
        {"mtu_min": 68, "mtu_max": 9978, "queues_max": {"combined": 63}, "ring_max": {"rx": 8192, "tx": 8192}},
    ),
    "netdevsim": (
        {"driver": "netdevsim", "mtu": 1500, "queues": {"combined": 4}, "ring": {"rx": 1, "tx": 1}},
        {"mtu_min": 68, "mtu_max": 65535, "queues_max": {"combined": 4}, "ring_max": {"rx": 4096, "tx": 4096}},
    ),
    "loopback": (
        {"driver": None, "mtu": 65536, "queues": None, "ring": None},
        {"mtu_min": 0, "mtu_max": 2**31 - 1, "queues_max": None, "ring_max": None},
    ),
}


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """A copy of base with the fields of over laid upon it."""
    result = copy.deepcopy(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merge(result[key], value) if both else copy.deepcopy(value)
    return result


def facts(
    host: str,
    devices: dict[str, str],
    config: dict[str, Any] | None = None,
    status: dict[str, Any] | None = None,
    selectors: list[dict[str, Any]] | None = None,
) -> Facts:
    """Facts of a root login on Debian with these devices (name -> driver), changed by config and status."""
    base = empty_config()
    limits = {}
    for number, (name, driver) in enumerate(devices.items()):
        entry, limits[name] = DEVICES[driver]
        mac = f"52:54:00:00:{len(host):02x}:{number + 1:02x}"
        base["nics"][name] = {**entry, "mac": mac, "xdp": {"foreign": False}}
    standing = {
        "kernel": "6.1.0-28-amd64",
        "kernel_config": {},
        "boot_id": None,
        "arch": "x86_64",
        "python": "3.11.2",
        "tools": {
            "ip": "/usr/sbin/ip",
            "ethtool": "/usr/sbin/ethtool",
            "systemctl": None,
            "useradd": "/usr/sbin/useradd",
        },
        "root": "/",
        "user": "root",
        "is_root": True,
        "cpus": 2,
        "service_manager": "supervised",
        "carriers": {"udp": None, "af_packet": None, "af_xdp": None},
        "devices": [
            {"function": None, **entry}
            for entry in selectors or [{"selector": {"name": name}, "device": name} for name in devices]
        ],
        "limits": limits,
        "links": [
            {"name": name, "mac": base["nics"][name]["mac"], "driver": driver, "carrier": True}
            for name, driver in devices.items()
        ],
        "functions": {},
        "cards": {},
        "owned": [],
        "pending": None,
    }
    document = {
        "schema": "tether.facts/1",
        "host": host,
        "config": merge(base, config or {}),
        "status": merge(standing, status or {}),
    }
    return Facts.parse(document)


CARD = "001122ffff334455"
#: What a host with such a card has beside it.
CARD_HOST: dict[str, Any] = {
    "kernel": "6.12.95-amd64",
    "tools": {name: f"/usr/sbin/{name}" for name in ("devlink", "tc", "modprobe", "update-initramfs", "dmesg")},
}
FIRMWARE = "/lib/firmware/{}intel/ice/ddp/{}.pkg"


def card(
    config: dict[str, Any] | None = None, status: dict[str, Any] | None = None, serial: str = CARD
) -> tuple[dict[str, Any], dict[str, Any]]:
    """An E810 with two functions, eth1 and eth2: what its facts say in config and in status, changed by these."""
    files = [FIRMWARE.format(room, name) for name in (f"ice-{serial}", "ice") for room in ("updates/", "")]
    functions, standing = {}, {}
    for port in (0, 1):
        functions[f"0000:17:00.{port}"] = {
            "card": serial,
            "driver": "ice",
            "device": f"eth{port + 1}",
            "eswitch": "legacy",
            "vfs": 0,
            "ntuple": {"on": True, "rules": {}},
            "flower": {"hook": False, "offload": False, "rules": {}},
            "mlx5": None,
        }
        standing[f"0000:17:00.{port}"] = {
            "port": port,
            "vfs_max": 128,
            "vf_drivers": {},
            "ntuple_size": 16384,
            "driver_version": "6.12.95-amd64",
            "firmware": {"fw.mgmt": "7.4.13", "fw.app.name": "ICE OS Default Package", "fw.app": "1.3.36.0"},
            "representors": {},
            "lldp": False,
            "rides_ssh": False,
            "psid": None,
            "nv_default": {},
        }
    package = {"name": "ICE OS Default Package", "version": "1.3.36.0"}
    held = {**dict.fromkeys(files), FIRMWARE.format("", "ice"): "1" * 64}
    cards = {serial: {"package": package, "safe_mode": False, "files": held}}
    return (
        merge({"functions": functions, "cards": cards}, config or {}),
        merge({"functions": standing, "cards": {serial: {"search": files}}, **CARD_HOST}, status or {}),
    )


def setting(bundle: str = BUNDLE, carriers: tuple[str, ...] = ("af_packet", "af_xdp", "udp")) -> Setting:
    """What plans of tests depend on: one made-up bundle, the profiles and templates that ship."""
    return Setting({"x86_64": BundleOffer(bundle, carriers)}, load_profiles(), engine_unit, "0.1.0")
