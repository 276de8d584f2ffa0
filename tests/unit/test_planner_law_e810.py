# SPDX-License-Identifier: Apache-2.0
"""The planner's law for E810 cards that nobody wrote down, and what the driver asks of every order of steps."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.support import fleet_facts
from tests.support.cases import key_of
from tests.support.e810_packages import package_bytes
from tests.support.fleet_facts import CARD, FIRMWARE
from tests.support.laws import check_law, loaded, plan_for
from tests.support.plan_steps import LANE_RULE, PF0, PF1
from tether_hw.fleet import packages
from tether_hw.fleet.planner import Setting
from tether_hw.plan.effects import fold
from tether_hw.plan.facts import Facts, differences
from tether_hw.plan.kinds.nic_driver import NicDriver
from tether_hw.plan.kinds.nic_eswitch import NicEswitch
from tether_hw.plan.kinds.nic_queues import NicQueues
from tether_hw.plan.kinds.nic_rules_flower import NicRulesFlower
from tether_hw.plan.kinds.nic_rules_ntuple import NicRulesNtuple
from tether_hw.plan.kinds.nic_vfs import NicVfs
from tether_hw.plan.kinds.registry import parse_data
from tether_hw.plan.plan import HostPlan
from tether_hw.plan.undo import undo_order

NONE: dict[str, Any] = {"tether": 1, "hosts": {"a": {"address": "192.0.2.1"}}}
FILES = {"one.pkg": ("tether", None), "two.pkg": ("plain", "1.3.9.0")}
PLACE = FIRMWARE.format("updates/", f"ice-{CARD}")


@cache
def digest(name: str) -> str:
    import hashlib

    return hashlib.sha256(package_bytes(*FILES[name])).hexdigest()


@st.composite
def ports(draw: st.DrawFn, function: str) -> dict[str, Any]:
    """What an inventory says of one port; sometimes things that no driver does."""
    nic: dict[str, Any] = {"family": "e810", "device": {"pci": function}}
    queues = draw(st.none() | st.integers(1, 12))
    if queues is not None:
        nic["queues"] = queues
    if draw(st.booleans()):
        nic["mtu"] = 3000
    switchdev = False
    if draw(st.booleans()):
        nic["eswitch"] = draw(st.sampled_from(["legacy", "switchdev"]))
        switchdev = nic["eswitch"] == "switchdev"
    vfs = draw(st.none() | st.integers(0, 3))
    if vfs is not None:
        nic["vfs"] = vfs
    if draw(st.integers(0, 2)):
        indices = st.integers(0, (queues or 4) - 1)
        nic["lanes"] = {"queues": draw(st.lists(indices, min_size=1, max_size=3, unique=True))}
        nic["carrier"] = draw(st.sampled_from(["af_packet", "af_xdp"]))
    if draw(st.booleans()):
        rules: list[dict[str, Any]] = []
        for number in range(draw(st.integers(0, 3))):
            match = {"destination": f"02:00:00:00:00:{draw(st.integers(0, 3)):02x}"}
            action: Any = "drop"
            if switchdev and vfs:
                action = {"redirect": {"vf": draw(st.integers(0, vfs - 1))}}
            elif not switchdev and draw(st.booleans()):
                action = {"queue": draw(st.integers(0, (queues or 4) - 1))}
            if all(rule["match"] != match for rule in rules):
                rules.append({"name": f"r{number}", "match": match, "action": action})
        nic["steering"] = {
            "offload": draw(st.sampled_from(["required", "required", "preferred", "preferred", "software"])),
            "rules": rules,
        }
    return nic


@st.composite
def intents(draw: st.DrawFn) -> dict[str, Any]:
    """An inventory of one host with one or both ports of a card, perhaps with a package."""
    nics = {"data0": draw(ports(PF0))}
    if draw(st.booleans()):
        nics["data1"] = draw(ports(PF1))
    if draw(st.booleans()):
        name = draw(st.sampled_from(sorted(FILES)))
        nics["data0"]["ddp"] = {"package": name, "sha256": digest(name), "signature": "none"}
    members = [f"a.{nic}" for nic, one in nics.items() if "lanes" in one]
    document: dict[str, Any] = {"tether": 1, "hosts": {"a": {"address": "192.0.2.1", "nics": nics}}}
    if members:
        document["links"] = {"fabric0": {"members": members}}
        if draw(st.integers(0, 4)) == 0:
            document["links"]["fabric0"]["vlan"] = 7
    return document


@st.composite
def machines(draw: st.DrawFn) -> dict[str, Facts]:
    """A host with a card that somebody has worked on before us."""
    safe = draw(st.integers(0, 8)) == 0
    functions: dict[str, Any] = {}
    nics: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    for function, device in ((PF0, "eth1"), (PF1, "eth2")):
        one: dict[str, Any] = {}
        nics[device] = {"queues": {"combined": 1 if safe else draw(st.integers(4, 16))}}
        if safe:
            one["ntuple"] = None
            limits[device] = {"queues_max": {"combined": 1}}
        else:
            one["vfs"] = draw(st.sampled_from([0, 0, 0, 2]))
            one["eswitch"] = draw(st.sampled_from(["legacy", "legacy", "switchdev"]))
            rules: dict[str, Any] = {}
            if draw(st.integers(0, 11)) == 0:
                rules["7"] = draw(st.sampled_from([{"other": "TCP over IPv4"}, LANE_RULE.document()]))
            one["ntuple"] = {"on": draw(st.booleans()), "rules": rules}
            foreign = {"10/1": {"other": "u32"}} if draw(st.integers(0, 11)) == 0 else {}
            hook = bool(foreign) or draw(st.booleans())
            one["flower"] = {"hook": hook, "offload": draw(st.booleans()), "rules": foreign}
        functions[function] = one
    card: dict[str, Any] = {"files": {PLACE: draw(st.sampled_from([None, None, "3" * 64]))}}
    if safe:
        card.update(package=None, safe_mode=True)
    kernel = draw(st.sampled_from(["6.1.0-28-amd64", "6.12.95-amd64", "6.12.95-amd64"]))
    status = {"kernel": kernel, "functions": {name: {"driver_version": kernel} for name in (PF0, PF1)}}
    config, standing = fleet_facts.card({"functions": functions, "cards": {CARD: card}}, status)
    config = fleet_facts.merge(config, {"keys": {"node": key_of("a")}, "nics": nics})
    standing["limits"] = limits
    selectors = [
        {"selector": {"pci": function}, "device": device, "function": function}
        for function, device in ((PF0, "eth1"), (PF1, "eth2"))
    ]
    return {"a": fleet_facts.facts("a", {"eth1": "ice", "eth2": "ice"}, config, standing, selectors)}


def obeys(host: HostPlan, config: dict[str, Any]) -> None:
    """No step, done or undone, asks the driver for what it refuses."""
    for step in host.steps:
        config = _obeys(parse_data(step.kind, step.data), config)
    for undo in undo_order(host.steps):
        assert undo.data is not None, undo.reason
        config = _obeys(undo.data, config)


def _obeys(data: Any, config: dict[str, Any]) -> dict[str, Any]:
    functions = config["functions"]
    if isinstance(data, NicEswitch):
        assert functions[data.function]["vfs"] == 0
        assert functions[data.function]["driver"] == "ice"
        assert not any(functions[data.function][table]["rules"] for table in ("ntuple", "flower"))
    elif isinstance(data, NicVfs):
        assert 0 in (data.count, functions[data.function]["vfs"])
        rules = functions[data.function]["flower"]["rules"].values()
        assert all(rule.get("target") is None for rule in rules)
    elif isinstance(data, NicQueues):
        one = next(one for one in functions.values() if one["device"] == data.device)
        assert not (one["ntuple"] or {}).get("rules")
        assert not config["cards"][CARD]["safe_mode"]
    elif isinstance(data, NicDriver) and data.action == "unbind":
        for name in data.functions:
            one = functions[name]
            assert (one["vfs"], one["eswitch"]) == (0, "legacy")
            assert not any((one[table] or {}).get("rules") for table in ("ntuple", "flower"))
    elif isinstance(data, NicRulesFlower):
        for rule in data.put.values():
            assert functions[data.function]["eswitch"] == "switchdev"
            if rule["target"] is not None:
                assert int(rule["target"].removesuffix(".rep").partition("vf")[2]) < functions[data.function]["vfs"]
    elif isinstance(data, NicRulesNtuple) and data.put:
        there = {
            place: rule
            for place, rule in functions[data.function]["ntuple"]["rules"].items()
            if place not in data.gone and place not in data.put and "other" not in rule
        }
        matches = [str(rule["destination"]) for rule in (*there.values(), *data.put.values())]
        assert len(matches) == len(set(matches)), "the same frames twice"
    return fold(config, data.effect(config))


def setting_for(folder: Path, document: dict[str, Any]) -> Setting:
    for name, made in FILES.items():
        if not (folder / name).exists():
            (folder / name).write_bytes(package_bytes(*made))
    from dataclasses import replace

    return replace(fleet_facts.setting(), packages=packages.load(loaded(document, folder)))


def step_through(folder: Path, document: dict[str, Any], facts: dict[str, Facts]) -> dict[str, Facts]:
    setting = setting_for(folder, document)
    inventory = loaded(document, folder)
    plan = plan_for(inventory, facts, setting)
    for name, host in plan.hosts.items():
        obeys(host, facts[name].config)
    return check_law(inventory, facts, plan, setting)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=intents(), second=intents(), facts=machines())
def test_law(tmp_path: Path, first: dict[str, Any], second: dict[str, Any], facts: dict[str, Facts]) -> None:
    after = step_through(tmp_path, first, facts)
    step_through(tmp_path, second, after)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(intent=intents(), facts=machines())
def test_what_is_no_longer_wanted_goes(tmp_path: Path, intent: dict[str, Any], facts: dict[str, Facts]) -> None:
    after = step_through(tmp_path, intent, facts)
    # What was there before us and was only confirmed by the inventory is nobody's to take away afterwards.
    left = plan_for(loaded(NONE, tmp_path), after).refusals
    assert all("nobody asked for" in refusal["reason"] for refusal in left), left
    assume(not left)
    last = step_through(tmp_path, NONE, after)
    assert differences(facts["a"].config, last["a"].config) == []
    assert last["a"].status["owned"] == []
