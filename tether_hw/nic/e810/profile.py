# SPDX-License-Identifier: Apache-2.0
"""What a parser profile says: data of `profiles/e810`, the input of `templates/e810/parser.ddp.j2`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from tether_hw.nic.model import Model

EtherType = Annotated[int, Field(ge=0x0600, le=0xFFFF)]
#: PTYPEs below it belong to the driver's list (ice_flex_type.h).
FIRST_OWN_PTYPE = 512
OwnPtype = Annotated[int, Field(ge=FIRST_OWN_PTYPE, le=1023)]


class TetherPart(Model):
    """Tether's own node, PTYPEs and protocol id."""

    ethertype: EtherType = Field(0x88B5, description="EtherType of Tether frames")
    protocol_id: int = Field(121, ge=1, le=254, description="protocol id whose offset is that of the Tether header")
    ptype: OwnPtype = Field(1000, description="PTYPE of Tether on Ethernet, 0 to 2 tags")
    udp_ports: list[Annotated[int, Field(ge=1, le=65535)]] = Field(
        default_factory=list, max_length=16, description="UDP ports whose datagrams carry Tether frames"
    )
    ptype_udp4: OwnPtype = Field(1001, description="PTYPE of Tether in UDP over IPv4")
    ptype_udp6: OwnPtype = Field(1002, description="PTYPE of Tether in UDP over IPv6")
    marker: int = Field(55, ge=32, le=70, description="parser marker that says Tether")

    @field_validator("protocol_id")
    @classmethod
    def _free_protocol(cls, value: int) -> int:
        taken = {1: "MAC", 9: "EtherType", 15: "payload", 16: "outer VLAN", 17: "VLAN", 32: "IPv4", 40: "IPv6"}
        taken |= {47: "IPv6 fragment", 49: "TCP", 53: "UDP", 96: "SCTP", 98: "ICMP", 100: "ICMPv6", 117: "LLDP"}
        taken |= {118: "ARP", 119: "PTP", 120: "EAPOL"}
        if value in taken:
            raise ValueError(f"{value} is {taken[value]} in the driver's list; 121 is free")
        return value

    @field_validator("ethertype")
    @classmethod
    def _free_ethertype(cls, value: int) -> int:
        if value in (0x0800, 0x0806, 0x86DD, 0x88CC, 0x88F7, 0x8100, 0x88A8, 0x9100):
            raise ValueError(f"{value:#06x} has a meaning of its own")
        return value


class VlanPart(Model):
    """VLAN tags that the parser goes through."""

    outer: list[EtherType] = Field(
        default_factory=lambda: [0x8100, 0x88A8, 0x9100],
        min_length=1,
        max_length=4,
        description="tag types that begin a stack of two",
    )
    mode: Literal["dvm", "svm"] = Field("dvm", description="the mode that the package starts in: two tags, or one")


class ParserProfile(Model):
    """One parser profile."""

    profile: Literal[1] = Field(description="version of this format")
    family: Literal["e810"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9 ._-]{1,27}$")] = Field(description="name of the package")
    version: Annotated[str, Field(pattern=r"^\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}$")] = Field(
        description="version of the package; drivers support exactly 1.3.x.y"
    )
    track_id: int = Field(ge=0, le=0xFFFF_FFFF, description="track id of the package")
    tether: TetherPart | None = Field(description="the Tether part; null leaves it out")
    vlan: VlanPart = Field(default_factory=VlanPart)
