# SPDX-License-Identifier: Apache-2.0
"""Steering rules: what is written is parsed strictly, what tools print is read in all its spellings, and compared."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tether_hw.nic.steering import flower, grammar, ntuple, rte_flow
from tether_hw.nic.steering.compare import not_in_hardware, with_flower, with_ntuple
from tether_hw.nic.steering.rule import EXACT, MOST_CHAIN, MOST_RULES, MacMatch, Police, Rule, same_mask
from tether_hw.plan.rule_police import shown_rate
from tether_hw.plan.shape import ShapeError

pytestmark = pytest.mark.unit
SIZE = 4096
LANE = Rule("lane0", "eth0", 0, "queue", destination=MacMatch("02:00:00:00:00:12"), queue=3)
REDIRECT = Rule("up", "eth0", 1, "redirect", destination=MacMatch("02:00:00:00:00:12"), target="eth2")

macs = st.builds(lambda raw: ":".join(f"{byte:02x}" for byte in raw), st.binary(min_size=6, max_size=6))
matches = st.builds(lambda a, m: MacMatch(a, m).normal(), macs, st.just(EXACT) | macs)
devices = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}", fullmatch=True)
actions = st.sampled_from(["queue", "drop", "redirect", "goto"])
polices = st.builds(
    lambda rate, burst: Police(shown_rate(rate), burst), st.integers(8, 800 * 10**9), st.integers(1, 1 << 30)
)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    action = draw(actions)
    chain = draw(st.just(0) | st.integers(1, MOST_CHAIN - 1))
    target = draw(devices) if action == "redirect" else None
    copies = st.lists(devices.filter(lambda name: name != target), unique=True, max_size=4)
    return Rule(
        name="r",
        device=draw(devices),
        number=draw(st.integers(0, MOST_RULES - 1)),
        action=action,
        ethertype=draw(st.integers(0x0600, 0xFFFF)),
        destination=draw(st.none() | matches),
        source=draw(st.none() | matches),
        vlan=draw(st.none() | st.integers(0, 4095)),
        queue=draw(st.integers(0, 65535)) if action == "queue" else None,
        target=target,
        offload=draw(st.sampled_from(["required", "preferred", "software"])),
        chain=chain,
        goto=draw(st.integers(chain + 1, MOST_CHAIN)) if action == "goto" else None,
        mirror=tuple(draw(copies)) if action == "redirect" else (),
        police=draw(st.none() | polices) if action in ("redirect", "goto") else None,
    )


@settings(deadline=None)
@given(rules())
def test_a_rule_survives_its_plan(rule: Rule) -> None:
    assert Rule.parse(json.loads(json.dumps(rule.to_dict())), "data") == rule


@settings(deadline=None)
@given(st.lists(rules(), max_size=4))
def test_what_tc_gets_is_parsed_to_the_same_rules(wanted: list[Rule]) -> None:
    batch = "".join(
        line + "\n" for rule in wanted for line in (flower.qdisc_line(rule.device), flower.replace_line(rule))
    )
    parsed = [rule for verb, rule in grammar.tc_batch(batch) if verb == "replace"]
    assert [(r.device, r.number, r.offload, r.meaning()) for r in parsed if isinstance(r, Rule)] == [
        (r.device, r.number, r.offload, r.meaning()) for r in wanted
    ]
    removals = grammar.tc_batch("".join(flower.remove_line(rule) + "\n" for rule in wanted))
    assert [(verb, r.device, r.number, r.chain) for verb, r in removals if isinstance(r, Rule)] == [
        ("del", r.device, r.number, r.chain) for r in wanted
    ]


@settings(deadline=None)
@given(rules().filter(lambda rule: rule.action in ("queue", "drop") and not rule.chain))
def test_what_ethtool_gets_is_parsed_to_the_same_rule(rule: Rule) -> None:
    parsed = grammar.ethtool_command(ntuple.add(rule, SIZE))
    assert isinstance(parsed, Rule)
    assert (parsed.device, parsed.number, parsed.meaning()) == (rule.device, rule.location(SIZE), rule.meaning())
    assert grammar.ethtool_command(ntuple.remove("eth0", 7)) == 7


BATCHES = [
    "filter replace dev eth0 ingress protocol 0x88b5 pref 1205 handle 0x88b50000 flower action drop; rm\n",
    "filter replace dev eth0 ingress protocol 0x88b5 pref 1205 handle 0x88b50000 flower action drop $(x)\n",
    "filter replace dev eth0 ingress protocol 0x88b5 pref 10 handle 0x88b50000 flower action drop\n",
    "filter replace dev eth0 ingress protocol 0x88b5 pref 1205 handle 0x1 flower action drop\n",
    "filter replace dev eth0 ingress protocol 0x88b5 pref 1206 handle 0x88b50000 flower action drop\n",
    "filter replace dev eth0 ingress protocol ip pref 1205 handle 0x88b50000 flower action drop\n",
    "filter replace dev eth/0 ingress protocol 0x88b5 pref 1205 handle 0x88b50000 flower action drop\n",
    "filter replace dev eth0  ingress protocol 0x88b5 pref 1205 handle 0x88b50000 flower action drop\n",
    "filter add dev eth0 ingress protocol 0x88b5 pref 1205 handle 0x88b50000 flower action drop\n",
    "filter replace dev eth0 egress protocol 0x88b5 pref 1205 handle 0x88b50000 flower action drop\n",
    "filter replace dev eth0 ingress protocol 0x88b5 pref 1205 handle 0x88b50000 flower dst_mac 'x' action drop\n",
    "filter replace dev eth0 ingress protocol 0x88b5 pref 1205 handle 0x88b50000 flower action pedit\n",
    *(
        f"filter replace dev eth0 ingress protocol 0x88b5 pref 1205 {words}\n"
        for words in (
            "chain 0 handle 0x88b50000 flower action drop",
            "chain 268435456 handle 0x88b50000 flower action drop",
            "handle 0x88b50000 chain 3 flower action drop",
            "chain 3 handle 0x88b50000 flower action goto chain 3",
            "chain 3 handle 0x88b50000 flower action goto chain 2",
            "handle 0x88b50000 flower action goto 2",
            "handle 0x88b50000 flower action mirred egress mirror dev eth1",
            "handle 0x88b50000 flower action mirred egress mirror dev eth1 action drop",
            "handle 0x88b50000 flower action mirred ingress mirror dev eth1 action mirred egress redirect dev eth2",
            "handle 0x88b50000 flower action mirred egress mirror dev eth1 action mirred egress redirect dev eth1",
            "handle 0x88b50000 flower action mirred egress redirect dev eth1 action mirred egress redirect dev eth2",
            *(
                f"handle 0x88b50000 flower action police {police}"
                for police in (
                    "rate 8bit burst 16384 mtu 65535 conform-exceed drop/pipe",
                    "rate 8bit burst 16384 mtu 65535 conform-exceed drop/pipe action drop",
                    "rate 8bit burst 16384 mtu 65535 conform-exceed drop/ok action goto chain 1",
                    "rate 8bit burst 16384 mtu 2040 conform-exceed drop/pipe action goto chain 1",
                    "rate 9bit burst 16384 mtu 65535 conform-exceed drop/pipe action goto chain 1",
                    "rate 1gbit burst 16384 mtu 65535 conform-exceed drop/pipe action goto chain 1",
                    "rate 8bit burst 0 mtu 65535 conform-exceed drop/pipe action goto chain 1",
                    "rate 8bit burst 16384 peakrate 8bit mtu 65535 conform-exceed drop/pipe action goto chain 1",
                    "rate 8bit burst 16384 mtu 65535 conform-exceed drop/pipe action police rate 8bit burst 1 mtu 65535"
                    " conform-exceed drop/pipe action goto chain 1",
                )
            ),
        )
    ),
    "qdisc add dev eth0 clsact extra\n",
    "qdisc del dev eth0 clsact\n",
    "qdisc add dev eth0 clsact",
    "\n",
    "chain add dev eth0\n",
    "qdisc add dev ethé clsact\n",
]


@pytest.mark.parametrize("batch", BATCHES)
def test_what_is_not_of_ours_word_for_word_is_refused(batch: str) -> None:
    with pytest.raises(grammar.GrammarError):
        grammar.tc_batch(batch)


def test_names_are_bound_word_for_word() -> None:
    rule = Rule("up", "eth0", 1, "redirect", target="@pf0vf1.rep")
    batch = flower.qdisc_line("eth0") + "\n" + flower.replace_line(rule) + "\n"
    bound = grammar.bound(batch, {"@pf0vf1.rep": "eth7", "@pf0vf10.rep": "eth9"})
    assert bound == batch.replace("@pf0vf1.rep", "eth7")
    for names in ({}, {"@pf0vf10.rep": "eth9"}, {"@pf0vf1.rep": "eth7 action drop"}, {"@pf0vf1.rep": "@pf0vf2.rep"}):
        with pytest.raises(grammar.GrammarError):
            grammar.bound(batch, names)
    with pytest.raises(grammar.GrammarError):
        grammar.bound(batch.replace("flower", "u32"), {"@pf0vf1.rep": "eth7"})


@pytest.mark.parametrize(
    "value", ["eth0\nqdisc", "eth0 action", "$(reboot)", "';--", "eth0\x00", "", "x" * 16, "-n", "a/b"]
)
def test_names_that_could_inject_never_become_a_rule(value: str) -> None:
    document: dict[str, Any] = LANE.to_dict()
    for field in ("device", "name"):
        if field == "name" and value == "x" * 16:
            continue
        with pytest.raises(ShapeError):
            Rule.parse({**document, field: value}, "data")
    with pytest.raises(ShapeError):
        Rule.parse({**REDIRECT.to_dict(), "target": value}, "data")
    with pytest.raises(ShapeError):
        Rule.parse({**document, "destination": {"address": value, "mask": EXACT}}, "data")


ETHTOOL = """16 RX rings available
Total 4 rules

