# SPDX-License-Identifier: Apache-2.0
"""The planner's law for ConnectX ports and simulated devices, and what their drivers ask of every order of steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.support import facts_cx7, fleet_facts
from tests.support.cases import key_of
from tests.support.facts_cx7 import PF0, PF1, SIM
from tests.support.laws import check_law, loaded, plan_for
from tether_hw.plan.effects import fold
from tether_hw.plan.facts import Facts, differences
from tether_hw.plan.facts_mlx5 import is_plain
from tether_hw.plan.kinds.host_reboot import HostReboot
from tether_hw.plan.kinds.nic_eswitch import NicEswitch
from tether_hw.plan.kinds.nic_function import NicFunction
from tether_hw.plan.kinds.nic_param import NicParam
from tether_hw.plan.kinds.nic_queues import NicQueues
from tether_hw.plan.kinds.nic_rules_flower import NicRulesFlower
from tether_hw.plan.kinds.nic_sf import NicSf
from tether_hw.plan.kinds.nic_vf_binding import NicVfBinding
from tether_hw.plan.kinds.nic_vfs import NicVfs
from tether_hw.plan.kinds.registry import parse_data
from tether_hw.plan.plan import HostPlan
from tether_hw.plan.undo import undo_order

NONE: dict[str, Any] = {"tether": 1, "hosts": {"a": {"address": "192.0.2.1"}}}
DEVICES = {PF0: "cx0", PF1: "cx1", SIM: "sim0"}


@st.composite
def attributes(draw: st.DrawFn, number: int) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if draw(st.booleans()):
        told["address"] = f"02:00:00:00:08:{draw(st.integers(0, 1)) * 16 + number:02x}"
    if draw(st.integers(0, 2)) == 0:
        told["tx_max"] = draw(st.sampled_from(["1Gbit", "2Gbit"]))
    if draw(st.integers(0, 3)) == 0:
        told["tx_share"] = "100Mbit"
    return told


@st.composite
def ports(draw: st.DrawFn, function: str) -> dict[str, Any]:
    """What an inventory says of one port; sometimes things that no driver does."""
    sim = function == SIM
    device = {"devlink": f"netdevsim/{SIM}"} if sim else {"pci": function}
    nic: dict[str, Any] = {"family": "cx7", "device": device}
    if draw(st.booleans()):
        nic["queues"] = draw(st.integers(2, 4))
    if draw(st.integers(0, 2)):
        nic["eswitch"] = draw(st.sampled_from(["legacy", "switchdev", "switchdev"]))
    switchdev = nic.get("eswitch") == "switchdev"
    count = draw(st.none() | st.integers(0, 4))
    if count is not None:
        nic["vfs"] = count
        if draw(st.booleans()):
            nic["vfs"] = [draw(attributes(number)) for number in range(count)]
    if not sim:
        if draw(st.integers(0, 3)) == 0:
            nic["steering_mode"] = draw(st.sampled_from(["dmfs", "smfs"]))
        if draw(st.integers(0, 3)) == 0:
            nic["params"] = {"esw_port_metadata": draw(st.booleans())}
        if draw(st.integers(0, 3)) == 0:
            nic["encap"] = draw(st.sampled_from(["none", "basic"]))
        if switchdev and draw(st.integers(0, 2)) == 0:
            numbers = draw(st.lists(st.integers(1, 3), max_size=2, unique=True))
            nic["sfs"] = [{"number": number, **draw(attributes(8 + number))} for number in numbers]
        if draw(st.booleans()):
            nic["lanes"] = {"queues": draw(st.lists(st.integers(0, 1), min_size=1, max_size=2, unique=True))}
            nic["carrier"] = "af_packet"
    rules: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, 3))):
        choices: list[Any] = ["drop"]
        if switchdev and count:
            choices.append({"redirect": {"vf": draw(st.integers(0, count - 1))}})
        if switchdev and nic.get("sfs"):
            choices.append({"redirect": {"sf": nic["sfs"][0]["number"]}})
        if not sim:
            choices.append({"queue": draw(st.integers(0, 1))})
        match = {"destination": f"02:00:00:00:00:{number:02x}"}
        rules.append({"name": f"r{number}", "match": match, "action": draw(st.sampled_from(choices))})
    if rules:
        nic["steering"] = {"offload": draw(st.sampled_from(["required", "preferred", "software"])), "rules": rules}
    return nic


@st.composite
def intents(draw: st.DrawFn) -> dict[str, Any]:
    """An inventory of one host with some of the ports."""
    nics = {"data0": draw(ports(PF0))}
    if draw(st.booleans()):
        nics["data1"] = draw(ports(PF1))
    if draw(st.booleans()):
        nics["sim"] = draw(ports(SIM))
    document: dict[str, Any] = {"tether": 1, "hosts": {"a": {"address": "192.0.2.1", "nics": nics}}}
    members = [f"a.{nic}" for nic, one in nics.items() if "lanes" in one]
    if members:
        document["links"] = {"fabric0": {"members": members}}
    return document


@st.composite
def functions_of_others(draw: st.DrawFn, function: str) -> dict[str, Any]:
    """A function that somebody has worked on before us."""
    sim = function == SIM
    one: dict[str, Any] = {"eswitch": draw(st.sampled_from(["legacy", "legacy", "switchdev"]))}
    one["vfs"] = draw(st.sampled_from([0, 0, 0, 2]))
    own = None if sim else draw(st.sampled_from(["mlx5_core", "mlx5_core", None]))
    vfs = facts_cx7.vfs(one["vfs"], own)
    for number in vfs if draw(st.booleans()) else ():
        vfs[number]["address"] = f"02:00:00:00:09:{int(number):02x}"
        vfs[number]["tx_max"] = 125_000_000
    if one["vfs"] and not sim and draw(st.integers(0, 5)) == 0:
        vfs["1"]["driver"] = "vfio-pci"
    part: dict[str, Any] = {"vfs": vfs}
    if not sim:
        part["autoprobe"] = draw(st.sampled_from([True, True, False]))
        if one["eswitch"] == "switchdev" and draw(st.integers(0, 5)) == 0:
            part["sfs"] = {"7": {"address": None, "tx_max": 0, "tx_share": 0, "active": True}}
        foreign = {"7": {"other": "TCP over IPv4"}} if draw(st.integers(0, 8)) == 0 else {}
        one["ntuple"] = {"on": draw(st.booleans()), "rules": foreign}
    foreign = {"10/1": {"other": "u32"}} if draw(st.integers(0, 8)) == 0 else {}
    one["flower"] = {"hook": bool(foreign) or draw(st.booleans()), "offload": draw(st.booleans()), "rules": foreign}
    return {**one, "mlx5": part}


@st.composite
def machines(draw: st.DrawFn) -> dict[str, Facts]:
    """A host with a card and a simulated device."""
    functions = {function: draw(functions_of_others(function)) for function in DEVICES}
    options = {"MLX5_CLS_ACT": draw(st.sampled_from(["y", "y", "n", None])), "MLX5_SF": "y"}
    card = facts_cx7.card({"functions": {name: functions[name] for name in (PF0, PF1)}}, {"kernel_config": options})
    sim = facts_cx7.simulated({"functions": {SIM: functions[SIM]}})
    config = fleet_facts.merge(card[0], sim[0])
    config = fleet_facts.merge(config, {"keys": {"node": key_of("a")}})
    standing = fleet_facts.merge(sim[1], card[1])
    selectors = [
        {
            "selector": {"devlink": f"netdevsim/{SIM}"} if name == SIM else {"pci": name},
            "device": device,
            "function": name,
        }
        for name, device in DEVICES.items()
    ]
    drivers = {"cx0": "mlx5_core", "cx1": "mlx5_core", "sim0": "netdevsim"}
    return {"a": fleet_facts.facts("a", drivers, config, standing, selectors)}


def obeys(host: HostPlan, config: dict[str, Any]) -> None:
    """No step, done or undone, asks a driver for what it refuses."""
    for step in host.steps:
        config = _obeys(parse_data(step.kind, step.data), config)
    if any(step.undo is None for step in host.steps):
        return
    for undo in undo_order(host.steps):
        assert undo.data is not None, undo.reason
        config = _obeys(undo.data, config)


def _obeys(data: Any, config: dict[str, Any]) -> dict[str, Any]:
    functions = config["functions"]
    one = functions.get(getattr(data, "function", None))
    part = one and one["mlx5"]
    if isinstance(data, NicEswitch) and data.mode != one["eswitch"]:
        assert not any((one[table] or {}).get("rules") for table in ("ntuple", "flower"))
        assert not part["sfs"]
        assert not any(vf["tx_max"] or vf["tx_share"] for vf in part["vfs"].values())
        assert all(vf["driver"] is None for vf in part["vfs"].values())
    elif isinstance(data, NicEswitch):
        assert not one["flower"]["rules"], "encap with flows"
    elif isinstance(data, NicParam):
        assert one["eswitch"] == "legacy"
    elif isinstance(data, NicVfs):
        assert 0 in (data.count, one["vfs"])
        assert all(vf["driver"] in (None, one["driver"]) for vf in part["vfs"].values())
        assert all(is_plain(vf) for vf in part["vfs"].values())
        assert not any((rule.get("target") or "").startswith("@pf0vf") for rule in one["flower"]["rules"].values())
    elif isinstance(data, NicVfBinding):
        assert all(part["vfs"][str(number)]["driver"] in (None, "mlx5_core") for number in data.vfs)
    elif isinstance(data, NicFunction):
        assert data.path[-1] in part[data.path[-2]]
        by_netdev = data.device is not None
        if data.function != SIM:
            assert by_netdev == (one["eswitch"] == "legacy")
            if "address" in data.put and data.target.startswith("vf"):
                assert part["vfs"][data.target[2:]]["driver"] is None, "the driver has read its address"
        else:
            assert by_netdev or (one["eswitch"] == "switchdev" and "address" not in data.put)
    elif isinstance(data, NicSf):
        assert one["eswitch"] == "switchdev"
        assert data.present != (str(data.sfnum) in part["sfs"])
        assert data.present or not any(
            (rule.get("target") or "").endswith(f"sf{data.sfnum}.rep") for rule in one["flower"]["rules"].values()
        )
    elif isinstance(data, NicQueues):
        of = next((one for one in functions.values() if one["device"] == data.device), None)
        assert of is None or not (of["ntuple"] or {}).get("rules")
    elif isinstance(data, NicRulesFlower):
        for rule in data.put.values():
            assert one["eswitch"] == "switchdev"
            kind, number = (rule["target"] or "@pf0vf0.rep").removesuffix(".rep").rpartition("f")[::2]
            assert rule["target"] is None or number in part["vfs" if kind.endswith("v") else "sfs"]
    elif isinstance(data, HostReboot):
        raise AssertionError("nobody asked for a boot")
    return fold(config, data.effect(config))


def step_through(folder: Path, document: dict[str, Any], facts: dict[str, Facts]) -> dict[str, Facts]:
    setting = fleet_facts.setting()
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
    functions = facts["a"].config["functions"]
    for change in differences(facts["a"].config, last["a"].config):
        # The driver turns hw-tc-offload off for nobody while rules are there: those of others keep it on.
        assert change["path"][2:] == ["flower", "offload"] and change["after"] is True, change
        assert functions[change["path"][1]]["flower"]["rules"]
    assert last["a"].status["owned"] == []
