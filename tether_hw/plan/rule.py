# SPDX-License-Identifier: Apache-2.0
"""One steering rule on one device: what a frame must be, and where it goes.

Its marks are ours: a pref and a handle for tc, a location for ethtool. What carries other marks is not ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Optional

from tether_hw.plan.rule_police import Police
from tether_hw.plan.shape import IFNAME, MAC, NAME, Fields, ShapeError

ETHERTYPE = 0x88B5
#: tc prefs that are ours. One pref holds one protocol, so untagged and tagged rules have their own.
PREF_UNTAGGED, PREF_TAGGED = 0x4B5, 0x4B6
OUR_PREFS = (PREF_UNTAGGED, PREF_TAGGED)
#: Handles of our rules: this and the rule's number.
HANDLE_BASE = 0x88B50000
MOST_RULES = 1024
EXACT = "ff:ff:ff:ff:ff:ff"
QUEUE, DROP, REDIRECT, GOTO = "queue", "drop", "redirect", "goto"
ACTIONS = (QUEUE, DROP, REDIRECT, GOTO)
OFFLOADS = ("required", "preferred", "software")
MOST_CHAIN = 2**28 - 1
#: EtherTypes of tags, and those that a host itself lives on, wherever a rule would send it.
TAGS = (0x8100, 0x88A8, 0x9100)
OF_THE_HOST = {
    0x0800: "IPv4",
    0x0806: "ARP",
    0x86DD: "IPv6",
    0x8809: "LACP",
    0x8863: "PPPoE",
    0x8864: "PPPoE",
    0x888E: "802.1X",
    0x88E5: "MACsec",
}
MOST_MIRRORS = 4
#: A device that a plan makes is named by what it is: the host binds the name when the device is there.
SYMBOLIC = re.compile(r"@(?:c[0-9]{1,3})?pf[0-9]{1,3}(?:vf[0-9]{1,4}|sf[0-9]{1,10})?\.rep\Z")
TARGET = re.compile(f"(?:{IFNAME.pattern}|{SYMBOLIC.pattern})")
#: What tc shows in place of a device that is gone.
LOST = "*"


@dataclass(frozen=True)
class MacMatch:
    """A MAC address under a mask; both in lower case with colons."""

    address: str
    mask: str = EXACT

    @property
    def exact(self) -> bool:
        return self.mask == EXACT

    def normal(self) -> MacMatch:
        """The same match with the bits that do not count cleared."""
        pairs = zip(self.address.split(":"), self.mask.split(":"))
        return MacMatch(":".join(f"{int(a, 16) & int(m, 16):02x}" for a, m in pairs), self.mask)

    @classmethod
    def parse(cls, value: Any, where: str) -> MacMatch:
        fields = Fields(value, where)
        match = cls(fields.text("address", MAC), fields.text("mask", MAC))
        fields.done()
        return match.normal()

    def to_dict(self) -> dict[str, Any]:
        return {"address": self.address, "mask": self.mask}


@dataclass(frozen=True)
class Rule:
    """A rule. `number` is its place among ours on the device, from 0; a lower number wins.

    device: netdev that the rule is on. ethertype: with `vlan`, the type behind the tag. vlan: 0-4095, None: untagged.
    action: queue (`queue` says which), drop, redirect (`target` is a netdev, or a symbolic name until it is bound), or
    goto (`goto` is a chain behind the rule's own `chain`). Before it: `police` drops what is beyond a rate, and each
    target of `mirror` gets a copy. offload: required, preferred or software.
    """

    name: str
    device: str
    number: int
    action: str
    ethertype: int = ETHERTYPE
    destination: Optional[MacMatch] = None
    source: Optional[MacMatch] = None
    vlan: Optional[int] = None
    queue: Optional[int] = None
    target: Optional[str] = None
    offload: str = "required"
    chain: int = 0
    goto: Optional[int] = None
    mirror: tuple[str, ...] = ()
    police: Optional[Police] = None

    @property
    def pref(self) -> int:
        """Its tc pref."""
        return PREF_UNTAGGED if self.vlan is None else PREF_TAGGED

    @property
    def handle(self) -> int:
        """Its tc handle."""
        return HANDLE_BASE + self.number

    def location(self, size: int) -> int:
        """Its ethtool location in a table of `size`: ours are the last, so that others go first."""
        return size - MOST_RULES + self.number if size > MOST_RULES else self.number

    def key(self) -> tuple[Any, ...]:
        """What it matches, in one comparable value."""
        parts = [(m.address, m.mask) if m is not None else None for m in (self.destination, self.source)]
        return (self.chain, self.ethertype, self.vlan, *parts)

    def meaning(self) -> tuple[Any, ...]:
        """What it matches and does: two rules with the same meaning are the same rule."""
        return (*self.key(), self.action, self.queue, self.target, self.goto, self.mirror, self.police)

    @property
    def targets(self) -> tuple[str, ...]:
        """Every device that it sends frames to."""
        return (*self.mirror, *([] if self.target is None else [self.target]))

    def on(self, device: str, target: Optional[str] = None) -> Rule:
        """The same rule bound to another device, and to another target."""
        return replace(self, device=device, target=target if target is not None else self.target)

    @classmethod
    def parse(cls, value: Any, where: str) -> Rule:
        """From a plan's data; raises ShapeError."""
        fields = Fields(value, where)
        rule = cls(
            name=fields.text("name", NAME),
            device=fields.text("device", IFNAME),
            number=fields.integer("number", 0, MOST_RULES - 1),
            action=fields.one_of("action", ACTIONS),
            ethertype=fields.integer("ethertype", 0x0600, 0xFFFF),
            destination=_mac(fields, "destination"),
            source=_mac(fields, "source"),
            vlan=fields.optional_integer("vlan", 0, 4095),
            queue=fields.optional_integer("queue", 0, 65535),
            target=fields.optional_text("target", TARGET),
            offload=fields.one_of("offload", OFFLOADS),
            chain=fields.integer("chain", 1, MOST_CHAIN) if fields.has("chain") else 0,
            goto=fields.integer("goto", 1, MOST_CHAIN) if fields.has("goto") else None,
            mirror=tuple(fields.objects("mirror", _target, MOST_MIRRORS)) if fields.has("mirror") else (),
            police=Police.parse(fields.take("police"), fields.at("police")) if fields.has("police") else None,
        )
        fields.done()
        if (rule.action == QUEUE) != (rule.queue is not None):
            raise ShapeError(where, "a queue belongs to the action queue, and only to it")
        if (rule.action == REDIRECT) != (rule.target is not None):
            raise ShapeError(where, "a target belongs to the action redirect, and only to it")
        if (rule.action == GOTO) != (rule.goto is not None):
            raise ShapeError(where, "a chain to go to belongs to the action goto, and only to it")
        if rule.goto is not None and rule.goto <= rule.chain:
            raise ShapeError(where, "goto leads to a chain behind the rule's own")
        if rule.mirror and rule.action != REDIRECT:
            raise ShapeError(where, "mirror belongs to the action redirect, and only to it")
        if rule.police is not None and rule.action not in (REDIRECT, GOTO):
            raise ShapeError(where, "police belongs to the actions redirect and goto, and only to them")
        if fields.has("mirror") and (not rule.mirror or len(set(rule.targets)) != len(rule.targets)):
            raise ShapeError(where, "mirror names each of its devices once, and none that the frame goes to anyway")
        return rule

    def document(self) -> dict[str, Any]:
        """As the tables of facts carry it: what it matches and does, without where it stands and what we call it."""
        whole = self.to_dict()
        return {name: whole[name] for name in whole if name not in ("name", "device", "number")}

    @classmethod
    def of(cls, document: dict[str, Any], device: str, number: int, name: str = "rule") -> Rule:
        """The rule that a table of facts shows, on its device; raises ShapeError."""
        return cls.parse({**document, "name": name, "device": device, "number": number}, "rule")

    def to_dict(self) -> dict[str, Any]:
        """As a plan carries it. What only some rules have is there only where it says something."""
        document: dict[str, Any] = {
            "name": self.name,
            "device": self.device,
            "number": self.number,
            "action": self.action,
            "ethertype": self.ethertype,
            "destination": None if self.destination is None else self.destination.to_dict(),
            "source": None if self.source is None else self.source.to_dict(),
            "vlan": self.vlan,
            "queue": self.queue,
            "target": self.target,
            "offload": self.offload,
        }
        document.update({"chain": self.chain} if self.chain else {})
        document.update({} if self.goto is None else {"goto": self.goto})
        document.update({"mirror": list(self.mirror)} if self.mirror else {})
        document.update({} if self.police is None else {"police": self.police.to_dict()})
        return document


def lost(document: dict[str, Any]) -> bool:
    """Whether a rule of facts sends frames to a device that is gone: tc goes on showing it as in hardware."""
    return LOST in (document.get("target"), *document.get("mirror", []))


def _target(value: Any, where: str) -> str:
    return Fields({"target": value}, where).text("target", TARGET)


def _mac(fields: Fields, name: str) -> Optional[MacMatch]:
    value = fields.take(name)
    return None if value is None else MacMatch.parse(value, fields.at(name))


def same_mask(rules: list[Rule]) -> bool:
    """Whether all rules look at the same fields under the same masks: what a table with one input set can hold."""
    shapes = {
        (rule.vlan is None, *((m.mask if m is not None else None) for m in (rule.destination, rule.source)))
        for rule in rules
    }
    return len(shapes) <= 1
