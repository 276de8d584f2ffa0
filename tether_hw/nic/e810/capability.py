# SPDX-License-Identifier: Apache-2.0
"""What a driver of E810 cards can be asked for: data of `profiles/e810/ice.yaml`, read by `fleet`, handed in."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from tether_hw.nic.model import Model

Release = Annotated[str, Field(pattern=r"^[0-9]{1,4}(\.[0-9]{1,5}){1,3}$")]
Source = Annotated[str, Field(min_length=8, max_length=400, description="where this is written")]
Actions = Annotated[list[Literal["queue", "drop", "redirect"]], Field(min_length=1)]
_NUMBERS = re.compile(r"\d+(?:\.\d+)*")


def release(text: str) -> tuple[int, ...]:
    """The numbers that a version begins with: (6, 1, 0) of 6.1.0-28-amd64."""
    match = _NUMBERS.match(text)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


class Packages(Model):
    """Which parser packages the driver takes."""

    major: int = Field(ge=0, le=255)
    minor: int = Field(ge=0, le=255)
    default_names: list[str] = Field(description="names of the packages that ship with the driver")
    source: Source


class EthtoolRules(Model):
    """Filters of `ethtool -N` for EtherTypes."""

    kernel: Release = Field(description="the first kernel whose own driver has them")
    out_of_tree: Release = Field(description="the first release of the driver outside of the kernel that has them")
    actions: Actions
    mac_masks: Literal["whole"]
    input_sets: Literal[1] = Field(description="how many sets of fields the rules of one port may look at")
    vlan: bool = Field(description="whether a rule may name a VLAN")
    source: Source


class FlowerRules(Model):
    """Filters of tc on a port in switchdev."""

    chains: list[int]
    actions: Actions
    lldp_agent: Literal["refused"] = Field(description="what comes of rules while the firmware's LLDP agent is on")
    source: Source


class ModeChange(Model):
    """What a change of the e-switch's mode asks for."""

    vfs: Literal[0] = Field(description="how many virtual functions there may be then")
    source: Source


class SafeMode(Model):
    """What is left without a package."""

    queues: Literal[1]
    source: Source


class DpdkRules(Model):
    """Rules of DPDK's PMD."""

    actions: Actions
    mac_masks: Literal["whole"]
    vlan: bool
    source: Source


class Capabilities(Model):
    """One driver of the family."""

    profile: Literal[1] = Field(description="version of this format")
    family: Literal["e810"]
    driver: Literal["ice"]
    package: Packages
    ethtool_rules: EthtoolRules
    flower_rules: FlowerRules
    mode_change: ModeChange
    safe_mode: SafeMode
    dpdk_rules: DpdkRules

    def no_ethtool_rules(self, kernel: str, driver_version: str | None) -> str | None:
        """Why a host has no `ethtool -N` for EtherTypes; None where it has.

        A driver of the kernel's own tree says the kernel's version, or none.
        """
        table = self.ethtool_rules
        own = driver_version is None or driver_version == kernel or release(driver_version) == release(kernel)
        if own:
            if release(kernel) >= release(table.kernel):
                return None
            shown = ".".join(map(str, release(kernel)[:2])) or kernel
            return f"ice of kernel {shown} has no ethtool -N for EtherTypes: {table.kernel} or later has it"
        if release(str(driver_version)) >= release(table.out_of_tree):
            return None
        return f"ice {driver_version} has no ethtool -N for EtherTypes: {table.out_of_tree} or later has it"
