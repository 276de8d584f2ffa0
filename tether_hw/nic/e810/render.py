# SPDX-License-Identifier: Apache-2.0
"""The rules of one port as files: batches for the kernel's tools, a script and arguments for DPDK. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tether_hw.nic.e810.placement import OVER_ALL
from tether_hw.nic.e810.steer import ETHTOOL, FLOWER, Port, Steer
from tether_hw.nic.steering import flower, ntuple, rte_flow
from tether_hw.nic.steering.rule import MOST_RULES, Rule

#: Bytes of a cell: a frame of MTU 1500 with the buffer's headroom.
CELL_BYTES = 2176
PAGE_BYTES = 2 << 20


def kernel_files(port: Port, chosen: Steer, size: int | None) -> dict[str, str]:
    """File name -> batch: lines for ethtool, each a command, or for `tc -b`."""
    if chosen.way == ETHTOOL and chosen.rules:
        lines = [" ".join(ntuple.add(rule, size or MOST_RULES)) for rule in chosen.rules]
        return {f"{port.name}.ethtool": "\n".join(lines) + "\n"}
    if chosen.way == FLOWER and chosen.rules:
        lines = [flower.qdisc_line(str(port.device)), *(flower.replace_line(rule) for rule in chosen.rules)]
        return {f"{port.name}.tc": "\n".join(lines) + "\n"}
    return {}


def dpdk_files(name: str, pci: str, package: str | None, rules: Sequence[Rule], queues: int) -> dict[str, str]:
    """File name -> text of a port that DPDK drives. package: the path at which the host has it."""
    arguments = rte_flow.device_arguments(pci, ddp_package=package)
    raw = [rte_flow.raw_command(rule, 0) for rule in rules]
    return {
        f"{name}.args": f"-a {arguments}\n-- --rxq={queues} --txq={queues}\n",
        f"{name}.testpmd": rte_flow.script(rules),
        f"{name}-raw.testpmd": "\n".join([*raw, "flow list 0"]) + "\n",
    }


def note_values(host: str, nic: str, pci: str, package: str | None, lanes: int, cells: int) -> dict[str, Any]:
    """What the notes for people are rendered with."""
    bytes_of_cells = max(1, lanes) * cells * CELL_BYTES
    pages = -(-bytes_of_cells // PAGE_BYTES) + 64  # beside the cells: rings, the EAL's own
    megabytes = pages * (PAGE_BYTES >> 20)
    return {
        "host": host,
        "nic": nic,
        "pci": pci,
        "prefix": nic,
        "package": package,
        "lanes": max(1, lanes),
        "cells": cells,
        "megabytes": megabytes,
    }


def package_path(serial: str | None) -> str | None:
    """Where a plan places the package of a card; None where the card's serial number is not known."""
    return None if serial is None else OVER_ALL.format(serial)
