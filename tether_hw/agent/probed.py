# SPDX-License-Identifier: Apache-2.0
"""What earlier probes of this host found, as far as it still holds: for this kernel, driver and firmware."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping

from tether_hw.agent import durable

if TYPE_CHECKING:
    from tether_hw.plan.paths import HostPaths

SCHEMA = "tether.probed/1"


def ground(config: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
    """What a finding holds for, of a function's parts of facts."""
    return {
        "kernel": platform.release(),
        "driver": config["driver"],
        "driver_version": status["driver_version"],
        "firmware": dict(status["firmware"]),
    }


def records(paths: HostPaths) -> dict[str, Any]:
    """function -> mode -> {"ground", "found"}; nothing where nothing was probed."""
    document = durable.read_json(Path(paths.probed))
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        return {}
    found: dict[str, Any] = document["functions"]
    return found


def known(paths: HostPaths, functions: Mapping[str, Any], statuses: Mapping[str, Any]) -> dict[str, Any]:
    """What facts show: function -> mode -> what was found."""
    kept = records(paths)
    shown: dict[str, Any] = {}
    for name in sorted(set(kept) & set(functions)):
        now = ground(functions[name], statuses[name])
        modes = {mode: one["found"] for mode, one in kept[name].items() if one["ground"] == now}
        if modes:
            shown[name] = modes
    return shown


def keep(paths: HostPaths, function: str, mode: str, holds_for: dict[str, Any], found: dict[str, Any]) -> None:
    """Add what a probe found; what was found on another ground falls out."""
    kept = records(paths)
    modes = {name: one for name, one in kept.get(function, {}).items() if one["ground"] == holds_for}
    kept[function] = {**modes, mode: {"ground": holds_for, "found": found}}
    durable.write_json(Path(paths.probed), {"schema": SCHEMA, "functions": kept}, 0o644)
