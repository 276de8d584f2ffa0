# SPDX-License-Identifier: Apache-2.0
"""Frames that fit rules, through chains; and frames that may not be sent at all."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tether_hw.agent.errors import AgentError, Refused
from tether_hw.agent.probe_frames import ProbeFrame, send
from tether_hw.fleet.counters import frame_for, judge, rules_of
from tether_hw.plan.rule import EXACT, MacMatch, Rule
from tether_hw.plan.rules_table import flower_place
from tether_hw.plan.shape import ShapeError

pytestmark = pytest.mark.unit
OWN = "02:00:00:00:00:99"


def bits(address: str) -> int:
    return int(address.replace(":", ""), 16)


def fits(rule: Rule, frame: dict[str, Any]) -> bool:
    """Whether a frame fits a rule: as a NIC would look at it."""
    if (rule.ethertype, rule.vlan) != (frame["ethertype"], frame["vlan"]):
        return False
    pairs = ((rule.destination, frame["destination"]), (rule.source, frame["source"] or "02:00:00:00:00:77"))
    return all(
        match is None or (bits(match.address) ^ bits(address)) & bits(match.mask) == 0 for match, address in pairs
    )


def comes_to(rules: dict[str, Rule], place: str, frame: dict[str, Any]) -> bool:
    """Whether rules lead this frame to that one."""
    chains, reached = {0}, False
    for chain in sorted({rule.chain for rule in rules.values()}):
        for where, rule in rules.items():
            if chain in chains and rule.chain == chain and fits(rule, frame):
                reached = reached or where == place
                chains |= {rule.goto} if rule.goto is not None else set()
    return reached


macs = st.sampled_from(["02:00:00:00:00:01", "02:00:00:00:01:01", "02:00:00:00:01:02", "06:00:00:00:00:01"])
masks = st.sampled_from([EXACT, "ff:ff:ff:ff:ff:00", "ff:ff:ff:ff:00:ff", "ff:00:00:00:00:00"])
matches = st.none() | st.builds(lambda a, m: MacMatch(a, m).normal(), macs, masks)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Rule]:
    made = []
    for number in range(draw(st.integers(1, 6))):
        chain = draw(st.sampled_from([0, 0, 3, 5]))
        goto = draw(st.none() | st.sampled_from([3, 5]))
        goto = goto if goto is not None and goto > chain else None
        vlan = draw(st.none() | st.just(7))
        action = "drop" if goto is None else "goto"
        match = (draw(matches), draw(matches), vlan)
        made.append(Rule("r", "device", number, action, 0x88B5, *match, chain=chain, goto=goto))
    return {flower_place(rule): rule for rule in made}


@given(tables())
def test_a_frame_for_a_rule_comes_to_it(rules: dict[str, Rule]) -> None:
    assert rules_of({place: rule.document() for place, rule in rules.items()}).keys() == rules.keys()
    for place in rules:
        frame = frame_for(rules, place, OWN)
        if frame is not None:
            ProbeFrame.parse(frame, "frame")
            assert comes_to(rules, place, frame)
        elif rules[place].chain == 0:
            pytest.fail(f"{place} of the first chain has no frame")


def test_rules_that_ask_for_different_frames_have_none() -> None:
    lead = Rule("l", "d", 0, "goto", destination=MacMatch("02:00:00:00:00:01"), goto=3)
    late = Rule("x", "d", 1, "drop", destination=MacMatch("02:00:00:00:00:02"), chain=3)
    tagged = Rule("t", "d", 2, "drop", vlan=7, chain=3)
    near = Rule("n", "d", 3, "drop", destination=MacMatch("02:00:00:00:00:00", "ff:ff:ff:ff:ff:00"), chain=3)
    rules = {flower_place(rule): rule for rule in (lead, late, tagged, near)}
    assert [frame_for(rules, place, OWN) is not None for place in rules] == [True, False, False, True]
    still = {"packets": 0, "hw_packets": 0, "in_hw": True, "skip_sw": True, "lost": False}
    moved = {**still, "packets": 16, "hw_packets": 16}
    before = {"rules": dict.fromkeys(rules, still), "representors": {}}
    after = {"rules": dict.fromkeys(rules, moved), "representors": {}}
    sent = {place for place in rules if frame_for(rules, place, OWN) is not None}
    wrong, words = judge(rules, sent, before, after)
    assert wrong == [] and sum("not provable by one frame" in word for word in words) == 2


@pytest.mark.parametrize("ethertype", [0x0800, 0x86DD, 0x0806, 0x8100, 0x88A8, 0x8809, 0x05FF, 0x10000])
def test_frames_of_what_hosts_live_on_are_not_sent(ethertype: int) -> None:
    frame = {"destination": OWN, "source": None, "vlan": None, "ethertype": ethertype}
    with pytest.raises(ShapeError):
        ProbeFrame.parse(frame, "frame")


@pytest.mark.parametrize("change", [{"destination": "x"}, {"source": "02:00"}, {"vlan": 4096}, {"payload": "00"}])
def test_frames_are_read_strictly(change: dict[str, Any]) -> None:
    frame = {"destination": OWN, "source": None, "vlan": None, "ethertype": 0x88B5}
    with pytest.raises(ShapeError):
        ProbeFrame.parse({**frame, **change}, "frame")


def test_a_frame_carries_nothing() -> None:
    plain = ProbeFrame(OWN, None, None, 0x88B5).content("02:00:00:00:00:01")
    assert plain == bytes.fromhex("02000000009902000000000188b5") + bytes(46)
    tagged = ProbeFrame(OWN, "02:00:00:00:00:02", 7, 0x88B5).content("02:00:00:00:00:01")
    assert tagged == bytes.fromhex("0200000000990200000000028100000788b5") + bytes(46)


def test_who_may_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Refused, match="root"):
        send({"name": "lo"}, [], 1)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(AgentError, match="no such device"):
        send({"name": "nowhere0"}, [], 1)
