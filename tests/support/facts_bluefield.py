# SPDX-License-Identifier: Apache-2.0
"""Facts of the two sides of a BlueField-3 that nobody has touched, in modes dpu and nic."""

from __future__ import annotations

from typing import Any

from tests.support.facts_cx7 import HOST, Pair, untouched
from tests.support.fleet_facts import merge

SERIAL, PSID = "MT2334X00456", "MT_0000000884"
ARM, AROUND = ("0000:03:00.0", "0000:03:00.1"), ("0000:17:00.0", "0000:17:00.1")
ENGINE = "INTERNAL_CPU_OFFLOAD_ENGINE"
TOOLS = {name: f"/usr/bin/{name}" for name in ("mlxconfig", "mlxfwreset", "mlxprivhost")}


def engine(current: str, later: str | None = None) -> dict[str, Any]:
    """The setting that says who has the switch: 0 the Arm, 1 the host."""
    return {ENGINE: {"current": current, "next": current if later is None else later}}


def _side(
    names: tuple[str, ...], devices: tuple[str, str], part: dict[str, Any], eswitch: str | None, vfs_max: int
) -> Pair:
    functions, standing = {}, {}
    for port, function in enumerate(names):
        functions[function] = {
            "card": SERIAL,
            "driver": "mlx5_core",
            "device": devices[port],
            "eswitch": eswitch,
            "vfs": 0,
            "ntuple": {"on": True, "rules": {}},
            "flower": {"hook": False, "offload": False, "rules": {}},
            "mlx5": untouched(**part),
        }
        standing[function] = {
            "port": port,
            "vfs_max": vfs_max,
            "vf_drivers": {},
            "ntuple_size": 1024,
            "driver_version": "6.1.0-56-amd64",
            "firmware": {"fw.version": "32.39.1002", "fw.psid": PSID},
            "representors": {},
            "lldp": None,
            "rides_ssh": False,
            "psid": PSID,
            "nv_default": {ENGINE: "0"},
            "reset": {"levels": [3, 4], "syncs": [1]},
            "restricted": False,
        }
    return {"functions": functions}, {"functions": standing, **HOST, "tools": {**HOST["tools"], **TOOLS}}


def arm(config: dict[str, Any] | None = None, status: dict[str, Any] | None = None) -> Pair:
    """The Arm in mode dpu: ports p0 and p1, no VFs of its own."""
    made = _side(ARM, ("p0", "p1"), {"nv": engine("0"), "autoprobe": None}, "legacy", 0)
    return merge(made[0], config or {}), merge(made[1], status or {})


def arm_bare(config: dict[str, Any] | None = None, status: dict[str, Any] | None = None) -> Pair:
    """The same without a program that reads the card's settings."""
    made = arm(config, status)
    for function in made[0]["functions"].values():
        function["mlx5"]["nv"] = {}
    for program in ("mlxconfig", "mstconfig"):
        made[1]["tools"][program] = None
    return made


def around(config: dict[str, Any] | None = None, status: dict[str, Any] | None = None) -> Pair:
    """The host in mode dpu: ports bf0 and bf1, without a say over the switch."""
    part = {"nv": engine("0"), "steering_mode": "dmfs", "params": {}, "inline": None, "encap": None}
    made = _side(AROUND, ("bf0", "bf1"), part, None, 16)
    return merge(made[0], config or {}), merge(made[1], status or {})


def around_nic(config: dict[str, Any] | None = None, status: dict[str, Any] | None = None) -> Pair:
    """The host in mode nic: as of a ConnectX-7."""
    made = _side(AROUND, ("bf0", "bf1"), {"nv": engine("1")}, "legacy", 16)
    return merge(made[0], config or {}), merge(made[1], status or {})
