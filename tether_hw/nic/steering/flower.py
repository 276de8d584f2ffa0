# SPDX-License-Identifier: Apache-2.0
"""Rules as tc's flower classifier: batch lines, and what `tc -s -j filter show` prints.

The EtherType stands in `protocol`, not in a key; behind a tag the protocol is 802.1q and the type is `vlan_ethtype`. A
handle is always given: without one tc cannot replace a rule by an equal one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from tether_hw.nic.steering.rule import (
    DROP,
    EXACT,
    GOTO,
    HANDLE_BASE,
    LOST,
    MOST_RULES,
    OUR_PREFS,
    QUEUE,
    REDIRECT,
    MacMatch,
    Police,
    Rule,
)
from tether_hw.plan import rule_commands, rule_police

_PROTOCOL = re.compile(r"\[(\d+)\]\Z")
_NAMES = {"802.1q": 0x8100, "802.1Q": 0x8100, "802.1ad": 0x88A8, "ip": 0x0800, "ipv6": 0x86DD, "arp": 0x0806}
_NAMES.update({"ipv4": 0x0800, "rarp": 0x8035})  # a key's spelling differs from a protocol's


class FlowerError(ValueError):
    """Output of tc that is not what it should be."""


def replace_line(rule: Rule) -> str:
    """The batch line that sets a rule, and sets it again."""
    return " ".join(rule_commands.tc_replace(rule)[1:])


def remove_line(rule: Rule) -> str:
    """The batch line that takes a rule away."""
    return " ".join(rule_commands.tc_remove(rule)[1:])


def qdisc_line(device: str) -> str:
    """The batch line that gives a device the hook for rules; tc refuses it where it is there already."""
    return " ".join(rule_commands.tc_hook(device, True)[1:])


@dataclass(frozen=True)
class Filter:
    """One filter as tc tells it."""

    pref: int
    handle: int
    protocol: int
    kind: str
    chain: int = 0
    ethertype: Optional[int] = None
    destination: Optional[MacMatch] = None
    source: Optional[MacMatch] = None
    vlan: Optional[int] = None
    action: str = ""
    target: Optional[str] = None
    queue: Optional[int] = None
    in_hw: bool = False
    in_hw_count: int = 0
    skip_sw: bool = False
    skip_hw: bool = False
    packets: int = 0
    hw_packets: Optional[int] = None
    goto: Optional[int] = None
    mirror: tuple[str, ...] = ()
    police: Optional[Police] = None
    others: tuple[str, ...] = field(default=())  # keys and actions that a rule of ours never has

    @property
    def ours(self) -> bool:
        """Whether it carries our marks."""
        return self.pref in OUR_PREFS and HANDLE_BASE <= self.handle < HANDLE_BASE + MOST_RULES

    @property
    def place(self) -> str:
        """The key by which facts have it."""
        place = f"{self.pref}/{self.handle:08x}" if self.ours else f"{self.pref}/{self.handle:x}"
        return place + (f".{self.chain}" if self.chain else "")

    @property
    def orphaned(self) -> bool:
        """One of its devices is gone: tc goes on showing it as in hardware, and it does nothing."""
        return LOST in (self.target, *self.mirror)

    def matches(self, rule: Rule) -> bool:
        """Whether it is this rule: what it matches, what it does, and where it may run."""
        match = (self.chain, self.ethertype, self.vlan, self.destination, self.source)
        wanted = (rule.chain, rule.ethertype, rule.vlan, rule.destination, rule.source)
        does = (self.action, self.queue, self.target, self.goto, self.mirror, self.police)
        shall = (rule.action, rule.queue, rule.target, rule.goto, rule.mirror, rule.police)
        skips = (self.skip_sw, self.skip_hw) == (rule.offload == "required", rule.offload == "software")
        return self.kind == "flower" and not self.others and (match, does) == (wanted, shall) and skips


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """tc prints some keys twice (two control_action of a police): the first one stays, the others are numbered."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        name, number = key, 1
        while name in found:
            number += 1
            name = f"{key}#{number}"
        found[name] = value
    return found