Filter: 3072
\tFlow Type: Raw Ethernet
\tSrc MAC addr: 00:00:00:00:00:00 mask: FF:FF:FF:FF:FF:FF
\tDest MAC addr: 02:00:00:00:00:12 mask: 00:00:00:00:00:00
\tEthertype: 0x88B5 mask: 0x0
\tAction: Direct to queue 3

Filter: 3073
\tFlow Type: Raw Ethernet
\tSrc MAC addr: 02:00:00:00:AA:00 mask: 00:00:00:00:00:FF
\tDest MAC addr: 00:00:00:00:00:00 mask: FF:FF:FF:FF:FF:FF
\tEthertype: 0x88B5 mask: 0x0
\tVLAN EtherType: 0x8100 mask: 0x0
\tVLAN: 0x64 mask: 0xf000
\tUser-defined: 0x0 mask: 0xffffffffffffffff
\tAction: Drop

Filter: 7
\tRule Type: TCP over IPv4
\tSrc IP addr: 0.0.0.0 mask: 255.255.255.255
\tDest IP addr: 10.0.0.1 mask: 0.0.0.0
\tTOS: 0x0 mask: 0xff
\tSrc port: 0 mask: 0xffff
\tDest port: 80 mask: 0x0
\tAction: Direct to queue 1

