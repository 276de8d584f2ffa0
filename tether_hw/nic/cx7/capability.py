# SPDX-License-Identifier: Apache-2.0
"""What the drivers of this family can be asked for: data of `profiles/cx7`, read by `fleet`, handed in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from tether_hw.nic.model import Model

Source = Annotated[str, Field(min_length=8, max_length=400, description="where this is written")]
Option = Annotated[str, Field(pattern=r"^[A-Z0-9_]{2,40}$")]
Way = Literal["port", "netdev"]


class Needs(Model):
    """An option that the host's kernel must be built with."""

    option: Option
    what: Annotated[str, Field(min_length=4, max_length=200, description="what there is not without it")]
    source: Source


class Ways(Model):
    """How functions are told their address and rates in one mode: through their devlink port or the PF's netdev."""

    address: Way
    rates: Way


class SteeringModes(Model):
    """Who writes rules into the card."""

    values: list[str]
    set_in: Literal["legacy"] = Field(description="the mode of the switch in which this can be set")
    source: Source


class RuntimeParams(Model):
    """Parameters that the driver takes while it runs."""

    names: list[str]
    set_in: Literal["legacy"]
    source: Source


class Switch(Model):
    """The switch inside the NIC."""

    inline: list[str] = Field(description="inline modes that can be set; empty: none can")
    encap: list[str]
    vfs_at_change: Literal["unbound", "kept", "outside"] = Field(
        description="what must become of VFs when the mode changes; outside: they are another machine's: none"
    )
    flows_at_encap: Literal["refused"] | None = Field(description="what comes of a new encap mode with rules there")
    needs: Needs | None
    source: Source


class VirtualFunctions(Model):
    """Virtual functions."""

    on_bus: bool = Field(description="whether they are PCI devices that drivers of the host take")
    made_by: Literal["own", "host"] = Field(description="who makes them: this machine, or the host around the card")
    legacy: Ways
    switchdev: Ways
    total: list[str] = Field(description="settings in the card's memory that say how many there can be")
    source: Source


class Subfunctions(Model):
    """Subfunctions."""

    needs: Needs
    settings: list[str] = Field(description="settings in the card's memory that there must be room for them in")
    source: Source


class EthtoolRules(Model):
    """Filters of `ethtool -N` for EtherTypes."""

    actions: Annotated[list[Literal["queue", "drop"]], Field(min_length=1)]
    source: Source


class FlowerRules(Model):
    """Filters of tc on the uplink in switchdev."""

    needs: Needs | None = Field(description="without it every rule stays in software")
    known: bool = Field(description="whether the option settles it; false: only a probe does")
    offload_off: Literal["refused", "allowed"] = Field(description="what comes of hw-tc-offload off with rules there")
    source: Source


class ByBoot(Model):
    """Firmware starts with the host."""

    kind: Literal["boot"]


class ByReset(Model):
    """Firmware starts when it is reset: no boot of the machine does it."""

    kind: Literal["reset"]
    level: int = Field(ge=0, le=5)
    sync: int = Field(ge=0, le=1, description="who brings the drivers down")
    programs: Annotated[list[str], Field(min_length=1)] = Field(description="any of these resets it")


class Settings(Model):
    """Settings in the card's memory."""

    programs: Annotated[list[str], Field(min_length=1)] = Field(description="any of these reads and sets them")
    starts_by: ByBoot | ByReset
    source: Source


class FlexItem(Model):
    """DPDK's match on bytes behind the EtherType."""

    settings: dict[str, str] = Field(description="what the card's memory must say")
    source: Source


class Capabilities(Model):
    """One driver of the family. What is null there is not."""

    profile: Literal[1] = Field(description="version of this format")
    family: Literal["cx7", "bluefield"]
    driver: str
    steering_modes: SteeringModes | None
    params: RuntimeParams | None
    switch: Switch
    vfs: VirtualFunctions
    sfs: Subfunctions | None
    ethtool_rules: EthtoolRules | None
    flower_rules: FlowerRules
    settings: Settings | None
    flex_item: FlexItem | None


def lacking(needs: Needs | None, kernel: str, options: Mapping[str, str | None]) -> str | None:
    """Why this kernel has not what it needs; None where it has, or nobody knows."""
    if needs is None or options.get(needs.option) != "n":
        return None
    return f"kernel {kernel} is built without {needs.option}: {needs.what}"


def unknown(needs: Needs | None, options: Mapping[str, str | None]) -> bool:
    """Whether nobody knows if the kernel has what it needs."""
    return needs is not None and options.get(needs.option) is None