def polices(text: str) -> bool:
    """Whether JSON of tc speaks of a police, whose numbers only the text of `tc -s filter show` has."""
    return '"police"' in text


def read(text: str, *, pref: Optional[int] = None, words: str = "") -> list[Filter]:
    """Every filter of `tc -s -j filter show`; the headers that tc prints for each pref are left out.

    `pref`: what the output was filtered by, which tc then leaves out. `words`: the same without -j, needed for polices.
    Raises FlowerError.
    """
    if not text.strip():
        return []
    try:
        items = json.loads(text, object_pairs_hook=_pairs)
    except (json.JSONDecodeError, RecursionError) as error:
        raise FlowerError(f"tc printed no JSON: {error}") from None
    if not isinstance(items, list):
        raise FlowerError("tc printed no list")
    meters = rule_police.read_text(words)
    found = []
    for item in items:
        if not isinstance(item, dict):
            raise FlowerError("tc printed something that is no filter")
        options = item.get("options")
        if isinstance(options, dict) and ("handle" in options or "::" in str(options.get("fh"))):
            found.append(_filter(item, options, pref, meters))
    return found


def _filter(
    item: dict[str, Any], options: dict[str, Any], pref: Optional[int], meters: Mapping[int, Optional[Police]]
) -> Filter:
    keys = options.get("keys") if isinstance(options.get("keys"), dict) else {}
    assert isinstance(keys, dict)
    others = [f"key {name}" for name in keys if name not in _KNOWN_KEYS]
    protocol = _number(item.get("protocol", 0))
    tagged = protocol == 0x8100
    ethertype = keys.get("vlan_ethtype") if tagged else keys.get("eth_type", protocol)
    does = _actions(options.get("actions"), meters)
    try:
        handle = options["handle"] if "handle" in options else str(options["fh"]).replace(":", "")  # u32's
        return Filter(
            pref=int(item.get("pref", pref or 0)),
            handle=int(handle, 16) if isinstance(handle, str) else int(handle),
            protocol=protocol,
            kind=str(item.get("kind", "")),
            chain=int(item.get("chain", 0)),
            ethertype=None if ethertype is None else _number(ethertype, bare_hex=not tagged),
            destination=_mac(keys.get("dst_mac")),
            source=_mac(keys.get("src_mac")),
            vlan=int(keys["vlan_id"]) if "vlan_id" in keys else None,
            action=does.action,
            target=does.target,
            queue=does.queue,
            in_hw=bool(options.get("in_hw")),
            in_hw_count=int(options.get("in_hw_count", 0)),
            skip_sw=bool(options.get("skip_sw")),
            skip_hw=bool(options.get("skip_hw")),
            packets=does.packets,
            hw_packets=does.hw_packets,
            goto=does.goto,
            mirror=tuple(does.mirror),
            police=does.police,
            others=(*others, *does.odd),
        )
    except (TypeError, ValueError) as error:
        raise FlowerError(f"a filter of tc is not understood: {error}") from None


_KNOWN_KEYS = {"eth_type", "dst_mac", "src_mac", "vlan_id", "vlan_ethtype"}


def _number(value: Any, *, bare_hex: bool = False) -> int:
    """An EtherType in any of tc's spellings: "[34997]", "88b5", "0x88b5", "802.1q", 34997."""
    if isinstance(value, int):
        return value
    text = str(value)
    match = _PROTOCOL.match(text)
    if match:
        return int(match[1])
    if text in _NAMES:
        return _NAMES[text]
    if text == "all":
        return 3
    if text.lower().startswith("0x"):
        return int(text, 16)
    try:
        return int(text, 16 if bare_hex or not text.isdigit() else 10)
    except ValueError:
        return 0  # a protocol that tc has a name for: somebody else's


