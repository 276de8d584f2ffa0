# SPDX-License-Identifier: Apache-2.0
"""Rules of several chains, with copies and meters: as an inventory says them, as plans carry them, as tc gets them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tether_hw.nic.steering import flower, rte_flow
from tether_hw.nic.steering.model import Steering, overlap
from tether_hw.nic.steering.rule import MacMatch, Police, Rule
from tether_hw.plan.kinds.nic_rules_flower import NicRulesFlower
from tether_hw.plan.rule_police import MTU, burst_step, on_step, read_text, shown_rate
from tether_hw.plan.rules_table import flower_chain, flower_number, flower_place, parse_entry, parse_wanted, reverse
from tether_hw.plan.shape import ShapeError

pytestmark = pytest.mark.unit
MAC = MacMatch("02:00:00:00:00:12")
METER = Police(10 * 10**9, 1 << 20)
LEAD = Rule("lead", "eth0", 0, "goto", destination=MAC, goto=7)
COPY = Rule("copy", "eth0", 1, "redirect", target="@pf0vf2.rep", chain=7, mirror=("@pf0sf88.rep",), police=METER)


def rule(name: str, action: Any, chain: int = 0) -> dict[str, Any]:
    return {"name": name, "match": {"destination": MAC.address}, "action": action, "chain": chain}


def test_an_inventory_says_chains_copies_and_meters() -> None:
    meter = {"rate": "10Gbit", "burst": "1MiB"}
    copying = {"redirect": {"vf": 2}, "mirror": [{"sf": 88}], "police": meter}
    wanted = Steering.model_validate({"rules": [rule("lead", {"goto": 7}), rule("copy", copying, 7)]}).rules
    lead, copy = (one.bind("eth0", number, "required", 0) for number, one in enumerate(wanted))
    assert lead == LEAD and [one.kind for one in wanted] == ["goto", "redirect"]
    assert (copy.chain, copy.target, copy.mirror, copy.police) == (7, COPY.target, COPY.mirror, METER)
    assert not overlap(lead, copy) and overlap(lead, lead)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([rule("a", {"goto": 3}, 3), rule("b", "drop", 3)], "forward"),
        ([rule("a", {"goto": 2}, 3), rule("b", {"goto": 3})], "forward"),
        ([rule("a", {"goto": 3})], "no rule is in chain 3"),
        ([rule("a", "drop", 3)], "no rule leads to chain 3"),
        ([rule("a", {"goto": 3, "queue": 1}), rule("b", "drop", 3)], "exactly one"),
        ([rule("a", {"redirect": {}})], "exactly one of vf, sf"),
        ([rule("a", {"redirect": {"vf": 1, "sf": 1}})], "exactly one of vf, sf"),
        ([rule("a", {"queue": 1, "mirror": [{"vf": 1}]})], "mirror goes with redirect"),
        ([rule("a", {"redirect": {"vf": 1}, "mirror": [{"vf": 1}]})], "twice"),
        ([rule("a", {"redirect": {"vf": 1}, "mirror": [{"vf": 2}, {"vf": 2}]})], "twice"),
        ([rule("a", {"queue": 1, "police": {"rate": "1Gbit", "burst": "16KiB"}})], "police goes with"),
        ([rule("a", {"redirect": {"vf": 1}, "police": {"rate": "1Gbit", "burst": "15KiB"}})], "multiple of 16KiB"),
        ([rule("a", {"redirect": {"vf": 1}, "police": {"rate": "100Gbit", "burst": "16KiB"}})], "multiple of 64KiB"),
        ([rule("a", {"redirect": {"vf": 1}, "police": {"rate": "1Gbit", "burst": "2GiB"}})], "multiple of 16KiB"),
        ([rule("a", {"redirect": {"vf": 1}, "police": {"rate": "1234567kbit", "burst": "16KiB"}})], "1234000000bit"),
        ([rule("a", {"redirect": {"vf": 1}, "police": {"rate": "1Tbit", "burst": "16KiB"}})], "800Gbit"),
        ([rule("a", {"redirect": {"vf": 1}, "police": {"rate": 1, "burst": "16KiB"}})], "with one of the units"),
    ],
)
def test_what_cannot_be_is_refused_in_the_inventory(rules: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Steering.model_validate({"rules": rules})


@pytest.mark.parametrize(
    "change",
    [
        {"goto": 7, "chain": 7},
        {"goto": 0},
        {"goto": 2**28},
        {"action": "drop"},
        {"mirror": ["eth1"]},
        {"action": "redirect"},
        {"police": {"rate": 9, "burst": 1}},
        {"police": {"rate": 8, "burst": 0}},
        {"police": {"rate": 8, "burst": 1, "mtu": 1}},
        {"chain": 0},
        {"chain": "7"},
    ],
)
def test_what_cannot_be_is_refused_in_a_plan(change: dict[str, Any]) -> None:
    with pytest.raises(ShapeError):
        Rule.parse({**LEAD.to_dict(), **change}, "data")


@pytest.mark.parametrize("mirror", [[], ["eth1", "eth1"], ["@pf0vf2.rep"], ["a b"], "eth1", list("abcde"), ["*"]])
def test_copies_are_of_different_devices(mirror: Any) -> None:
    with pytest.raises(ShapeError):
        Rule.parse({**COPY.to_dict(), "mirror": mirror}, "data")


def test_words_of_tc() -> None:
    assert flower.replace_line(LEAD) == (
        "filter replace dev eth0 ingress protocol 0x88b5 pref 1205 handle 0x88b50000 flower"
        " dst_mac 02:00:00:00:00:12 skip_sw action goto chain 7"
    )
    assert flower.replace_line(COPY) == (
        "filter replace dev eth0 ingress protocol 0x88b5 pref 1205 chain 7 handle 0x88b50001 flower skip_sw"
        f" action police rate 10000000000bit burst 1048576 mtu {MTU} conform-exceed drop/pipe"
        " action mirred egress mirror dev @pf0sf88.rep action mirred egress redirect dev @pf0vf2.rep"
    )
    assert flower.remove_line(COPY) == (
        "filter del dev eth0 ingress protocol 0x88b5 pref 1205 chain 7 handle 0x88b50001 flower"
    )


def test_what_frames_come_to_later_comes_first_and_goes_last() -> None:
    step = NicRulesFlower.between("0000:17:00.0", "eth0", {}, [LEAD, COPY])
    assert [one.chain for one in step.rules()] == [7, 0]
    assert set(step.put) == {"1205/88b50000", "1205/88b50001.7"}
    back = step.undo({"functions": {"0000:17:00.0": {"flower": {"hook": False, "offload": False, "rules": {}}}}})
    assert isinstance(back, NicRulesFlower) and back.put == {}
    words = [argv[-6:] for argv in NicRulesFlower.parse(back.to_dict(), "data").argv(None)[:2]]  # type: ignore[arg-type]
    assert ["chain" in argv for argv in words] == [False, True]
    assert NicRulesFlower.parse(step.to_dict(), "data") == step


def test_places_name_their_chain() -> None:
    place = flower_place(COPY)
    assert (flower_number(place), flower_chain(place), flower_chain("1205/88b50001")) == (1, 7, 0)
    assert flower_number("1205/88b50001.07") is None and flower_number(f"1205/88b50001.{2**28}") is None
    with pytest.raises(ShapeError):
        NicRulesFlower.parse({**NicRulesFlower.between("0000:17:00.0", "eth0", {}, [COPY]).to_dict(), "put": {
            "1205/88b50001": COPY.document()}}, "data")  # fmt: skip


@pytest.mark.parametrize("lost", [{"target": "*"}, {"mirror": ["*"]}, {"target": "*", "mirror": ["*"]}])
def test_a_rule_with_a_lost_device_is_facts_and_no_wish(lost: dict[str, Any]) -> None:
    document = {**COPY.document(), **lost}
    assert parse_entry(document, "rule") == document
    with pytest.raises(ShapeError):
        parse_wanted(document, "rule")
    assert isinstance(reverse({"1205/88b50001.7": document}, {}, ["1205/88b50001.7"]), str)


def test_rates_are_what_tc_can_show() -> None:
    assert [shown_rate(rate) for rate in (8, 999_992, 10**9, 1_234_567_000, 25 * 10**9, 100_500_000_000)] == [
        8,
        999_992,
        10**9,
        1_234_000_000,
        25 * 10**9,
        100_500_000_000,
    ]
    assert shown_rate(9) == 8


def kept(size: int, rate: int, whole_us: bool) -> int:
    """What is left of a burst behind tc, the kernel's ticks of 64 ns, and tc."""
    us = size / (rate // 8) * 1e6
    ticks = int((int(us) if whole_us else us) * 15.625)
    back = ticks / 15.625
    return int((rate // 8) * (int(back) if whole_us else back) / 1e6)


@pytest.mark.parametrize("whole_us", [True, False])  # iproute2 6.1, and newer
@given(st.integers(8 * 10**6, 800 * 10**9), st.integers(1, 400))
def test_a_burst_on_a_step_survives(whole_us: bool, rate: int, steps: int) -> None:
    rate = shown_rate(rate)
    burst = steps * burst_step(rate)
    left = kept(burst, rate, whole_us)
    near = round(left / (1 << 20)) << 20
    shown = near if left >= 1 << 20 and abs(near - left) < 1024 else left
    assert on_step(rate, shown) == burst


def test_steps_are_wider_at_higher_rates() -> None:
    assert [burst_step(rate * 10**9) >> 10 for rate in (1, 10, 25, 100, 400)] == [16, 16, 16, 64, 256]


def test_a_burst_of_somebody_else_stays_as_it_is() -> None:
    assert on_step(10**9, 10000) == 10000
    assert on_step(10**9, 100) == 100


TEXT = """\
filter protocol [34997] pref 1205 flower chain 7 handle 0x88b50001
  eth_type 88b5
  skip_sw
  in_hw in_hw_count 1
\taction order 1:  police 0x5 rate 10Gbit burst 1Mb mtu 64Kb action drop/pipe overhead 0b
\tref 1 bind 1
"""


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("", "", METER),
        ("1Mb", "1046250b", METER),
        ("1Mb", "1040000b", Police(METER.rate, 1040000)),
        ("mtu 64Kb", "mtu 2Kb", None),
        ("mtu 64Kb", "mtu 64Kb peakrate 1Gbit", None),
        ("mtu 64Kb", "mtu 64Kb avrate 1Gbit", None),
        ("drop/pipe", "drop", None),
        ("drop/pipe", "continue/pipe", None),
        ("overhead 0b", "overhead 4b", None),
        ("10Gbit", "1001bit", None),
        ("10Gbit", "9Tbit", None),
        ("10Gbit", "much", None),
    ],
)
def test_numbers_of_a_police_come_from_the_text(old: str, new: str, found: Police | None) -> None:
    assert read_text(TEXT.replace(old, new)) == {5: found}
    assert read_text("") == {}


def test_groups_of_dpdk() -> None:
    drop = Rule("late", "eth0", 0, "drop", chain=7)
    assert rte_flow.flow_command(LEAD, 0).endswith("actions jump group 7 / end")
    assert rte_flow.flow_command(drop, 0).startswith("flow create 0 ingress group 7 pattern")
    with pytest.raises(rte_flow.RteFlowError, match="police"):
        rte_flow.flow_command(COPY, 0)
