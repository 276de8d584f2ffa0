# SPDX-License-Identifier: Apache-2.0
"""Rules as ethtool's flow classification: the command, and what `ethtool -n` prints (rxclass.c of ethtool).

ethtool takes masks in which ones do not count, and prints them so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from tether_hw.nic.steering.rule import DROP, EXACT, MacMatch, Rule
from tether_hw.plan.rule_commands import inverted, ntuple_remove, ntuple_set

NO_MAC = "00:00:00:00:00:00"
_MAC = r"([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5})"
_LINES = {
    "source": re.compile(rf"Src MAC addr: {_MAC} mask: {_MAC}\Z"),
    "destination": re.compile(rf"Dest MAC addr: {_MAC} mask: {_MAC}\Z"),
    "ethertype": re.compile(r"Ethertype: 0x([0-9A-Fa-f]+) mask: 0x([0-9A-Fa-f]+)\Z"),
    "vlan_type": re.compile(r"VLAN EtherType: 0x([0-9A-Fa-f]+) mask: 0x([0-9A-Fa-f]+)\Z"),
    "vlan": re.compile(r"VLAN: 0x([0-9A-Fa-f]+) mask: 0x([0-9A-Fa-f]+)\Z"),
    "queue": re.compile(r"Action: Direct to queue (\d+)\Z"),
    "context": re.compile(r"RSS Context ID: (\d+)\Z"),
}
_FILTER = re.compile(r"Filter: (\d+)\Z")
_TOTAL = re.compile(r"Total (\d+) rules\Z")


class NtupleError(ValueError):
    """Output of ethtool that is not what it should be."""


def add(rule: Rule, size: int) -> tuple[str, ...]:
    """The command that sets a rule; setting it again replaces it, since its location is given."""
    return ntuple_set(rule, rule.location(size))


def remove(device: str, location: int) -> tuple[str, ...]:
    """The command that takes a location away."""
    return ntuple_remove(device, location)


@dataclass(frozen=True)
class Filter:
    """One rule as ethtool tells it. `plain`: it is one that this suite could have written."""

    location: int
    flow_type: str
    ethertype: Optional[int] = None
    destination: Optional[MacMatch] = None
    source: Optional[MacMatch] = None
    vlan: Optional[int] = None
    queue: Optional[int] = None
    drop: bool = False
    plain: bool = True

    def matches(self, rule: Rule) -> bool:
        """Whether it is this rule, whatever its location."""
        if not self.plain or self.flow_type != "ether":
            return False
        mine = (self.ethertype, self.vlan, self.destination, self.source, self.queue, self.drop)
        return mine == (rule.ethertype, rule.vlan, rule.destination, rule.source, rule.queue, rule.action == DROP)


def read(text: str) -> list[Filter]:
    """Every rule that `ethtool -n DEVICE` prints; NtupleError when it prints fewer than it says."""
    total: Optional[int] = None
    found: list[Filter] = []
    block: list[str] = []
    location: Optional[int] = None
    for raw in [*text.splitlines(), ""]:
        line = raw.strip()
        match = _TOTAL.match(line)
        if match:
            total = int(match[1])
            continue
        start = _FILTER.match(line)
        if start or not line:
            if location is not None and block:
                found.append(_filter(location, block))
                location, block = None, []
            if start:
                location, block = int(start[1]), []
        elif location is not None:
            block.append(line)
    if total is not None and total != len(found):
        raise NtupleError(f"ethtool says {total} rules and prints {len(found)}")
    return found


def _filter(location: int, lines: list[str]) -> Filter:
    if "Flow Type: Raw Ethernet" not in lines:
        kind = next((line.partition(": ")[2] for line in lines if line.startswith(("Rule Type:", "Flow Type:"))), "")
        return Filter(location, kind or "unknown", plain=False)
    values: dict[str, tuple[str, ...]] = {}
    plain = True
    for line in lines:
        if line in ("Flow Type: Raw Ethernet", "Action: Drop"):
            continue
        name = next((name for name, pattern in _LINES.items() if pattern.match(line)), None)
        if name is None:
            # User-defined data under a mask of ones does not count; anything else is more than we would write.
            plain = plain and bool(re.match(r"User-defined: 0x[0-9a-f]+ mask: 0xffffffffffffffff\Z", line))
            continue
        values[name] = tuple(str(part) for part in _LINES[name].match(line).groups())  # type: ignore[union-attr]
    ethertype, mask = (int(part, 16) for part in values.get("ethertype", ("0", "ffff")))
    vlan = _vlan(values)
    return Filter(
        location=location,
        flow_type="ether",
        ethertype=ethertype if mask == 0 else None,
        destination=_mac(values.get("destination")),
        source=_mac(values.get("source")),
        vlan=vlan,
        queue=int(values["queue"][0]) if "queue" in values else None,
        drop="Action: Drop" in lines,
        plain=plain and mask == 0 and "context" not in values and vlan != -1,
    )


def _mac(found: Optional[tuple[str, ...]]) -> Optional[MacMatch]:
    if found is None:
        return None
    address, ignored = found[0].lower(), found[1].lower()
    mask = inverted(ignored)
    if mask == NO_MAC:
        return None
    return MacMatch(address, EXACT if mask == EXACT else mask).normal()


def _vlan(values: dict[str, tuple[str, ...]]) -> Optional[int]:
    """The VLAN id, None for untagged, -1 for a match of the tag that is not of one id."""
    if "vlan" not in values:
        return None
    value, ignored = (int(part, 16) for part in values["vlan"])
    if ignored & 0xFFF == 0xFFF:
        return None if ignored & 0xFFFF == 0xFFFF else -1
    return value & 0xFFF if ignored & 0xFFF == 0 else -1
