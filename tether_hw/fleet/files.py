# SPDX-License-Identifier: Apache-2.0
"""The files that a host would get, as text. Each is read by its own grammar before it is handed out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tether_hw.errors import HostRefused
from tether_hw.fleet.draft import Setting
from tether_hw.fleet.engine_intent import ConfigError, engine_intent, engine_user
from tether_hw.fleet.files_cx7 import cx7_files
from tether_hw.fleet.files_e810 import e810_files
from tether_hw.fleet.inventory import Inventory
from tether_hw.fleet.planner_cx7 import functions_of
from tether_hw.fleet.render import SYSUSERS_TEMPLATE, render
from tether_hw.plan.canonical import file_text
from tether_hw.plan.facts import Facts
from tether_hw.plan.paths import HostPaths

ASSUMED_ARCH = "x86_64"


def host_files(inventory: Inventory, name: str, facts: Facts | None, setting: Setting) -> dict[str, str]:
    """File name -> text. Without facts: devices by name only, one CPU per lane, x86_64, this user's home for `~`.

    Raises HostRefused where the inventory says too little.
    """
    host = inventory.hosts[name]
    files = {**e810_files(inventory, name, facts, setting), **cx7_files(inventory, name, facts, setting)}
    if not inventory.lanes[name] or any(nic.own_carrier == "dpdk" for nic in host.nics.values()):
        return files  # an engine that cannot drive its lanes has no files
    paths = _paths(host.root, facts)
    devices = {}
    for nic_name, nic in host.nics.items():
        selector = nic.device.selector()
        device = selector.get("name") or _looked_up(facts, selector)
        if device is None:
            hint = "record the facts: tether facts -o DIR, and render with --facts DIR"
            raise HostRefused(name, f"NIC {nic_name}: its device is not known by name", hint=hint)
        devices[nic_name] = device
    cpus = facts.status["cpus"] if facts else max(1, len(inventory.lanes[name]))
    functions = {} if facts is None else functions_of(inventory, name, facts, devices)
    for nic_name, nic in host.nics.items():
        if nic.lane_functions() and nic_name not in functions:
            if nic.device.pci is None:
                hint = "record the facts: tether facts -o DIR, and render with --facts DIR"
                raise HostRefused(name, f"NIC {nic_name}: its PCI address is not known", hint=hint)
            functions[nic_name] = nic.device.pci
    try:
        intent = engine_intent(inventory, name, devices, paths, cpus, functions)
    except ConfigError as error:
        raise HostRefused(name, f"the engine would refuse its files: {error}") from None
    files["engine.json"], files["roster.json"] = file_text(intent.config), file_text(intent.roster)
    user = engine_user(inventory, name)
    bundle = setting.bundles.get(facts.status["arch"] if facts else ASSUMED_ARCH)
    if user is not None and bundle is not None:
        carriers = {lane.carrier for lane in intent.lanes}
        files["tether-engine.service"] = setting.write_unit(paths, user, bundle.digest, carriers)
        files["tether-sysusers.conf"] = render(SYSUSERS_TEMPLATE, {"user": user, "state": paths.state})
    return files


def _paths(root: str, facts: Facts | None) -> HostPaths:
    if facts is not None:
        return HostPaths(str(facts.status["root"]))
    return HostPaths(str(Path(root).expanduser()))


def _looked_up(facts: Facts | None, selector: dict[str, Any]) -> str | None:
    entries = facts.status["devices"] if facts is not None else []
    return next((entry["device"] for entry in entries if entry["selector"] == selector), None)
