# SPDX-License-Identifier: Apache-2.0
"""One steering rule on one device: what a frame must be, and where it goes.

Its marks are ours: a pref and a handle for tc, a location for ethtool. What carries other marks is not ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Optional

from tether_hw.plan.shape import IFNAME, MAC, NAME, Fields, ShapeError

ETHERTYPE = 0x88B5
#: tc prefs that are ours. One pref holds one protocol, so untagged and tagged rules have their own.
PREF_UNTAGGED, PREF_TAGGED = 0x4B5, 0x4B6
OUR_PREFS = (PREF_UNTAGGED, PREF_TAGGED)
#: Handles of our rules: this and the rule's number.
HANDLE_BASE = 0x88B50000
MOST_RULES = 1024
EXACT = "ff:ff:ff:ff:ff:ff"
QUEUE, DROP, REDIRECT = "queue", "drop", "redirect"
ACTIONS = (QUEUE, DROP, REDIRECT)
OFFLOADS = ("required", "preferred", "software")
#: A device that a plan makes is named by what it is: the host binds the name when the device is there.
SYMBOLIC = re.compile(r"@pf[0-9]{1,3}vf[0-9]{1,4}\.rep\Z")
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
    action: queue (`queue` says which), drop, or redirect (`target` is a netdev, or a symbolic name until it is bound).
    offload: required, preferred or software.
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
        return (self.ethertype, self.vlan, *parts)

    def meaning(self) -> tuple[Any, ...]:
        """What it matches and does: two rules with the same meaning are the same rule."""
        return (*self.key(), self.action, self.queue, self.target)

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
        )
        fields.done()
        if (rule.action == QUEUE) != (rule.queue is not None):
            raise ShapeError(where, "a queue belongs to the action queue, and only to it")
        if (rule.action == REDIRECT) != (rule.target is not None):
            raise ShapeError(where, "a target belongs to the action redirect, and only to it")
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
        """As a plan carries it."""
        return {
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
