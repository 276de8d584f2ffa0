# SPDX-License-Identifier: Apache-2.0
"""Steering as an inventory says it: rules of one's own beside those of the lanes, which are derived and not written."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from tether_hw.nic.model import Mac, Model, Name
from tether_hw.nic.steering.rule import (
    DROP,
    ETHERTYPE,
    EXACT,
    GOTO,
    MOST_CHAIN,
    QUEUE,
    REDIRECT,
    MacMatch,
    Police,
    Rule,
)
from tether_hw.nic.units import RateBps, SizeBytes
from tether_hw.plan.rule import MOST_MIRRORS, OF_THE_HOST, TAGS
from tether_hw.plan.rule_police import MOST_BITS, MOST_BURST, burst_step, shown_rate

_MASKED = r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}(/[0-9a-f]{2}(:[0-9a-f]{2}){5})?$"
MaskedMac = Annotated[str, Field(pattern=_MASKED)]


class Match(Model):
    """What a frame must be. What is left out does not matter, but for the tag: without `vlan` there is none."""

    destination: MaskedMac | None = Field(None, description="destination MAC address, perhaps /mask")
    source: MaskedMac | None = Field(None, description="source MAC address, perhaps /mask")
    vlan: int | None = Field(None, ge=1, le=4094, description="VLAN id of the one tag")
    ethertype: int = Field(ETHERTYPE, ge=0x0600, le=0xFFFF, description="EtherType, behind the tag where there is one")

    @field_validator("ethertype")
    @classmethod
    def _no_tag(cls, value: int) -> int:
        if value in TAGS:
            raise ValueError("expected what is behind the tag; the tag itself is asked for by vlan")
        if value in OF_THE_HOST:
            raise ValueError(f"{value:#06x} is {OF_THE_HOST[value]}: a rule could cut off the host's own traffic")
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
    """A device of the same card, by what it is: exactly one of vf, sf."""

    vf: int | None = Field(None, ge=0, le=255, description="the representor of this virtual function")
    sf: int | None = Field(None, ge=0, le=2**31 - 1, description="the representor of the subfunction of this number")

    @model_validator(mode="after")
    def _one(self) -> Target:
        if (self.vf is None) == (self.sf is None):
            raise ValueError("expected exactly one of vf, sf")
        return self

    def symbol(self, pf: int, outside: bool = False) -> str:
        """A symbolic name is what a device is to its card; the host binds it when the device is there.

        outside: VFs are those of the host around the card, its controller 1.
        """
        if self.vf is None:
            return f"@pf{pf}sf{self.sf}.rep"
        return f"@{'c1' if outside else ''}pf{pf}vf{self.vf}.rep"


class Meter(Model):
    """What is beyond the rate is dropped before the rest goes on."""

    rate: RateBps = Field(description="bits per second, in few enough digits for tc to show them again")
    burst: SizeBytes = Field(description="how much may come at once, in steps of 16 KiB, wider ones at high rates")

    @field_validator("rate")
    @classmethod
    def _shown(cls, value: int) -> int:
        if not 8 <= value <= MOST_BITS:
            raise ValueError(f"expected 8bit to {MOST_BITS // 10**9}Gbit")
        if value != shown_rate(value):
            raise ValueError(f"tc shows no more of it than {shown_rate(value)}bit, so that it could not be proved")
        return value

    @model_validator(mode="after")
    def _on_step(self) -> Meter:
        step = burst_step(self.rate)
        if self.burst % step or self.burst > MOST_BURST:
            raise ValueError(f"at this rate a burst is a multiple of {step >> 10}KiB, up to {MOST_BURST >> 20}MiB")
        return self

    def bind(self) -> Police:
        return Police(self.rate, self.burst)


class Action(Model):
    """What happens to a frame: exactly one of queue, redirect, goto; mirror and police come before."""

    queue: int | None = Field(None, ge=0, le=65535, description="to this queue of the NIC")
    redirect: Target | None = Field(None, description="to another device of the card")
    goto: int | None = Field(None, ge=1, le=MOST_CHAIN, description="on to the rules of a later chain")
    mirror: list[Target] = Field(
        default_factory=list, max_length=MOST_MIRRORS, description="devices that get a copy before the redirect"
    )
    police: Meter | None = Field(None, description="drops what is beyond a rate, before the redirect or goto")

    @model_validator(mode="after")
    def _one(self) -> Action:
        if sum(value is not None for value in (self.queue, self.redirect, self.goto)) != 1:
            raise ValueError("expected exactly one of queue, redirect, goto; or the word drop")
        if self.mirror and self.redirect is None:
            raise ValueError("mirror goes with redirect")
        if self.police is not None and self.queue is not None:
            raise ValueError("police goes with redirect or goto")
        if any(one in self.mirror[:number] for number, one in enumerate(self.mirror)) or self.redirect in self.mirror:
            raise ValueError("a device gets the frame twice")
        return self

    @property
    def targets(self) -> list[Target]:
        """Every device that it sends frames to."""
        return [*self.mirror, *([] if self.redirect is None else [self.redirect])]


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
    chain: int = Field(0, ge=0, le=MOST_CHAIN, description="chain of rules that it belongs to; frames begin in 0")

    @model_validator(mode="after")
    def _forward(self) -> WantedRule:
        if self.goto is not None and self.goto <= self.chain:
            raise ValueError(f"goto {self.goto} does not lead forward from chain {self.chain}")
        return self

    @property
    def kind(self) -> str:
        """queue, drop, redirect or goto."""
        if isinstance(self.action, str):
            return DROP
        return QUEUE if self.action.queue is not None else GOTO if self.action.goto is not None else REDIRECT

    @property
    def goto(self) -> int | None:
        """The chain that it leads to."""
        return None if isinstance(self.action, str) else self.action.goto

    @property
    def targets(self) -> list[Target]:
        """Every device that it sends frames to."""
        return [] if isinstance(self.action, str) else self.action.targets

    def bind(self, device: str, number: int, offload: str, pf: int, outside: bool = False) -> Rule:
        """The rule on a device, its target symbolic. pf: the number of the NIC's function; outside: see Target."""
        action = None if isinstance(self.action, str) else self.action
        redirect = None if action is None else action.redirect
        return Rule(
            name=self.name,
            device=device,
            number=number,
            action=self.kind,
            ethertype=self.match.ethertype,
            destination=_mac(self.match.destination),
            source=_mac(self.match.source),
            vlan=self.match.vlan,
            queue=None if action is None else action.queue,
            target=None if redirect is None else redirect.symbol(pf, outside),
            offload=offload,
            chain=self.chain,
            goto=self.goto,
            mirror=() if action is None else tuple(target.symbol(pf, outside) for target in action.mirror),
            police=None if action is None or action.police is None else action.police.bind(),
        )


class Steering(Model):
    """Where frames go by rules of the NIC. Saying it makes steering a demand: see `offload`."""

    offload: Literal["required", "preferred", "software"] = Field(
        "required",
        description="required: in hardware or refused; preferred: in hardware where it can be; software: never",
    )
    rules: list[WantedRule] = Field(default_factory=list, max_length=512)

    @model_validator(mode="after")
    def _chains(self) -> Steering:
        filled = {rule.chain for rule in self.rules}
        led_to = {rule.goto for rule in self.rules}
        for rule in self.rules:
            if rule.goto is not None and rule.goto not in filled:
                raise ValueError(f"rule {rule.name}: goto {rule.goto}, and no rule is in chain {rule.goto}")
            if rule.chain and rule.chain not in led_to:
                raise ValueError(f"rule {rule.name}: no rule leads to chain {rule.chain}")
        return self


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
    if (one.chain, one.ethertype, one.vlan) != (other.chain, other.ethertype, other.vlan):
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
