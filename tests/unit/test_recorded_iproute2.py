# SPDX-License-Identifier: Apache-2.0
"""What tc of iproute2 6.1 and of the newest that Debian 12 has prints is read right, with all of its traps.

tests/recorded/iproute2 says how it was recorded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional, Sequence

import pytest

from tether_hw.nic.steering import flower
from tether_hw.nic.steering.compare import with_flower
from tether_hw.nic.steering.rule import DROP, GOTO, LOST, QUEUE, REDIRECT, MacMatch, Police, Rule
from tether_hw.nic.steering.show import filters, flower_rule, flower_table
from tether_hw.plan.rules_table import parse_entry

pytestmark = pytest.mark.unit
RECORDED = Path(__file__).resolve().parents[1] / "recorded" / "iproute2"
VERSIONS = ("6.1", "6.15")
every = pytest.mark.parametrize("version", VERSIONS)

#: The rules of the batch in record.sh, as a plan has them.
BATCH = [
    Rule("a", "lab0", 0, REDIRECT, destination=MacMatch("02:00:00:00:00:12"), target="lab2", offload="software"),
    Rule(
        "b",
        "lab0",
        1,
        GOTO,
        destination=MacMatch("02:00:00:00:00:00", "ff:ff:ff:ff:ff:00"),
        source=MacMatch("02:00:00:00:01:01"),
        offload="software",
        goto=7,
    ),
    Rule(
        "c",
        "lab0",
        2,
        GOTO,
        destination=MacMatch("02:00:00:00:00:13"),
        offload="preferred",
        goto=7,
        police=Police(1_500_000_000, 16384),
    ),
    Rule("d", "lab0", 3, QUEUE, destination=MacMatch("02:00:00:00:00:14"), vlan=100, queue=3, offload="preferred"),
    Rule(
        "e",
        "lab0",
        4,
        REDIRECT,
        source=MacMatch("02:00:00:00:00:00", "ff:ff:ff:00:00:00"),
        target="lab1",
        offload="software",
        chain=7,
        mirror=("lab2",),
        police=Police(10**10, 1 << 20),
    ),
    Rule(
        "f",
        "lab0",
        5,
        DROP,
        destination=MacMatch("02:00:00:00:00:aa", "ff:00:ff:00:ff:ff"),
        offload="software",
        chain=7,
    ),
]


def text(version: str, name: str) -> str:
    return (RECORDED / version / name).read_text(encoding="utf-8")


def said(version: str, name: str) -> tuple[str, int]:
    """What a program said beside its output, and how it ended."""
    words, _, code = text(version, name + ".err").rstrip("\n").rpartition("exit ")
    return words, int(code)


def shown(version: str, name: str, **more: Any) -> list[flower.Filter]:
    beside = RECORDED / version / f"{name}.txt"
    words = beside.read_text(encoding="utf-8") if beside.exists() else ""
    return flower.read(text(version, name + ".json"), words=words, **more)


def test_each_record_is_of_its_version() -> None:
    for version in VERSIONS:
        assert f"iproute2-{version}." in text(version, "version.txt")
        assert text(version, "kernel.txt").startswith("6.1.0-")


@every
def test_the_words_of_record_sh_are_ours(version: str) -> None:
    """tc took the batch without a word, and it is the one that this suite writes."""
    assert not (RECORDED / version / "batch.txt.err").exists()
    script = (RECORDED / "record.sh").read_text(encoding="utf-8").replace("$u", "filter replace dev lab0 ingress")
    for rule in BATCH:
        assert flower.replace_line(rule) in script.splitlines()


@every
def test_what_was_set_is_what_is_read(version: str) -> None:
    found = shown(version, "filter")
    assert all(one.ours for one in found)
    compared = with_flower(BATCH, found)
    assert compared.equal and not compared.foreign and not compared.in_the_way
    assert [one.in_hw for one in found] == [False] * len(BATCH)
    documents = {one.place: flower_rule(one, {}) for one in found}
    assert documents == {
        f"{rule.pref}/{rule.handle:08x}" + (f".{rule.chain}" if rule.chain else ""): rule.document() for rule in BATCH
    }
    for document in documents.values():
        assert parse_entry(document, "rule") == document


@every
def test_numbers_of_a_police_are_only_in_the_text(version: str) -> None:
    """Two control_action keys in one object, and no rate: without the text nothing is known of it."""
    raw = text(version, "filter.json")
    assert '"control_action":{"type":"drop"},"control_action":{"type":"pipe"}' in raw and '"rate"' not in raw
    blind = [one for one in flower.read(raw) if "action police" in one.others]
    assert [one.handle & 0xFF for one in blind] == [4, 2] and all(one.police is None for one in blind)
    asked: list[tuple[str, ...]] = []

    def run(argv: Sequence[str]) -> Optional[str]:
        asked.append(tuple(argv))
        return text(version, "filter.json" if "-j" in argv else "filter.txt")

    both = filters(run, "lab0") or []
    assert [one.police for one in both if one.police is not None] == [Police(10**10, 1 << 20), BATCH[2].police]
    assert [("-j" in argv, "-s" in argv) for argv in asked] == [(True, True), (False, True)]


def test_a_burst_is_shown_otherwise_by_each_version() -> None:
    """6.1 cuts off microseconds: a burst of 1 MiB is shown as 1046250 bytes."""
    assert "rate 10Gbit burst 1046250b mtu 64Kb action drop/pipe overhead 0b" in text("6.1", "filter.txt")
    assert "rate 10Gbit burst 1Mb mtu 64Kb action drop/pipe overhead 0b" in text("6.15", "filter.txt")


@every
def test_the_first_of_each_pref_is_a_header(version: str) -> None:
    items = json.loads(text(version, "filter.json"))
    headers = [item for item in items if "options" not in item]
    assert len(headers) == 3 and len(items) - len(headers) == len(shown(version, "filter")) == len(BATCH)


@every
def test_what_was_filtered_by_is_left_out(version: str) -> None:
    raw = text(version, "filter-pref.json")
    assert '"pref"' not in raw
    found = flower.read(raw, pref=1205, words=text(version, "filter.txt"))
    assert {one.place for one in found} == {one.place for one in shown(version, "filter") if one.pref == 1205}


@every
def test_get_says_ingress_and_is_one_filter(version: str) -> None:
    assert json.loads(text(version, "filter-get.json"))[0]["ingress"] is True
    (found,) = shown(version, "filter-get")
    assert found.matches(BATCH[0])


@every
def test_three_spellings_of_one_ethertype(version: str) -> None:
    raw = text(version, "filter.json")
    for spelling in ('"protocol":"[34997]"', '"eth_type":"88b5"', '"vlan_ethtype":"[34997]"', '"protocol":"802.1Q"'):
        assert spelling in raw
    assert {one.ethertype for one in shown(version, "filter")} == {0x88B5}


@every
def test_masks_are_prefixes_where_they_can_be(version: str) -> None:
    raw = text(version, "filter.json")
    assert '"02:00:00:00:00:00/40"' in raw and '"02:00:00:00:00:aa/ff:00:ff:00:ff:ff"' in raw
    masks = {match.mask for one in shown(version, "filter") for match in (one.destination, one.source) if match}
    assert {"ff:ff:ff:ff:ff:00", "ff:ff:ff:00:00:00", "ff:00:ff:00:ff:ff"} <= masks


@every
def test_a_lost_device_is_a_star(version: str) -> None:
    lost = {one.place: one for one in shown(version, "filter-lost") if one.orphaned and one.ours}
    assert set(lost) == {"1205/88b50000", "1205/88b50004.7"}
    assert (lost["1205/88b50000"].target, lost["1205/88b50004.7"].mirror) == (LOST, (LOST,))
    for one in lost.values():
        document = flower_rule(one, {})
        assert parse_entry(document, "rule") == document
    compared = with_flower(BATCH, shown(version, "filter-lost"))
    assert [rule.name for rule in compared.missing] == ["a", "e"]


@every
def test_rules_of_others_are_told_apart(version: str) -> None:
    found = {one.place: one for one in shown(version, "filter-others") if not one.ours}
    words = {place: flower_rule(one, {}).get("other", "a rule") for place, one in found.items()}
    assert words == {
        "22/1": "a rule",
        "30/1": "matchall 0x0003 action mirred mirred",
        "31/1": "flower 0x0800 key ip_proto key dst_port 0 actions",
        "32/800800": "u32 0x88b5 drop",
        "33/1": "flower 0x88b5 action police police",
        "33/2": "flower 0x88b5 action police redirect",
        "33/3": "flower 0x88b5 action gact gact",
        "34/1": "flower 0x88a8 key cvlan_id key cvlan_ethtype drop",
        "35/1": "flower 0x8100 key vlan_prio action vlan redirect",
        "49152/1": "a rule",  # without a pref tc takes this one, and then one less each time
    }
    assert with_flower(BATCH, shown(version, "filter-others")).equal


@every
def test_rules_that_hardware_has(version: str) -> None:
    assert not (RECORDED / version / "batch-in-hw.txt.err").exists()
    redirect, drop = shown(version, "filter-in-hw")
    assert [(one.in_hw, one.in_hw_count, one.skip_sw) for one in (redirect, drop)] == [(True, 1, True)] * 2
    assert not redirect.orphaned and drop.hw_packets is None


@every
@pytest.mark.pain(27)
def test_a_rule_without_its_device_says_it_is_in_hardware_all_the_same(version: str) -> None:
    redirect, drop = shown(version, "filter-in-hw-lost")
    assert (redirect.in_hw, redirect.orphaned, drop.orphaned) == (True, True, False)
    document = flower_rule(redirect, {})
    assert document["target"] == LOST and document["offload"] == "required"


@every
def test_rules_for_hardware_that_says_no(version: str) -> None:
    words, code = said(version, "skip-sw-refused.txt")
    assert code == 2 and "only offload of BPF classifiers supported" in words
    assert shown(version, "filter-skip-sw") == []
    (either,) = shown(version, "filter-either")
    assert not either.in_hw and not either.skip_sw and not either.skip_hw and either.in_hw_count == 0


@every
def test_u32_for_hardware_only_ends_well_and_runs_nowhere(version: str) -> None:
    assert not (RECORDED / version / "u32-skip-sw.txt.err").exists()
    (one,) = shown(version, "filter-u32-skip-sw", pref=7)
    assert (one.kind, one.pref, one.skip_sw, one.in_hw) == ("u32", 7, True, False)


@every
def test_the_hook_is_seen(version: str) -> None:
    for name, hook in (("qdisc-before", False), ("qdisc", True)):
        answers = {"qdisc": text(version, name + ".json"), "filter": "[]"}
        table = flower_table(lambda argv, answers=answers: answers[argv[argv.index("-j") + 1]], "lab0", "off", {})  # type: ignore[misc]
        assert table == {"hook": hook, "offload": False, "rules": {}}


@every
def test_what_tc_says_no_to(version: str) -> None:
    for name, words, code in (
        ("clsact-again.txt", "Exclusivity flag on, cannot modify", 2),
        ("other-protocol.txt", "Filter with specified priority/protocol not found", 2),
        ("without-handle-again.txt", "File exists", 2),
        ("template-mask.txt", "Mask does not fit the template", 2),
        ("filter-options-together.txt", 'Option "-jp" is unknown', 255),
        ("batch-stops.txt", "Command failed -:2", 1),
        ("no-device.json", 'Cannot find device "nowhere"', 1),
    ):
        said_words, said_code = said(version, name)
        assert words in said_words and said_code == code, name
    # With a handle the same command is fine twice; the lines of a batch before the one that failed stay.
    assert not (RECORDED / version / "with-handle-again.txt.err").exists()
    assert [one.place for one in shown(version, "filter-others") if one.pref == 22] == ["22/1"]


@every
def test_a_chain_with_a_template_is_no_rule(version: str) -> None:
    chains = json.loads(text(version, "chain.json"))
    assert [one["chain"] for one in chains if "options" in one] == [9]
    assert flower.read(text(version, "chain.json")) == []


@every
def test_pretty_output_is_the_same(version: str) -> None:
    (found,) = shown(version, "filter-pretty", pref=1206)
    assert found.matches(BATCH[3])


def test_every_record_is_read_by_a_test() -> None:
    read = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_recorded_*.py"))
    names = {path.name for version in VERSIONS for path in (RECORDED / version).iterdir()}
    stems = {name.removesuffix(".err").rpartition(".")[0] for name in names}
    unread = {stem for stem in stems if f'"{stem}' not in read and not stem.startswith("ethtool-")}
    assert unread == set()
