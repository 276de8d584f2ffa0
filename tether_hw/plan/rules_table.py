# SPDX-License-Identifier: Apache-2.0
"""The tables of rules that facts hold: by ethtool location, or by tc's pref and handle.

A rule that this suite could have written is a document of `Rule`; any other is {"other": what it is, in words}.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tether_hw.plan.rule import HANDLE_BASE, LOST, MOST_CHAIN, MOST_RULES, OUR_PREFS, Rule, lost
from tether_hw.plan.shape import Fields, ShapeError

LOCATION = re.compile(r"(?:0|[1-9][0-9]{0,9})\Z")
PLACE = re.compile(r"[0-9]{1,5}/[0-9a-zA-Z:]{1,24}(?:\.[0-9]{1,10})?\Z")
_OURS = re.compile(r"([0-9]{4})/([0-9a-f]{8})(?:\.([1-9][0-9]{0,9}))?\Z")

Table = dict[str, dict[str, Any]]


def parse_entry(value: Any, where: str) -> dict[str, Any]:
    """One entry of a table of facts."""
    if isinstance(value, dict) and set(value) == {"other"}:
        return {"other": Fields(value, where).text("other")}
    if isinstance(value, dict) and isinstance(value.get("mirror", []), list) and lost(value):
        names = [f"lost{number}" if name == LOST else name for number, name in enumerate(value.get("mirror", []))]
        there = {**value, **({"target": "lost"} if value.get("target") == LOST else {})}
        parsed = parse_wanted({**there, **({"mirror": names} if names else {})}, where)
        return {**parsed, **{name: value[name] for name in ("target", "mirror") if name in value}}
    return parse_wanted(value, where)


def parse_wanted(value: Any, where: str) -> dict[str, Any]:
    """One rule that can be set."""
    if not isinstance(value, dict) or {"name", "device", "number"} & set(value):
        raise ShapeError(where, "expected a rule without name, device and number")
    try:
        return Rule.of(value, "device", 0).document()
    except ShapeError as error:
        raise ShapeError(where, str(error)) from None


def flower_place(rule: Rule) -> str:
    """The key of a rule among tc's: its pref and handle, and its chain where that is not the first."""
    return f"{rule.pref}/{rule.handle:08x}" + (f".{rule.chain}" if rule.chain else "")


def flower_number(place: str) -> int | None:
    """The number of the rule of ours at this key; None where the marks are not ours."""
    match = _OURS.match(place)
    if match is None or int(match[1]) not in OUR_PREFS:
        return None
    number = int(match[2], 16) - HANDLE_BASE
    return number if 0 <= number < MOST_RULES and flower_chain(place) <= MOST_CHAIN else None


def flower_chain(place: str) -> int:
    """The chain that a key among tc's names."""
    chain = place.partition(".")[2]
    return int(chain) if chain.isdigit() else 0


def delta(now: Mapping[str, Any], ours: Iterable[str], wanted: Mapping[str, Any]) -> tuple[Table, tuple[str, ...]]:
    """From a table to one in which ours are exactly these: what is set, and which of ours go."""
    put = {key: dict(wanted[key]) for key in sorted(wanted) if now.get(key) != wanted[key]}
    return put, tuple(sorted(key for key in ours if key in now and key not in wanted))


def merged(now: Mapping[str, Any], put: Mapping[str, Any], gone: Iterable[str]) -> Table:
    """The table after a delta."""
    away = set(gone)
    return {**{key: now[key] for key in now if key not in away}, **{key: dict(put[key]) for key in put}}


def reverse(now: Mapping[str, Any], put: Mapping[str, Any], gone: Iterable[str]) -> tuple[Table, tuple[str, ...]] | str:
    """The delta that takes a delta back to this table, or why there is none."""
    touched = sorted({*put, *gone})
    foreign = [key for key in touched if key in now and ("other" in now[key] or lost(now[key]))]
    if foreign:
        return f"what is at {', '.join(foreign)} cannot be set again as it is"
    return {key: dict(now[key]) for key in touched if key in now}, tuple(key for key in touched if key not in now)
