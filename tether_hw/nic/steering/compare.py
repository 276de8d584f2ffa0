# SPDX-License-Identifier: Apache-2.0
"""Rules that are wanted against rules that are there: what is missing, what is too many, what is somebody else's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tether_hw.nic.steering import flower, ntuple
from tether_hw.nic.steering.rule import OUR_PREFS, Rule


@dataclass(frozen=True)
class Comparison:
    """`missing`: wanted and not there, or not as wanted. `leftover`: ours and not wanted. `foreign`: others', in words.

    `in_the_way`: others' that take a place or a pref that a wanted rule needs: a refusal, never overwritten.
    """

    missing: tuple[Rule, ...] = ()
    leftover: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    in_the_way: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Nothing is to be done."""
        return not self.missing and not self.leftover


def with_ntuple(wanted: Sequence[Rule], found: Sequence[ntuple.Filter], size: int, owned: frozenset[int]) -> Comparison:
    """ethtool has no mark: ours are the locations of the host's record of what it set (`owned`)."""
    by_location = {item.location: item for item in found}
    places = {rule.location(size): rule for rule in wanted}
    missing = tuple(rule for at, rule in places.items() if at not in by_location or not by_location[at].matches(rule))
    leftover = tuple(str(at) for at in sorted(by_location) if at in owned and at not in places)
    foreign = tuple(_words(item) for item in found if item.location not in owned and item.location not in places)
    blocked = tuple(
        f"location {at} holds a rule that is not ours: {_words(by_location[at])}"
        for at, rule in places.items()
        if at in by_location and at not in owned and not by_location[at].matches(rule)
    )
    return Comparison(missing, leftover, foreign, blocked)


def with_flower(wanted: Sequence[Rule], found: Sequence[flower.Filter]) -> Comparison:
    """Filters with our prefs and handles are ours; a rule whose redirect lost its device is not as wanted."""
    ours = {(item.pref, item.handle): item for item in found if item.ours}
    places = {(rule.pref, rule.handle): rule for rule in wanted}
    missing = tuple(rule for at, rule in places.items() if at not in ours or not ours[at].matches(rule))
    leftover = tuple(f"pref {at[0]} handle {at[1]:#x}" for at in sorted(ours) if at not in places)
    foreign, blocked = [], []
    for item in found:
        if item.ours:
            continue
        text = f"pref {item.pref} handle {item.handle:#x} {item.kind}"
        if item.pref in OUR_PREFS:
            blocked.append(f"{text}: it holds a pref of ours")
        else:
            foreign.append(text)
    return Comparison(missing, leftover, tuple(foreign), tuple(blocked))


def not_in_hardware(wanted: Sequence[Rule], found: Sequence[flower.Filter]) -> tuple[Rule, ...]:
    """Rules that may run in hardware and do not."""
    ours = {(item.pref, item.handle): item for item in found if item.ours}
    return tuple(
        rule
        for rule in wanted
        if rule.offload != "software" and not ((item := ours.get((rule.pref, rule.handle))) and item.in_hw)
    )


def _words(item: ntuple.Filter) -> str:
    where = f"location {item.location}"
    if item.flow_type != "ether":
        return f"{where}: {item.flow_type}"
    kind = f"{item.ethertype:#06x}" if item.ethertype is not None else "any type"
    return f"{where}: ether {kind} to {'drop' if item.drop else f'queue {item.queue}'}"
