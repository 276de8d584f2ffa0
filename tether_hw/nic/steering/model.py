# SPDX-License-Identifier: Apache-2.0
"""Steering as an inventory says it: rules of one's own beside those of the lanes, which are derived and not written."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from tether_hw.nic.model import Mac, Model, Name
from tether_hw.nic.steering.rule import DROP, ETHERTYPE, EXACT, QUEUE, REDIRECT, MacMatch, Rule

_MASKED = r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}(/[0-9a-f]{2}(:[0-9a-f]{2}){5})?$"
MaskedMac = Annotated[str, Field(pattern=_MASKED)]
#: A symbolic name is what a device is to its card; the host binds it when the device is there.
PF_OF = "@pf{pf}vf{vf}.rep"
_TAGS = (0x8100, 0x88A8, 0x9100)
#: What a host itself lives on, wherever a rule would send it.
_OF_THE_HOST = {
    0x0800: "IPv4",
    0x0806: "ARP",
    0x86DD: "IPv6",
    0x8809: "LACP",
    0x8863: "PPPoE",
    0x8864: "PPPoE",
    0x888E: "802.1X",
    0x88E5: "MACsec",
}


class Match(Model):
    """What a frame must be. What is left out does not matter, but for the tag: without `vlan` there is none."""

    destination: MaskedMac | None = Field(None, description="destination MAC address, perhaps /mask")
    source: MaskedMac | None = Field(None, description="source MAC address, perhaps /mask")
    vlan: int | None = Field(None, ge=1, le=4094, description="VLAN id of the one tag")
    ethertype: int = Field(ETHERTYPE, ge=0x0600, le=0xFFFF, description="EtherType, behind the tag where there is one")

    @field_validator("ethertype")
    @classmethod
    def _no_tag(cls, value: int) -> int:
        if value in _TAGS:
            raise ValueError("expected what is behind the tag; the tag itself is asked for by vlan")
        if value in _OF_THE_HOST:
            raise ValueError(f"{value:#06x} is {_OF_THE_HOST[value]}: a rule could cut off the host's own traffic")
        return value

    @field_validator("destination", "source")
    @classmethod
    def _mask(cls, value: str | None) -> str | None:
        match = _mac(value)
        if match is None:
            return value
        if not _bits(match.mask):
            raise ValueError("the mask is all zero, which every address fits: leave it out")
        address = str(value).partition("/")[0]
        if address != match.address:
            raise ValueError(f"{address} has bits outside of its mask: say {match.address}/{match.mask}")
        return value

    @field_validator("source")
    @classmethod
    def _unicast(cls, value: str | None) -> str | None:
        if value is not None and int(value[:2], 16) & 1:
            raise ValueError("is a multicast address, which no frame comes from")
        return value

    @property
    def narrow(self) -> bool:
        """Whether it says anything of the frame but its type."""
        return self.destination is not None or self.source is not None


class Target(Model):
    """A device of the same card, by what it is."""

    vf: int = Field(ge=0, le=255, description="the representor of this virtual function of the NIC's function")


class Action(Model):
    """What happens to a frame: exactly one of these."""

    queue: int | None = Field(None, ge=0, le=65535, description="to this queue of the NIC")
    redirect: Target | None = Field(None, description="to another device of the card")

    @model_validator(mode="after")
    def _one(self) -> Action:
        if (self.queue is None) == (self.redirect is None):
            raise ValueError("expected exactly one of queue, redirect; or the word drop")
        return self


def _shape(value: Any) -> str:
    return "word" if isinstance(value, str) else "one"


AnyAction = Annotated[
    Annotated[Literal["drop"], Tag("word")] | Annotated[Action, Tag("one")],
    Discriminator(_shape),
]


class WantedRule(Model):
    """One rule."""

    name: Name = Field(description="a name for people, in plans and proofs")
    match: Match
    action: AnyAction
    chain: int = Field(0, ge=0, le=2**31 - 1, description="chain of rules that it belongs to")

    @property
    def kind(self) -> str:
        """queue, drop or redirect."""
        if isinstance(self.action, str):
            return DROP
        return QUEUE if self.action.queue is not None else REDIRECT

    def bind(self, device: str, number: int, offload: str, pf: int) -> Rule:
        """The rule on a device, its target symbolic. pf: the number of the NIC's function on its card."""
        action = self.action
        return Rule(
            name=self.name,
            device=device,
            number=number,
            action=self.kind,
            ethertype=self.match.ethertype,
            destination=_mac(self.match.destination),
            source=_mac(self.match.source),
            vlan=self.match.vlan,
            queue=None if isinstance(action, str) else action.queue,
            target=None
            if isinstance(action, str) or action.redirect is None
            else PF_OF.format(pf=pf, vf=action.redirect.vf),
            offload=offload,
        )


class Steering(Model):
    """Where frames go by rules of the NIC. Saying it makes steering a demand: see `offload`."""

    offload: Literal["required", "preferred", "software"] = Field(
        "required",
        description="required: in hardware or refused; preferred: in hardware where it can be; software: never",
    )
    rules: list[WantedRule] = Field(default_factory=list, max_length=512)


def lane_rule(device: str, number: int, lane: int, mac: Mac, vlan: int | None, queue: int, offload: str) -> Rule:
    """The rule that brings a lane's frames to its queue."""
    return Rule(
        name=f"lane{lane}",
        device=device,
        number=number,
        action=QUEUE,
        destination=MacMatch(mac),
        vlan=vlan,
        queue=queue,
        offload=offload,
    )


def overlap(one: Rule, other: Rule) -> bool:
    """Whether some frame fits both."""
    if (one.ethertype, one.vlan) != (other.ethertype, other.vlan):
        return False
    return all(
        _meet(mine, theirs) for mine, theirs in ((one.destination, other.destination), (one.source, other.source))
    )


def _meet(one: MacMatch | None, other: MacMatch | None) -> bool:
    if one is None or other is None:
        return True
    both = _bits(one.mask) & _bits(other.mask)
    return (_bits(one.address) ^ _bits(other.address)) & both == 0


def _bits(address: str) -> int:
    return int(address.replace(":", ""), 16)


def _mac(text: str | None) -> MacMatch | None:
    if text is None:
        return None
    address, _, mask = text.partition("/")
    return MacMatch(address, mask or EXACT).normal()
