# SPDX-License-Identifier: Apache-2.0
"""What a NIC of every family says in an inventory: its device, queues, ring, MTU, lanes and carrier."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator

from tether_hw.nic.model import IfName, Mac, Model


def _address(value: str) -> str:
    return str(ipaddress.ip_address(value))


class Device(Model):
    """How the device is found on its host: by exactly one of these."""

    name: IfName | None = Field(None, description="the kernel's name of it")
    mac: Mac | None = Field(None, description="its permanent hardware address, in lower case")
    pci: Annotated[str, Field(pattern=r"^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$")] | None = Field(
        None, description="its PCI address"
    )

    @model_validator(mode="after")
    def _one(self) -> Device:
        if sum(value is not None for value in (self.name, self.mac, self.pci)) != 1:
            raise ValueError("expected exactly one of name, mac, pci")
        return self

    def selector(self) -> dict[str, Any]:
        """The selector that the agent is asked with."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class Ring(Model):
    """Ring depths in descriptors per queue."""

    rx: int = Field(ge=1, le=2**20)
    tx: int = Field(ge=1, le=2**20)


def _shape(value: Any) -> str:
    return "list" if isinstance(value, list) else "one"


_TARGET = r"^(vf|sf) (0|[1-9][0-9]{0,9})$"
_ON = r"^(pf|(vf|sf) (0|[1-9][0-9]{0,9}))$"
_Target = Annotated[str, Field(pattern=_TARGET)]
On = Annotated[
    Annotated[Annotated[str, Field(pattern=_ON)], Tag("one")]
    | Annotated[Annotated[list[_Target], Field(min_length=1, max_length=256)], Tag("list")],
    Discriminator(_shape),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": _ON},
                {"type": "array", "items": {"type": "string", "pattern": _TARGET}, "minItems": 1, "maxItems": 256},
            ]
        }
    ),
]


class Lanes(Model):
    """The queues that carry the transport, one lane each, and how a lane is addressed."""

    on: On | None = Field(
        None, description="pf: its own queues; vf N, sf N or a list of these: functions that carry one lane each"
    )
    queues: list[Annotated[int, Field(ge=0, le=65535)]] | None = Field(
        None, description="queue indices; all of `queues` when left out", max_length=256
    )
    by: Literal["mac", "udp-port", "function"] | None = Field(
        None, description="what names a lane; mac or, on a VF or SF, function for raw Ethernet, udp-port for udp"
    )


class Udp(Model):
    """Where the carrier udp listens: lane i of this NIC on port + i."""

    address: Annotated[str, AfterValidator(_address)] = Field(description="an IP address of this host")
    port: int = Field(ge=1, le=65535, description="the port of the first lane of this NIC")


class Nic(Model):
    """What the fleet reads of a NIC, whatever its family."""

    device: Device
    mtu: int | None = Field(None, ge=68, le=65535, description="bytes; the link's when left out, raw carriers only")
    queues: int | None = Field(None, ge=1, le=1024, description="number of queues; left as it is when left out")
    ring: Ring | None = Field(None, description="ring depths; left as they are when left out")
    lanes: Lanes | None = Field(None, description="the lanes on this NIC; none when left out")
    carrier: Literal["auto", "udp", "af_packet", "af_xdp"] | None = Field(
        None, description="how frames reach the queues; the engine's carrier when left out"
    )
    udp: Udp | None = None

    @property
    def own_carrier(self) -> str | None:
        """The carrier that this NIC asks for itself; None leaves it to the engine."""
        return self.carrier

    def settings(self) -> tuple[str, ...]:
        """The settings in its card's memory that it says something of."""
        return ()

    def lane_functions(self) -> list[str]:
        """The functions that carry one lane each, as facts name them (vf0, sf88); none: lanes are on its own queues."""
        on = None if self.lanes is None else self.lanes.on
        if on in (None, "pf"):
            return []
        return [one.replace(" ", "") for one in (on if isinstance(on, list) else [on]) if one is not None]

    def lane_problems(self) -> list[tuple[tuple[str | int, ...], str, str]]:
        """What is wrong with where its lanes are: below which key, what, and what to say instead."""
        if self.lane_functions():
            return [(("lanes", "on"), "lanes of this family are on its own queues", "leave on: out")]
        return []

    def lane_queues(self) -> list[int]:
        """The queue indices of the lanes, in the order of the lanes."""
        if self.lanes is None:
            return []
        if self.lane_functions():
            return [0] * len(self.lane_functions())
        if self.lanes.queues is not None:
            return list(self.lanes.queues)
        return list(range(self.queues or 1))
