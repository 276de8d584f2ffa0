# SPDX-License-Identifier: Apache-2.0
"""Reads the functions of every family that has any into parts of this host's facts. Runs on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tether_hw.nic.cx7 import read as cx7
from tether_hw.nic.e810 import read as e810
from tether_hw.nic.functions import devlink
from tether_hw.nic.functions.devlink import Port, params
from tether_hw.nic.functions.found import Found, Run, Sysfs, choose, meant
from tether_hw.nic.functions.nv import PROGRAMS as NV_PROGRAMS
from tether_hw.nic.functions.reset import PROGRAMS as RESET_PROGRAMS
from tether_hw.nic.functions.reset import Offer
from tether_hw.nic.functions.reset import parse as reset_offer
from tether_hw.nic.steering.flower import Filter
from tether_hw.nic.steering.show import filters

__all__ = [
    "NV_PROGRAMS",
    "RESET_PROGRAMS",
    "Filter",
    "Found",
    "Offer",
    "Port",
    "choose",
    "filters",
    "find",
    "meant",
    "params",
    "ports",
    "read",
    "reset_offer",
]


def find(sysfs: Sysfs) -> list[Found]:
    """Every physical function of this host that a family of ours knows."""
    return [*e810.find(sysfs), *cx7.find(sysfs)]


def ports(run: Run) -> list[Port]:
    """The ports of all devices that devlink knows."""
    return devlink.ports(run(["devlink", "-j", "port", "show"]))


def read(
    chosen: Sequence[Found], sysfs: Sysfs, run: Run, root: str, release: str, keys: Sequence[str] = ()
) -> dict[str, Any]:
    """{"functions", "cards", "function_status", "card_status"} of these functions.

    keys: settings in the memory of cards that are read. Raises a ValueError where tc or ethtool prints what nobody
    understands.
    """
    document = e810.read([one for one in chosen if one.family == e810.FAMILY], sysfs, run, root, release)
    others = cx7.read([one for one in chosen if one.family == cx7.FAMILY], sysfs, run, keys)
    for table in others:
        document[table].update(others[table])
    return document
