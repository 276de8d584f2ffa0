# SPDX-License-Identifier: Apache-2.0
"""How a function of a card is named: by its PCI address, or as netdevsim names it; and what it is elsewhere."""

from __future__ import annotations

import re

from tether_hw.plan.shape import PCI

NETDEVSIM = "netdevsim"
_SIMULATED = re.compile(r"netdevsim(0|[1-9][0-9]{0,8})\Z")
FUNCTION = re.compile(rf"(?:{PCI.pattern}|{_SIMULATED.pattern})")
#: The network device of a VF or SF, by what it is to its physical function: its name is the kernel's own affair.
DEVICE_OF = re.compile(r"([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])/(vf|sf)(0|[1-9][0-9]{0,9})\Z")
#: How devlink spells a device of netdevsim; the one kind that a selector names so.
DEVLINK = re.compile(r"netdevsim/netdevsim(0|[1-9][0-9]{0,8})\Z")


def is_simulated(function: str) -> bool:
    """Whether it is a device of netdevsim: nothing below it is on a PCI bus."""
    return _SIMULATED.match(function) is not None


def devlink_handle(function: str) -> str:
    """As devlink names it: pci/0000:08:00.0, netdevsim/netdevsim1."""
    return f"{NETDEVSIM if is_simulated(function) else 'pci'}/{function}"


def of_handle(handle: str) -> str | None:
    """The function that a devlink handle names; None where it names something else."""
    bus, _, name = handle.partition("/")
    fits = FUNCTION.match(name) and devlink_handle(name) == handle and bus
    return name if fits else None


def sysfs_folder(function: str) -> str:
    """Its folder below /sys."""
    return f"bus/{NETDEVSIM if is_simulated(function) else 'pci'}/devices/{function}"


def pf_number(function: str) -> int:
    """The number of a physical function in devlink's words (pfnum): its PCI function."""
    return 0 if is_simulated(function) else int(function[-1])
