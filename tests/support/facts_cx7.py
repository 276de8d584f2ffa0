# SPDX-License-Identifier: Apache-2.0
"""Facts of a ConnectX-7 with two functions, and of a device of netdevsim, that nobody has touched."""

from __future__ import annotations

from typing import Any

from tests.support.fleet_facts import merge

SERIAL = "MT2242X00123"
PSID = "MT_0000000838"
PF0, PF1 = "0000:08:00.0", "0000:08:00.1"
SIM = "netdevsim1"
#: What a Debian 12 host with such a card has beside it: the kernel that can take rules into hardware.
HOST: dict[str, Any] = {
    "kernel": "6.1.0-56-amd64",
    "kernel_config": {"MLX5_CLS_ACT": "y", "NET_TC_SKB_EXT": "n", "MLX5_SF": "n", "NET_SWITCHDEV": "y"},
    "boot_id": "5f0c2c4e-8f5e-4f43-8a63-7f3c2f0f5a11",
    "tools": {name: f"/usr/sbin/{name}" for name in ("devlink", "tc", "modprobe", "dmesg", "mstconfig", "mstfwreset")},
}

Pair = tuple[dict[str, Any], dict[str, Any]]


def untouched(**over: Any) -> dict[str, Any]:
    """The part "mlx5" of a function of mlx5_core."""
    part = {
        "steering_mode": "smfs",
        "inline": "none",
        "encap": "basic",
        "autoprobe": True,
        "params": {"esw_multiport": "false", "esw_port_metadata": "true"},
        "vfs": {},
        "sfs": {},
        "nv": {},
        "reps": {},
    }
    return {**part, **over}


def vfs(count: int, driver: str | None = "mlx5_core", **told: dict[str, Any]) -> dict[str, Any]:
    """The table of `count` VFs; told: vf0={"address": ...}."""
    plain = {"address": None, "tx_max": 0, "tx_share": 0, "driver": driver}
    return {str(number): {**plain, **told.get(f"vf{number}", {})} for number in range(count)}


def card(config: dict[str, Any] | None = None, status: dict[str, Any] | None = None, serial: str = SERIAL) -> Pair:
    """A ConnectX-7 with two functions, cx0 and cx1: what its facts say in config and in status, changed by these."""
    functions, standing = {}, {}
    for port, function in enumerate((PF0, PF1)):
        functions[function] = {
            "card": serial,
            "driver": "mlx5_core",
            "device": f"cx{port}",
            "eswitch": "legacy",
            "vfs": 0,
            "ntuple": {"on": True, "rules": {}},
            "flower": {"hook": False, "offload": False, "rules": {}},
            "mlx5": untouched(),
        }
        standing[function] = {
            "port": port,
            "vfs_max": 16,
            "vf_drivers": {},
            "ntuple_size": 1024,
            "driver_version": "6.1.0-56-amd64",
            "firmware": {"fw.version": "28.41.1000", "fw.psid": PSID},
            "representors": {},
            "lldp": None,
            "rides_ssh": False,
            "psid": PSID,
            "nv_default": {},
        }
    return merge({"functions": functions}, config or {}), merge({"functions": standing, **HOST}, status or {})


def simulated(config: dict[str, Any] | None = None, status: dict[str, Any] | None = None) -> Pair:
    """A device of netdevsim with one port, sim0."""
    function = {
        "card": None,
        "driver": "netdevsim",
        "device": "sim0",
        "eswitch": "legacy",
        "vfs": 0,
        "ntuple": None,
        "flower": {"hook": False, "offload": True, "rules": {}},
        "mlx5": untouched(steering_mode=None, inline=None, encap=None, autoprobe=None, params={}),
    }
    standing = {
        "port": 0,
        "vfs_max": 4,
        "vf_drivers": {},
        "ntuple_size": None,
        "driver_version": None,
        "firmware": {"fw.mgmt": "10.20.30"},
        "representors": {},
        "lldp": None,
        "rides_ssh": False,
        "psid": None,
        "nv_default": {},
    }
    return (
        merge({"functions": {SIM: function}}, config or {}),
        merge({"functions": {SIM: standing}, **HOST}, status or {}),
    )
