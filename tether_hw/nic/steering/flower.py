# SPDX-License-Identifier: Apache-2.0
"""Rules as tc's flower classifier: batch lines, and what `tc -s -j filter show` prints.

The EtherType stands in `protocol`, not in a key; behind a tag the protocol is 802.1q and the type is `vlan_ethtype`. A
handle is always given: without one tc cannot replace a rule by an equal one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Optional

from tether_hw.nic.steering.rule import DROP, EXACT, HANDLE_BASE, LOST, MOST_RULES, OUR_PREFS, REDIRECT, MacMatch, Rule
from tether_hw.plan import rule_commands

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
    others: tuple[str, ...] = field(default=())  # keys and actions that a rule of ours never has

    @property
    def ours(self) -> bool:
        """Whether it carries our marks."""
        return self.pref in OUR_PREFS and HANDLE_BASE <= self.handle < HANDLE_BASE + MOST_RULES

    @property
    def orphaned(self) -> bool:
        """Its redirect has lost its device: tc goes on showing it as in hardware, and it does nothing."""
        return self.target == LOST

    def matches(self, rule: Rule) -> bool:
        """Whether it is this rule: what it matches, what it does, and where it may run."""
        mine = (self.ethertype, self.vlan, self.destination, self.source, self.action, self.queue, self.target)
        wanted = (rule.ethertype, rule.vlan, rule.destination, rule.source, rule.action, rule.queue, rule.target)
        skips = (self.skip_sw, self.skip_hw) == (rule.offload == "required", rule.offload == "software")
        return self.kind == "flower" and self.chain == 0 and not self.others and mine == wanted and skips


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


def read(text: str, *, pref: Optional[int] = None) -> list[Filter]:
    """Every filter of `tc -s -j filter show`; the headers that tc prints for each pref are left out.

    `pref`: what the output was filtered by, which tc then leaves out. Raises FlowerError.
    """
    if not text.strip():
        return []
    try:
        items = json.loads(text, object_pairs_hook=_pairs)
    except (json.JSONDecodeError, RecursionError) as error:
        raise FlowerError(f"tc printed no JSON: {error}") from None
    if not isinstance(items, list):
        raise FlowerError("tc printed no list")
    found = []
    for item in items:
        if not isinstance(item, dict):
            raise FlowerError("tc printed something that is no filter")
        options = item.get("options")
        if isinstance(options, dict) and ("handle" in options or "::" in str(options.get("fh"))):
            found.append(_filter(item, options, pref))
    return found


def _filter(item: dict[str, Any], options: dict[str, Any], pref: Optional[int]) -> Filter:
    keys = options.get("keys") if isinstance(options.get("keys"), dict) else {}
    assert isinstance(keys, dict)
    others = [f"key {name}" for name in keys if name not in _KNOWN_KEYS]
    protocol = _number(item.get("protocol", 0))
    tagged = protocol == 0x8100
    ethertype = keys.get("vlan_ethtype") if tagged else keys.get("eth_type", protocol)
    action, target, queue, packets, hw_packets, odd = _actions(options.get("actions"))
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
            action=action,
            target=target,
            queue=queue,
            in_hw=bool(options.get("in_hw")),
            in_hw_count=int(options.get("in_hw_count", 0)),
            skip_sw=bool(options.get("skip_sw")),
            skip_hw=bool(options.get("skip_hw")),
            packets=packets,
            hw_packets=hw_packets,
            others=(*others, *odd),
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


def _actions(value: Any) -> tuple[str, Optional[str], Optional[int], int, Optional[int], tuple[str, ...]]:
    """Action, target, queue, packets, packets in hardware, and what is not one plain action of ours."""
    items = value if isinstance(value, list) else []
    if len(items) != 1 or not isinstance(items[0], dict):
        return "", None, None, 0, None, (f"{len(items)} actions",)
    item = items[0]
    stats = item.get("stats") if isinstance(item.get("stats"), dict) else {}
    assert isinstance(stats, dict)
    packets, hw_packets = int(stats.get("packets", 0)), stats.get("hw_packets")
    counted = (packets, None if hw_packets is None else int(hw_packets))
    kind = item.get("kind")
    if kind == "mirred" and item.get("mirred_action") == "redirect" and item.get("direction") == "egress":
        return REDIRECT, str(item.get("to_dev")), None, *counted, ()
    if kind == "gact" and _type(item) == "drop":
        return DROP, None, None, *counted, ()
    if kind == "skbedit" and "queue_mapping" in item:
        return "queue", None, int(item["queue_mapping"]), *counted, ()
    return str(kind), None, None, *counted, (f"action {kind}",)


def _type(item: dict[str, Any]) -> str:
    control = item.get("control_action")
    return str(control.get("type")) if isinstance(control, dict) else str(control)
