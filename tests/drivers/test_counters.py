# SPDX-License-Identifier: Apache-2.0
"""Rules proved by frames: a peer sends what fits each rule, and the model's counters move, or do not."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.drivers.common.netdev import Filter
from tests.drivers.common.programs import tc
from tests.drivers.common.rules import Refused
from tests.drivers.common.transaction import Scene
from tests.drivers.ice.build import PF0, machine
from tests.drivers.ice.card import Function
from tether_hw.agent import cards, rule_counts
from tether_hw.agent.probe_frames import ProbeFrame
from tether_hw.errors import HostFailed
from tether_hw.fleet import counters, unproven
from tether_hw.fleet.progress import Progress
from tether_hw.fleet.reach import Reach
from tether_hw.plan.checks import Check
from tether_hw.plan.plan import HostPlan, Plan

TIMES = counters.TIMES


def wish(offload: str = "required") -> dict[str, Any]:
    rules = [
        {"name": "in", "match": {"destination": "02:00:00:00:00:10"}, "action": {"redirect": {"vf": 0}}},
        {"name": "out", "match": {"source": "02:00:00:00:01:00/ff:ff:ff:ff:ff:00", "vlan": 7}, "action": "drop"},
    ]
    steering = {"offload": offload, "rules": rules}
    return {"family": "e810", "device": {"pci": PF0}, "eswitch": "switchdev", "vfs": 1, "steering": steering}


def fits(one: Filter, frame: ProbeFrame) -> bool:
    """Whether a frame fits a filter of the model."""

    def mac(name: str, address: str | None) -> bool:
        asked, _, mask = one.keys.get(name, "").partition("/")
        if not asked:
            return True
        bits = [int(text.replace(":", ""), 16) for text in (asked, address or "0", mask or "ff:ff:ff:ff:ff:ff")]
        return (bits[0] ^ bits[1]) & bits[2] == 0

    tagged = one.protocol == 0x8100
    ethertype = int(one.keys.get("vlan_ethtype", "0"), 0) if tagged else one.protocol
    vlan = int(one.keys["vlan_id"]) if tagged else None
    same = (ethertype, vlan) == (frame.ethertype, frame.vlan)
    return same and mac("dst_mac", frame.destination) and mac("src_mac", frame.source)


@dataclass
class Room:
    """Host a on the model of a card, and a peer b whose frames come to it. `heard`: which of them the card counts."""

    scene: Scene
    hw: bool = True
    heard: Callable[[Filter], int] = lambda one: 1
    counts: dict[int, int] = field(default_factory=dict)
    slow: int = 0
    sent: list[ProbeFrame] = field(default_factory=list)

    def shown(self, one: Filter, meter: int) -> list[dict[str, Any]]:
        count = self.counts.get(one.handle, 0)
        stats = {"packets": count, **({"hw_packets": count} if self.hw and one.in_hw else {})}
        return [{**action, "stats": stats} for action in self.plain(one, meter)]

    plain = staticmethod(tc._shown)

    def call(self, host: str, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        if verb == "counts":
            with self.scene._agent():
                return rule_counts.read(body["function"], self.scene.host.paths)
        assert (host, verb, body["device"]) == ("b", "frames", {"name": "eth9"})
        frames = [ProbeFrame.parse(frame, "frame") for frame in body["frames"]]
        self.sent += frames
        device = self.scene.machine.device("data0")
        assert device is not None
        for frame in frames:
            for one in device.filters:
                if fits(one, frame):
                    self.counts[one.handle] = self.counts.get(one.handle, 0) + body["times"] * self.heard(one)
                    self.slow += 0 if one.in_hw else body["times"]
        return {"device": "eth9", "sent": len(frames) * body["times"]}

    def reach(self) -> Reach:
        nics = {"data0": SimpleNamespace(device=SimpleNamespace(selector=lambda: {"name": "eth9"}))}
        there = SimpleNamespace(hosts={"b": SimpleNamespace(nics=nics)})

        def agent(session: Any) -> Any:
            return SimpleNamespace(call=lambda verb, body: self.call(session.name, verb, body), host=session.name)

        def session(name: str) -> Any:
            return SimpleNamespace(name=name, close=lambda: None)

        found = SimpleNamespace(
            inventory=there, time_scale=0.02, progress=Progress(), session=session, agent_there=agent
        )
        return cast(Reach, found)

    def prove(self, plan: Plan, **absent: str) -> dict[str, Any]:
        host = plan.hosts["a"]
        lane = {"lane": 0, "nic": "east", "queue": 0}
        data = {
            "link": "l",
            "peer": "b",
            "lanes": [lane],
            "peer_lanes": [{**lane, "nic": "data0"}],
            "delivers": "by-lane",
        }
        link = Check("link-l-b", "link", "east", data)
        plans = {"a": replace(host, checks=(*host.checks, link)), "b": cast(HostPlan, SimpleNamespace(checks=()))}
        [answer] = counters.prove(self.reach(), plans, absent)
        return answer


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    made = Room(Scene(machine(tmp_path), tmp_path))
    monkeypatch.setattr(tc, "_shown", made.shown)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(rule_counts, "through_processor", lambda device: made.slow)
    return made


def applied(room: Room, offload: str = "required") -> Plan:
    """The plan of what is there, once it is."""
    inventory = room.scene.inventory({"east": wish(offload)})
    done = room.scene.apply(inventory, room.scene.plan(inventory))
    assert done.state == "confirmed", done.why
    return room.scene.plan(inventory)


@pytest.mark.pain(27)
def test_each_rule_counts_the_frames_that_fit_it(room: Room) -> None:
    answer = room.prove(applied(room))
    assert (answer["result"], answer["id"], answer["check"]) == ("proved", "counters-east", "counters")
    assert answer["evidence"] == (
        f"2 counters moved by {TIMES} frames each, 2 of them in hardware; representors flat: @pf0vf0.rep"
    )
    assert [(frame.destination, frame.source, frame.vlan) for frame in room.sent] == [
        ("02:00:00:00:00:10", None, None),
        ("02:e8:10:00:00:01", "02:00:00:00:01:00", 7),  # no destination asked for: the port's own
    ]


def test_a_counter_that_stands_still_is_a_failure(room: Room) -> None:
    plan = applied(room)
    room.heard = lambda one: "dst_mac" in one.keys
    answer = room.prove(plan)
    assert answer["result"] == "failed"
    assert answer["evidence"] == f"1206/88b50001: counted 0 of {TIMES} frames in hardware, 0 in software"
    assert unproven.ends(plan, [answer]) == {"a": [f"a: counters-east: {answer['evidence']}"]}


def test_frames_that_came_through_the_processor_are_told(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = applied(room)
    seen = iter((0, TIMES, TIMES, *[TIMES] * 50))
    monkeypatch.setattr(rule_counts, "through_processor", lambda device: next(seen))
    answer = room.prove(plan)
    assert answer["result"] == "failed" and f"@pf0vf0.rep saw {TIMES} frames in software" in answer["evidence"]


def test_a_driver_with_one_number_counts_what_software_may_not_touch(room: Room) -> None:
    room.hw = False
    assert room.prove(applied(room))["result"] == "proved"  # skip_sw
    answer = room.prove(applied(room, "preferred"))
    assert answer["result"] == "failed" and "does not say what hardware counted" in answer["evidence"]


def test_rules_in_software_count_there(room: Room) -> None:
    answer = room.prove(applied(room, "software"))
    assert answer["result"] == "proved"
    assert answer["evidence"] == f"2 counters moved by {TIMES} frames each, 0 of them in hardware"


def test_preferred_rules_that_hardware_did_not_take_count_in_software(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Function, device: Any, new: Any) -> None:
        raise Refused("flower-keys", 28, "ice: no room")

    monkeypatch.setattr(Function, "offload", full)
    answer = room.prove(applied(room, "preferred"))
    assert answer["result"] == "proved" and "0 of them in hardware" in answer["evidence"]


def test_a_lost_target_and_a_missing_rule_are_told(room: Room) -> None:
    plan = applied(room)
    device = room.scene.machine.device("data0")
    assert device is not None
    target = device.filters[0].target
    assert target is not None
    target.there = False
    del device.filters[1]
    evidence = room.prove(plan)["evidence"]
    assert "1205/88b50000 has lost its target" in evidence and "1206/88b50001 is not there" in evidence


@pytest.mark.parametrize(("host", "words"), [("a", "down"), ("b", "away")])
def test_a_host_that_is_away_proves_nothing_now(room: Room, host: str, words: str) -> None:
    answer = room.prove(applied(room), **{host: words})
    assert (answer["result"], answer["evidence"]) == ("not provable now", words)


def test_a_device_without_frames_is_told(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "_MUTE", ("ice",))
    answer = room.prove(applied(room))
    assert answer["result"] == "not provable now"
    assert answer["evidence"] == "not provable on this device: ice carries no frames"


def test_a_nic_that_nobody_can_send_to(room: Room) -> None:
    [answer] = counters.prove(room.reach(), applied(room).hosts, {})
    assert answer["evidence"] == "no peer has a link to this NIC that could send frames"


def test_a_peer_that_cannot_send_fails_the_proof(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, call = applied(room), room.call

    def refuse(host: str, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        if verb == "frames":
            raise HostFailed(host, "data0: Network is down")
        return call(host, verb, body)

    monkeypatch.setattr(room, "call", refuse)
    answer = room.prove(plan)
    assert answer["result"] == "failed" and "Network is down" in answer["evidence"]


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ('[{"ifname":"e","stats64":{"rx":{"packets":3},"tx":{"packets":4}}}]', 7),
        ('[{"ifindex":3,"ifname":"e","group":"offload","subgroup":"cpu_hit"}]', None),
        ("", None),
        ("[]", None),
        ('[{"stats64":{"rx":{"packets":"3"},"tx":{"packets":4}}}]', None),
    ],
)
def test_frames_through_the_processor(monkeypatch: pytest.MonkeyPatch, answer: str, count: int | None) -> None:
    monkeypatch.setattr(cards, "ask", lambda argv: answer)
    assert rule_counts.through_processor("e") == count
