# SPDX-License-Identifier: Apache-2.0
"""The files of a host's ConnectX ports and simulated devices: for the kernel's tools, udev and managers, and DPDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tether_hw.errors import HostRefused
from tether_hw.fleet.planner_bluefield import side_of
from tether_hw.fleet.planner_e810 import lanes_at
from tether_hw.fleet.render import render
from tether_hw.nic.bluefield.model import BluefieldNic
from tether_hw.nic.cx7.grammar import check_file
from tether_hw.nic.cx7.model import SwitchNic
from tether_hw.nic.cx7.render import dpdk_files, kernel_files, names, note_values
from tether_hw.nic.cx7.steer import Ground, Port, lane_rules, steer
from tether_hw.nic.steering import grammar
from tether_hw.plan.function_name import is_simulated, of_handle

if TYPE_CHECKING:
    from tether_hw.fleet.draft import Setting
    from tether_hw.fleet.inventory import Inventory
    from tether_hw.nic.cx7.capability import Capabilities
    from tether_hw.plan.facts import Facts

#: What an inventory that names no driver is planned with, where there are no facts that say it.
CARD, SIMULATED = "mlx5_core", "netdevsim"


def cx7_files(inventory: Inventory, name: str, facts: Facts | None, setting: Setting) -> dict[str, str]:
    """File name -> text. What the kernel can do is known from facts only. Raises HostRefused."""
    files: dict[str, str] = {}
    for nic_name, nic in sorted(inventory.hosts[name].nics.items()):
        if not isinstance(nic, SwitchNic) or (nic.mode == "kernel" and facts is None):
            continue
        function, device, driver = _found(nic, facts)
        if function is None:
            hint = "say pci, or record the facts: tether facts -o DIR, and render with --facts DIR"
            raise HostRefused(name, f"NIC {nic_name}: its PCI address is not known", hint=hint)
        port = Port(nic_name, nic, function, device, lanes_at(inventory, name, nic_name))
        side = side_of(inventory, name, nic, None)
        can = setting.profiles.cx7[driver] if side is None else setting.profiles.bluefield[side]
        made = _dpdk(inventory, name, port, can) if nic.mode == "dpdk" else _kernel(name, port, can, facts)
        for file, text in {**made, **_names(port, can), **_privileges(port)}.items():
            _check(file, text)
            files[file] = text
        if nic.mode == "dpdk":
            limits = inventory.hosts[name].engine.limits
            values = note_values(name, port, can, limits.rx_cells + limits.tx_cells)
            files[f"{nic_name}.dpdk.txt"] = render("cx7/dpdk-notes.txt.j2", values)
    return files


def _found(nic: SwitchNic, facts: Facts | None) -> tuple[str | None, str | None, str]:
    """The function, its device and its driver, as far as they are known."""
    selector = nic.device.selector()
    if facts is not None:
        functions = facts.config["functions"]
        for entry in facts.status["devices"]:
            function = entry["function"]
            if entry["selector"] == selector and function in functions:
                known = functions[function]["driver"] if functions[function]["mlx5"] is not None else CARD
                return str(function), functions[function]["device"], known
    named = nic.device.pci if nic.device.devlink is None else of_handle(nic.device.devlink)
    return named, nic.device.name, SIMULATED if named is not None and is_simulated(named) else CARD


def _kernel(name: str, port: Port, can: Capabilities, facts: Facts | None) -> dict[str, str]:
    if facts is None or port.function not in facts.config["functions"]:
        return {}
    now, nic = facts.config["functions"][port.function], port.nic
    sfs = {int(number) for number in (now["mlx5"] or {}).get("sfs", {})} | {sf.number for sf in nic.sfs or ()}
    ground = Ground(
        status=facts.status,
        eswitch=nic.eswitch or now["eswitch"] or "legacy",
        queues=nic.queues,
        vfs=now["vfs"] if nic.vf_count is None else nic.vf_count,
        sfs=frozenset(sfs),
        forced=True,
    )
    chosen = steer(port, ground, can)
    if chosen.refusals:
        raise HostRefused(name, f"NIC {port.name}: {'; '.join(chosen.refusals)}")
    return kernel_files(port, chosen, can, facts.status["functions"][port.function]["ntuple_size"])


def _dpdk(inventory: Inventory, name: str, port: Port, can: Capabilities) -> dict[str, str]:
    rules = lane_rules(port)
    pf = int(port.function[-1])
    for rule in () if port.nic.steering is None else port.nic.steering.rules:
        rules.append(rule.bind(port.name, len(rules), "required", pf))
    return dpdk_files(port, rules, port.nic.queues or max([1, *(lane.queue + 1 for lane in port.lanes)]))


def _privileges(port: Port) -> dict[str, str]:
    """What mlxprivhost is told at the Arm, which no plan does: one line a card."""
    nic = port.nic
    if not isinstance(nic, BluefieldNic) or nic.seat.side != "arm" or nic.port:
        return {}
    return {f"{port.name}.mlxprivhost": f"-d {port.function} {'r' if nic.seat.mode == 'zero-trust' else 'p'}\n"}


def _names(port: Port, can: Capabilities) -> dict[str, str]:
    values = names(port, can)
    files = {}
    if values["representors"] or values["addresses"]:
        files[f"{port.name}.rules"] = render("cx7/names.rules.j2", values)
    if values["devices"]:
        files[f"{port.name}.conf"] = render("cx7/unmanaged.conf.j2", values)
        files[f"{port.name}.network"] = render("cx7/unmanaged.network.j2", values)
    for one in values["functions"]:
        if one["name"]:
            files[f"{one['name']}.link"] = render("cx7/function.link.j2", {"nic": port.name, **one})
    return files


def _check(file: str, text: str) -> None:
    if file.endswith(".tc"):
        grammar.tc_batch(text)
    elif file.endswith(".ethtool"):
        for line in text.splitlines():
            grammar.ethtool_command(line.split(" "))
    else:
        check_file(file, text)
