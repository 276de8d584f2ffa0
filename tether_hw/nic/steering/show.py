# SPDX-License-Identifier: Apache-2.0
"""What tc shows of a device's rules, as facts carry it. Programs are handed in; nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

from tether_hw.nic.steering import flower
from tether_hw.nic.steering.flower import Filter
from tether_hw.nic.steering.rule import ACTIONS, LOST, MOST_CHAIN, Rule
from tether_hw.plan.rule import MOST_MIRRORS

#: argv -> standard output; None where the program is not there or says no.
Run = Callable[[Sequence[str]], Optional[str]]


def filters(run: Run, device: str) -> Optional[list[Filter]]:
    """The filters of tc at the entry of a device; None where tc does not tell."""
    where = ["filter", "show", "dev", device, "ingress"]
    text = run(["tc", "-s", "-j", *where])
    if text is None:
        return None
    words = run(["tc", "-s", *where]) if flower.polices(text) else None
    return flower.read(text, words=words or "")


def flower_table(run: Run, device: str, offload: str, symbols: Mapping[str, str]) -> Optional[dict[str, Any]]:
    """The table of a device's rules; None where tc does not tell. offload: what ethtool -k says of hw-tc-offload."""
    text = run(["tc", "-j", "qdisc", "show", "dev", device])
    if text is None:
        return None
    hook = any(_hook(item) for item in _list(text))
    rules = flower_rules(run, device, symbols) if hook else {}
    return {"hook": hook, "offload": offload.startswith("on"), "rules": rules}


def flower_rules(run: Run, device: str, symbols: Mapping[str, str]) -> dict[str, Any]:
    """The rules of a device that has a hook for them."""
    rules: dict[str, Any] = {}
    for item in filters(run, device) or []:
        rules[_free(item.place, rules)] = flower_rule(item, symbols)
    return rules


def hooked(run: Run) -> frozenset[str]:
    """Every device that has a hook for rules."""
    found = _list(run(["tc", "-j", "qdisc", "show"]) or "")
    return frozenset(str(item.get("dev")) for item in found if _hook(item))


def _hook(item: Mapping[str, Any]) -> bool:
    return item.get("kind") in ("clsact", "ingress")


def _free(place: str, taken: Mapping[str, Any]) -> str:
    while place in taken:
        place += "0" if "." in place else ".0"
    return place


def flower_rule(item: Filter, symbols: Mapping[str, str]) -> dict[str, Any]:
    """A filter of tc as facts carry it; targets that stand for a VF have their symbolic name."""
    plain = item.kind == "flower" and not item.others and item.action in ACTIONS and item.chain <= MOST_CHAIN
    backward = item.goto is not None and not item.chain < item.goto <= MOST_CHAIN
    copies = len({*item.mirror, item.target}) == len(item.mirror) + 1 and len(item.mirror) <= MOST_MIRRORS
    if not plain or backward or not copies or item.ethertype is None or not 0x0600 <= item.ethertype <= 0xFFFF:
        words = [item.kind, f"{item.protocol:#06x}", *item.others, item.action]
        return {"other": " ".join(word for word in words if word)[:256]}

    def named(device: str) -> str:
        return LOST if device == LOST else symbols.get(device, device)

    rule = Rule(
        "rule",
        "device",
        0,
        item.action,
        item.ethertype,
        item.destination,
        item.source,
        item.vlan,
        item.queue,
        target=None if item.target is None else named(item.target),
        offload="required" if item.skip_sw else "software" if item.skip_hw else "preferred",
        chain=item.chain,
        goto=item.goto,
        mirror=tuple(named(copy) for copy in item.mirror),
        police=item.police,
    )
    return rule.document()


def _list(text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
