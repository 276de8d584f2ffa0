# SPDX-License-Identifier: Apache-2.0
"""What one port shall be, as files: for the kernel's tools, and arguments, rules and a flex item for DPDK. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tether_hw.nic.cx7.attributes import tell
from tether_hw.nic.cx7.capability import Capabilities
from tether_hw.nic.cx7.steer import Port, Steer
from tether_hw.nic.steering import flower, ntuple, rte_flow
from tether_hw.nic.steering.rule import MOST_RULES, Rule
from tether_hw.plan.function_name import is_simulated, pf_number
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.nic_eswitch import NicEswitch
from tether_hw.plan.kinds.nic_nv import NicNv
from tether_hw.plan.kinds.nic_param import NicParam
from tether_hw.plan.kinds.nic_rules_port import NicRulesPort
from tether_hw.plan.kinds.nic_sf import NicSf
from tether_hw.plan.paths import HostPaths

#: Bytes of a cell: a frame of MTU 1500 with the buffer's headroom.
CELL_BYTES = 2176
PAGE_BYTES = 2 << 20
HEADER_BITS = 64 * 8
#: The channel stands at byte 4 of the header, its low byte first: the receiver's lane.
CHANNEL_AT_BIT = 32
_NAME_MOST = 15


def kernel_files(port: Port, chosen: Steer, can: Capabilities, size: int | None) -> dict[str, str]:
    """File name -> batch: for `devlink -b`, `ip -b`, `tc -b`; and lines for ethtool and mlxconfig, each a command."""
    commands = [command for step in _steps(port, can) for command in step.argv(HostPaths("/"))]
    files: dict[str, list[str]] = {}
    for words in commands:
        program = "mlxconfig" if words[0] == "mlxconfig" else words[0]
        files.setdefault(f"{port.name}.{program}", []).append(" ".join(words[1:]))
    if chosen.ntuple:
        files[f"{port.name}.ethtool"] = [" ".join(ntuple.add(rule, size or MOST_RULES)) for rule in chosen.ntuple]
    if chosen.flower:
        lines = [flower.qdisc_line(str(port.device))]
        for name in sorted(chosen.ports):
            lines.append(flower.qdisc_line(name))
            step = NicRulesPort(port.function, name, chosen.ports[name])
            lines += [flower.replace_line(step.rule(place)) for place in sorted(chosen.ports[name])]
        files[f"{port.name}.tc"] = [*lines, *(flower.replace_line(rule) for rule in chosen.flower)]
    return {name: "\n".join(lines) + "\n" for name, lines in files.items()}


def _steps(port: Port, can: Capabilities) -> list[StepData]:
    """What the port is told, of a card that nobody has told anything."""
    nic, function = port.nic, port.function
    steps: list[StepData] = []
    if nic.nv:
        steps.append(NicNv(function, dict(nic.nv), dict.fromkeys(nic.nv, "0")))
    if nic.steering_mode is not None:
        steps.append(NicParam(function, "flow_steering_mode", nic.steering_mode))
    steps.extend(NicParam(function, name, value) for name, value in nic.params.told().items())
    if nic.eswitch is not None:
        steps.append(NicEswitch(function, nic.eswitch, nic.inline, nic.encap))
    mode = nic.eswitch or "legacy"
    for number, told in port.told("sf").items():
        steps.append(NicSf(function, int(number), True, told.pop("address", None)))
        steps.extend(tell(can, (function, port.device), f"sf{number}", mode, told))
    for number, told in port.told("vf").items():
        steps.extend(tell(can, (function, port.device), f"vf{number}", mode, told))
    return steps


def names(port: Port, can: Capabilities) -> dict[str, Any]:
    """What the files that name functions and keep others off them are rendered with."""
    nic, pf = port.nic, pf_number(port.function)
    representors, functions = [], []
    if nic.eswitch == "switchdev":
        kinds = [("vf", str(number)) for number in range(nic.vf_count or 0)]
        kinds += [("sf", number) for number in nic.sfs_told()]
        for kind, number in kinds:
            name = f"{port.name}-{kind[0]}{number}r"
            outside = "c1" if kind == "vf" and can.vfs.made_by == "host" else ""
            short = name if len(name) <= _NAME_MOST else None
            representors.append({"port": f"{outside}pf{pf}{kind}{number}", "name": short})
    for kind, told in (("vf", port.told("vf")), ("sf", port.told("sf"))):
        for number, attributes in told.items():
            name = f"{port.name}-{kind[0]}{number}"
            if "address" in attributes:
                functions.append({"address": attributes["address"], "name": name if len(name) <= _NAME_MOST else None})
    addresses = [one["address"] for one in functions]
    known = [str(one["name"]) for one in representors if one["name"]]
    return {
        "nic": port.name,
        "parent": port.function,
        "representors": representors,
        "functions": functions,
        "addresses": addresses,
        "names": known,
        "devices": [*(f"mac:{address}" for address in addresses), *(f"interface-name:{name}" for name in known)],
    }


def dpdk_files(port: Port, rules: Sequence[Rule], queues: int) -> dict[str, str]:
    """File name -> text of a port whose frames DPDK carries."""
    name = port.name
    files = {
        f"{name}.args": f"-a {port.function},dv_flow_en=1\n-- --rxq={queues} --txq={queues} --flow-isolate-all\n",
        f"{name}.testpmd": rte_flow.script(rules),
    }
    if port.lanes:
        files[f"{name}-flex.json"] = json.dumps(flex_item(), indent=1) + "\n"
        files[f"{name}-flex.testpmd"] = _flex_script(port)
    return files


def flex_item() -> dict[str, Any]:
    """Tether's header as a flex item: 64 bytes behind EtherType 0x88B5, of which the channel is looked at."""
    return {
        "next_header": {"field_mode": "FIELD_MODE_FIXED", "field_base": HEADER_BITS},
        "sample_data": [{"field_mode": "FIELD_MODE_FIXED", "field_size": 32, "field_base": CHANNEL_AT_BIT}],
        "input_link": [{"item": "eth type is 0x88b5"}],
    }


def _flex_script(port: Port) -> str:
    lines = [f"flow flex_item create 0 0 {port.name}-flex.json"]
    for number, lane in enumerate(port.lanes):
        lines.append(f"set flex_pattern {number} spec {lane.lane:02x}000000 mask ff000000")
    for number, lane in enumerate(port.lanes):
        pattern = f"eth type is 0x88b5 / flex item is 0 pattern is {number} / end"
        lines.append(f"flow create 0 ingress group 1 pattern {pattern} actions queue index {lane.queue} / end")
    lines.append("flow create 0 ingress group 0 pattern eth type is 0x88b5 / end actions jump group 1 / end")
    return "\n".join([*lines, "flow list 0"]) + "\n"


def note_values(host: str, port: Port, can: Capabilities, cells: int) -> dict[str, Any]:
    """What the notes for people are rendered with."""
    lanes = max(1, len(port.lanes))
    pages = -(-lanes * cells * CELL_BYTES // PAGE_BYTES) + 64  # beside the cells: rings, the EAL's own
    settings = {} if can.flex_item is None else can.flex_item.settings
    return {
        "host": host,
        "nic": port.name,
        "pci": port.function,
        "lanes": lanes,
        "cells": cells,
        "megabytes": pages * (PAGE_BYTES >> 20),
        "settings": sorted(settings.items()),
        "missing": sorted(key for key, value in settings.items() if port.nic.nv.get(key) != value),
    }


def simulated(port: Port) -> bool:
    """Whether it is a device of netdevsim."""
    return is_simulated(port.function)