Filter: 8
\tFlow Type: Raw Ethernet
\tSrc MAC addr: 00:00:00:00:00:00 mask: FF:FF:FF:FF:FF:FF
\tDest MAC addr: 00:00:00:00:00:00 mask: FF:FF:FF:FF:FF:FF
\tEthertype: 0x88B5 mask: 0x0
\tRSS Context ID: 1
\tAction: Direct to queue 0

"""


def test_what_ethtool_prints_is_read() -> None:
    found = ntuple.read(ETHTOOL)
    assert [item.location for item in found] == [3072, 3073, 7, 8]
    assert found[0].matches(LANE)
    tagged = Rule("t", "eth0", 1, "drop", source=MacMatch("02:00:00:00:aa:00", "ff:ff:ff:ff:ff:00"), vlan=100)
    assert found[1].matches(tagged)
    assert (found[2].flow_type, found[2].plain) == ("TCP over IPv4", False)
    assert not found[3].plain  # spread by an RSS context: more than a rule of ours says
    with pytest.raises(ntuple.NtupleError, match="says 4 rules and prints 1"):
        ntuple.read(ETHTOOL[: ETHTOOL.index("Filter: 3073")])
    assert ntuple.read("16 RX rings available\nTotal 0 rules\n\n") == []


def test_ntuple_is_compared_by_location_and_record() -> None:
    found = ntuple.read(ETHTOOL)
    same = with_ntuple([LANE], found, SIZE, frozenset({3072}))
    assert same.equal and len(same.foreign) == 3 and same.in_the_way == ()
    left = with_ntuple([LANE], found, SIZE, frozenset({3072, 3073}))
    assert left.leftover == ("3073",)
    other = Rule("x", "eth0", 1, "queue", queue=5)
    blocked = with_ntuple([LANE, other], found, SIZE, frozenset({3072}))
    assert blocked.missing == (other,) and "location 3073 holds a rule that is not ours" in blocked.in_the_way[0]


def tc(**changes: Any) -> dict[str, Any]:
    """A filter as tc of iproute2 6.1 prints it."""
    mirred = {"order": 1, "kind": "mirred", "mirred_action": "redirect", "direction": "egress", "to_dev": "eth2"}
    action = {**mirred, "control_action": {"type": "stolen"}, "stats": {"bytes": 0, "packets": 5, "drops": 0}}
    options = {
        "handle": 0x88B50001,
        "keys": {"dst_mac": "02:00:00:00:00:12", "eth_type": "88b5"},
        "skip_sw": True,
        "in_hw": True,
        "in_hw_count": 1,
        "actions": [action],
    }
    options.update(changes.pop("options", {}))
    return {"protocol": "[34997]", "pref": 1205, "kind": "flower", "chain": 0, "options": options, **changes}


def printed(*filters: dict[str, Any]) -> str:
    header = {"protocol": "[34997]", "pref": 1205, "kind": "flower", "chain": 0}
    return json.dumps([header, *filters])


def test_what_tc_prints_is_read() -> None:
    (found,) = flower.read(printed(tc()))
    assert found.ours and found.in_hw and found.packets == 5
    assert found.matches(REDIRECT)
    assert flower.read("") == [] and flower.read("[]") == []


def test_each_spelling_of_tc_is_the_same_rule() -> None:
    rule = Rule(
        "v", "eth0", 1, "drop", source=MacMatch("02:aa:00:00:00:00", "ff:ff:00:00:00:00"), vlan=100, offload="preferred"
    )
    drop = [{"order": 1, "kind": "gact", "control_action": {"type": "drop"}, "stats": {"packets": 0}}]
    for protocol, ethertype, mac in (
        ("802.1Q", "[34997]", "02:aa:00:00:00:00/16"),
        ("802.1q", "0x88b5", "02:aa:00:00:00:00/ff:ff:00:00:00:00"),
    ):
        keys = {"vlan_id": 100, "vlan_ethtype": ethertype, "src_mac": mac}
        options = {"handle": 0x88B50001, "keys": keys, "skip_sw": False, "actions": drop, "in_hw": False}
        (found,) = flower.read(printed(tc(protocol=protocol, pref=1206, options=options)))
        assert found.matches(rule), (protocol, found)
    bare = tc()
    del bare["pref"], bare["chain"]
    bare["options"]["handle"] = "0x88b50001"
    (found,) = flower.read(json.dumps([bare]), pref=1205)
    assert found.ours and found.matches(REDIRECT)


def test_protocols_that_tc_has_names_for_are_read() -> None:
    head = {"protocol": "ip", "pref": 100, "kind": "flower", "chain": 0}
    item = {**head, "options": {"handle": 1, "keys": {"eth_type": "ipv4"}, "not_in_hw": True, "actions": []}}
    assert flower.read(json.dumps([item]))[0].ethertype == 0x0800
    item["options"] = {"handle": 1, "keys": {"eth_type": "of its own"}, "actions": []}
    assert flower.read(json.dumps([item]))[0].ethertype == 0


def test_keys_that_tc_prints_twice_are_both_read() -> None:
    text = '[{"protocol":"[34997]","pref":1205,"kind":"flower","chain":0,"options":{"handle":2293563393,'
    text += '"keys":{"eth_type":"88b5"},'
    text += (
        '"actions":[{"order":1,"kind":"police","control_action":{"type":"drop"},"control_action":{"type":"pipe"}}]}}]'
    )
    (found,) = flower.read(text)
    assert found.others == ("action police",) and not found.matches(REDIRECT)


@pytest.mark.parametrize(
    "text", ["{", "{}", "[1]", '[{"options":{"handle":"x"}}]', '[{"options":{"handle":1,"keys":{"vlan_id":"a"}}}]']
)
def test_output_that_is_none_is_told(text: str) -> None:
    with pytest.raises(flower.FlowerError):
        flower.read(text)


def test_flower_is_compared_by_our_marks() -> None:
    assert with_flower([REDIRECT], flower.read(printed(tc()))).equal
    gone = tc()
    gone["options"]["actions"][0]["to_dev"] = "*"
    (orphan,) = flower.read(printed(gone))
    assert orphan.orphaned and orphan.in_hw
    assert with_flower([REDIRECT], [orphan]).missing == (REDIRECT,)
    extra = tc(options={"handle": 0x88B50009})
    assert with_flower([REDIRECT], flower.read(printed(tc(), extra))).leftover == ("pref 1205 handle 0x88b50009",)
    theirs = tc(options={"handle": 1})
    compared = with_flower([REDIRECT], flower.read(printed(tc(), theirs)))
    assert compared.equal and "holds a pref of ours" in compared.in_the_way[0]
    other = tc(pref=10, options={"handle": 1})
    assert with_flower([REDIRECT], flower.read(printed(tc(), other))).foreign == ("pref 10 handle 0x1 flower",)


def test_a_rule_in_software_is_told() -> None:
    soft = tc(options={"in_hw": False, "not_in_hw": True})
    assert not_in_hardware([REDIRECT], flower.read(printed(soft))) == (REDIRECT,)
    assert not_in_hardware([REDIRECT], flower.read(printed(tc()))) == ()
    assert not_in_hardware([REDIRECT], []) == (REDIRECT,)


@given(st.text(max_size=300))
@settings(max_examples=200)
def test_no_output_breaks_the_readers(text: str) -> None:
    for read, error in ((flower.read, flower.FlowerError), (ntuple.read, ntuple.NtupleError)):
        try:
            read(text)
        except error:
            continue


def test_dpdk_rules_are_written_as_testpmd_takes_them() -> None:
    bare = Rule("b", "eth0", 0, "queue", queue=3)
    assert (
        rte_flow.flow_command(bare, 0)
        == "flow create 0 ingress pattern eth type is 0x88b5 / end actions queue index 3 / end"
    )
    tagged = Rule("t", "eth0", 0, "drop", vlan=5, destination=MacMatch("02:00:00:00:00:12"))
    assert rte_flow.flow_command(tagged, 1) == (
        "flow create 1 ingress pattern eth dst is 02:00:00:00:00:12 / vlan vid is 5 inner_type is 0x88b5 / end"
        " actions drop / end"
    )
    words = shlex.split(rte_flow.raw_command(LANE, 0))
    spec, mask = words[words.index("spec") + 1], words[words.index("mask") + 1]
    assert len(spec) == len(mask) == 2 * rte_flow.RAW_BYTES
    assert spec[:12] == "020000000012" and mask[:12] == "f" * 12 and spec[24:28] == "88b5" and mask[24:28] == "ffff"
    assert set(mask[28:]) == {"0"}
    with pytest.raises(rte_flow.RteFlowError, match="tc's"):
        rte_flow.flow_command(REDIRECT, 0)
    assert (
        rte_flow.device_arguments("0000:3b:00.0", ddp_package="/lib/ice.pkg")
        == "0000:3b:00.0,ddp_pkg_file=/lib/ice.pkg"
    )
    with pytest.raises(rte_flow.RteFlowError):
        rte_flow.device_arguments("0000:3b:00.0", ddp_package="/lib/a,b")
    assert rte_flow.script([bare], 2).endswith("flow list 2\n")


def test_one_input_set() -> None:
    assert same_mask([LANE, Rule("b", "eth0", 1, "queue", destination=MacMatch("02:00:00:00:00:13"), queue=4)])
    assert not same_mask([LANE, Rule("b", "eth0", 1, "queue", queue=4)])
