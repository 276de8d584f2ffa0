# SPDX-License-Identifier: Apache-2.0
"""The files of a host's E810 ports: what its rules are for the kernel's tools, or for DPDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostRefused
from tether_hw.fleet.planner_e810 import lanes_at
from tether_hw.fleet.render import render
from tether_hw.nic.e810.model import E810Nic
from tether_hw.nic.e810.render import dpdk_files, kernel_files, note_values, package_path
from tether_hw.nic.e810.steer import Ground, Port, Steer, steer
from tether_hw.nic.steering import grammar

if TYPE_CHECKING:
    from tether_hw.fleet.draft import Setting
    from tether_hw.fleet.inventory import Inventory
    from tether_hw.plan.facts import Facts

NOTES_TEMPLATE = "e810/dpdk-notes.txt.j2"


def e810_files(inventory: Inventory, name: str, facts: Facts | None, setting: Setting) -> dict[str, str]:
    """File name -> text. What the kernel can do is known from facts only. Raises HostRefused."""
    files: dict[str, str] = {}
    for nic_name, nic in sorted(inventory.hosts[name].nics.items()):
        if not isinstance(nic, E810Nic) or (nic.mode == "kernel" and facts is None):
            continue
        function, device, serial = _found(nic, facts)
        if function is None:
            hint = "say pci, or record the facts: tether facts -o DIR, and render with --facts DIR"
            raise HostRefused(name, f"NIC {nic_name}: its PCI address is not known", hint=hint)
        port = Port(nic_name, nic, function, device, lanes_at(inventory, name, nic_name))
        chosen = steer(port, _ground(nic, function, facts), setting.profiles.e810)
        if chosen.refusals:
            raise HostRefused(name, f"NIC {nic_name}: {'; '.join(chosen.refusals)}")
        if nic.mode == "kernel":
            files.update(_kernel(port, chosen, facts))
        else:
            files.update(_dpdk(inventory, name, port, chosen, serial))
    return files


def _found(nic: E810Nic, facts: Facts | None) -> tuple[str | None, str | None, str | None]:
    """The function, its kernel device and its card, as far as they are known."""
    selector = nic.device.selector()
    if facts is not None:
        functions = facts.config["functions"]
        for entry in facts.status["devices"]:
            function = entry["function"]
            if entry["selector"] == selector and function in functions:
                return str(function), functions[function]["device"], functions[function]["card"]
    return nic.device.pci, None, nic.device.serial


def _ground(nic: E810Nic, function: str, facts: Facts | None) -> Ground:
    if facts is None or function not in facts.config["functions"]:
        return Ground("", None, "legacy", False, nic.queues, nic.vfs or 0, None, None)
    now: dict[str, Any] = facts.config["functions"][function]
    status: dict[str, Any] = facts.status["functions"][function]
    card = facts.config["cards"].get(now["card"], {"safe_mode": False})
    return Ground(
        kernel=facts.status["kernel"],
        driver_version=status["driver_version"],
        eswitch=nic.eswitch or now["eswitch"] or "legacy",
        safe_mode=card["safe_mode"] and nic.ddp is None,
        queues=nic.queues,
        vfs=now["vfs"] if nic.vfs is None else nic.vfs,
        table_size=status["ntuple_size"],
        lldp=status["lldp"],
    )


def _kernel(port: Port, chosen: Steer, facts: Facts | None) -> dict[str, str]:
    size = None if facts is None else facts.status["functions"][port.function]["ntuple_size"]
    files = kernel_files(port, chosen, size)
    for file, text in files.items():
        if file.endswith(".tc"):
            grammar.tc_batch(text)
        else:
            for line in text.splitlines():
                grammar.ethtool_command(line.split(" "))
    return files


def _dpdk(inventory: Inventory, name: str, port: Port, chosen: Steer, serial: str | None) -> dict[str, str]:
    nic = port.nic
    package = None if nic.ddp is None else package_path(serial)
    queues = nic.queues or max([1, *(lane.queue + 1 for lane in port.lanes)])
    files = dpdk_files(port.name, port.function, package, chosen.rules, queues)
    limits = inventory.hosts[name].engine.limits
    cells = limits.rx_cells + limits.tx_cells
    values = note_values(name, port.name, port.function, package, len(port.lanes), cells)
    files[f"{port.name}.dpdk.txt"] = render(NOTES_TEMPLATE, values)
    return files
