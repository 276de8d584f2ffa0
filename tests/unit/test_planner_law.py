# SPDX-License-Identifier: Apache-2.0
"""The planner's law for hosts and inventories that nobody wrote down: facts + effects = intent, and back again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import fleet_facts
from tests.support.cases import key_of
from tests.support.laws import check_law, loaded, plan_for
from tether_hw.fleet.inventory import load
from tether_hw.plan.facts import Facts, differences

DRIVERS = st.sampled_from(["veth", "virtio_net", "ice"])


@st.composite
def intents(draw: st.DrawFn) -> dict[str, Any]:
    """An inventory of two to four hosts on one link, some NICs without lanes, often with things no host can do."""
    count = draw(st.integers(2, 4))
    hosts: dict[str, Any] = {}
    members = []
    for number in range(count):
        name = "abcd"[number]
        queues = draw(st.none() | st.integers(1, 6))
        nic: dict[str, Any] = {
            "device": {"name": "data0"},
            "carrier": draw(st.sampled_from(["af_packet", "af_xdp", "auto"])),
        }
        if queues is not None:
            nic["queues"] = queues
        if draw(st.booleans()):
            nic["ring"] = {"rx": draw(st.integers(32, 512)), "tx": draw(st.integers(32, 512))}
        if draw(st.integers(0, 9)):
            indices = st.integers(0, (queues or 3) - 1)
            nic["lanes"] = {"queues": draw(st.lists(indices, min_size=1, max_size=4, unique=True))}
            members.append(f"{name}.data0")
        hosts[name] = {"address": f"192.0.2.{number + 1}", "nics": {"data0": nic}}
        if draw(st.booleans()):
            hosts[name]["engine"] = {"cpus": "by-lane"}
    document: dict[str, Any] = {"tether": 1, "hosts": hosts}
    if members:
        link: dict[str, Any] = {"members": members}
        if draw(st.booleans()):
            link["mtu"] = draw(st.integers(320, 3506))
        if draw(st.booleans()):
            link["vlan"] = draw(st.integers(1, 4094))
        if draw(st.booleans()):
            link["delivers"] = "by-lane"
        document["links"] = {"fabric0": link}
    return document


@st.composite
def machines(draw: st.DrawFn) -> dict[str, Facts]:
    """Four hosts that somebody has worked on before us."""
    found = {}
    for name in "abcd":
        driver = draw(DRIVERS)
        base = fleet_facts.DEVICES[driver][0]
        nic: dict[str, Any] = {"mtu": draw(st.sampled_from([1400, 1500, 3000, 9000]))}
        if draw(st.booleans()):
            nic["queues"] = {kind: draw(st.integers(1, 4)) for kind in base["queues"]}
        nic["xdp"] = {"foreign": draw(st.integers(0, 9)) == 0}
        manager = draw(st.sampled_from(["systemd", "supervised"]))
        config = {"nics": {"data0": nic}, "keys": {"node": key_of(name)}}
        found[name] = fleet_facts.facts(name, {"data0": driver}, config, {"service_manager": manager})
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=intents(), second=intents(), facts=machines())
def test_law(tmp_path: Path, first: dict[str, Any], second: dict[str, Any], facts: dict[str, Facts]) -> None:
    inventory = loaded(first, tmp_path)
    after = check_law(inventory, facts, plan_for(inventory, facts))
    # Then another intent over what the first one left; its hosts own what was set before.
    changed = loaded(second, tmp_path)
    check_law(changed, after, plan_for(changed, after))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(intent=intents(), facts=machines())
def test_what_is_no_longer_wanted_goes(tmp_path: Path, intent: dict[str, Any], facts: dict[str, Facts]) -> None:
    inventory = loaded(intent, tmp_path)
    after = check_law(inventory, facts, plan_for(inventory, facts))
    bare = {name: {"address": host["address"], "nics": {}} for name, host in intent["hosts"].items()}
    nothing = loaded({"tether": 1, "hosts": bare}, tmp_path)
    last = check_law(nothing, after, plan_for(nothing, after))
    for name in intent["hosts"]:
        assert differences(facts[name].config, last[name].config) == []
        assert last[name].status["owned"] == []


def test_planning_is_pure(tmp_path: Path) -> None:
    document = {
        "tether": 1,
        "hosts": {"a": {"address": "x", "nics": {"d": {"device": {"name": "data0"}, "mtu": 2000}}}},
    }
    inventory = loaded(document, tmp_path)
    facts = {"a": fleet_facts.facts("a", {"data0": "veth"})}
    one, two = plan_for(inventory, facts), plan_for(inventory, {"a": replace(facts["a"])})
    assert one == two
    assert one.id == two.id


def test_a_host_that_left_is_listed(tmp_path: Path) -> None:
    document: dict[str, Any] = {"tether": 1, "hosts": {"a": {"address": "x"}, "gone": {"address": "y"}}}
    loaded(document, tmp_path)  # writes the keys of both
    del document["hosts"]["gone"]
    (tmp_path / "inventory.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    inventory = load(tmp_path / "inventory.yaml")
    facts = {"a": fleet_facts.facts("a", {}, {"keys": {"node": key_of("a")}})}
    plan = plan_for(inventory, facts)
    assert plan.notes == ({"host": "gone", "note": "is in inventory.keys.yaml and no longer in the inventory"},)