def _mac(value: Any) -> Optional[MacMatch]:
    """tc prints a mask behind a slash: in full, or as a prefix length."""
    if value is None:
        return None
    address, _, mask = str(value).lower().partition("/")
    if mask.isdigit() and len(mask) <= 2:
        bits = int(mask)
        word = ((1 << bits) - 1) << (48 - bits)
        mask = ":".join(f"{byte:02x}" for byte in word.to_bytes(6, "big"))
    return MacMatch(address, mask or EXACT).normal()


@dataclass
class _Does:
    """What the actions of a filter come to. `packets`: those that came to the first of them."""

    action: str = ""
    target: Optional[str] = None
    queue: Optional[int] = None
    goto: Optional[int] = None
    mirror: list[str] = field(default_factory=list)
    police: Optional[Police] = None
    packets: int = 0
    hw_packets: Optional[int] = None
    odd: list[str] = field(default_factory=list)


def _actions(value: Any, meters: Mapping[int, Optional[Police]]) -> _Does:
    """In the order police, mirrors, and what becomes of the frame; anything else is odd."""
    does = _Does()
    items = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    if not items:
        does.odd.append("0 actions")
        return does
    does.packets, does.hw_packets = _counted(items[0])
    for number, item in enumerate(items):
        last = number == len(items) - 1
        if not (_last(does, item) if last else _before(does, item, meters, first=number == 0)):
            does.odd.append(f"action {item.get('kind')}")
            does.action = does.action or str(item.get("kind"))
    if does.police is not None and does.action not in (REDIRECT, GOTO):
        does.odd.append("action police")
    if does.mirror and does.action != REDIRECT:
        does.odd.append("action mirror")
    return does


def _counted(item: dict[str, Any]) -> tuple[int, Optional[int]]:
    stats = item.get("stats") if isinstance(item.get("stats"), dict) else {}
    assert isinstance(stats, dict)
    hardware = stats.get("hw_packets")
    return int(stats.get("packets", 0)), None if hardware is None else int(hardware)


def _before(does: _Does, item: dict[str, Any], meters: Mapping[int, Optional[Police]], *, first: bool) -> bool:
    """An action behind which others stand."""
    if item.get("kind") == "police" and first:
        does.police = meters.get(int(item.get("index", -1)))
        results = (_type(item), _type(item, "control_action#2"))
        return does.police is not None and results == ("drop", "pipe")
    if item.get("kind") == "mirred" and _mirred(item, "pipe") == "mirror":
        does.mirror.append(str(item.get("to_dev")))
        return True
    return False


def _last(does: _Does, item: dict[str, Any]) -> bool:
    """What becomes of the frame."""
    kind = item.get("kind")
    if kind == "mirred" and _mirred(item, "stolen") == "redirect":
        does.action, does.target = REDIRECT, str(item.get("to_dev"))
    elif kind == "gact" and _type(item) == "drop" and _certain(item):
        does.action = DROP
    elif kind == "gact" and _type(item) == "goto" and _certain(item):
        does.action, does.goto = GOTO, int(item["control_action"]["chain"])
    elif kind == "skbedit" and "queue_mapping" in item:
        does.action, does.queue = QUEUE, int(item["queue_mapping"])
    else:
        return False
    return True


def _mirred(item: dict[str, Any], usual: str) -> str:
    """mirror or redirect; nothing where it does not leave the device, or goes on otherwise than these do."""
    plain = item.get("direction") == "egress" and ("control_action" not in item or _type(item) == usual)
    return str(item.get("mirred_action")) if plain else ""


def _certain(item: dict[str, Any]) -> bool:
    """Whether a gact does it with every frame."""
    prob = item.get("prob")
    return not isinstance(prob, dict) or prob.get("random_type", "none") == "none"


def _type(item: dict[str, Any], name: str = "control_action") -> str:
    control = item.get(name)
    return str(control.get("type")) if isinstance(control, dict) else str(control)
