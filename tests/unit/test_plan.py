# SPDX-License-Identifier: Apache-2.0
"""What crosses between controller and host: read strictly, digested canonically, folded and undone."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import fleet_facts, plan_steps, plan_steps_cx7
from tether_hw.fleet.render import engine_unit
from tether_hw.plan.canonical import DocumentError, canonical, digest, file_text, load, text_digest
from tether_hw.plan.checks import Check
from tether_hw.plan.effects import Change, Condition, fold
from tether_hw.plan.facts import Facts, differences, empty_config
from tether_hw.plan.kinds.base import StepData, make_step
from tether_hw.plan.kinds.engine_config import EngineConfig
from tether_hw.plan.kinds.engine_roster import EngineRoster
from tether_hw.plan.kinds.engine_service import EngineService
from tether_hw.plan.kinds.host_reboot import HostReboot
from tether_hw.plan.kinds.nic_host_vfs import NicHostVfs
from tether_hw.plan.kinds.nic_mtu import NicMtu
from tether_hw.plan.kinds.nic_queues import NicQueues
from tether_hw.plan.kinds.nic_reset import NicReset
from tether_hw.plan.kinds.nic_ring import NicRing
from tether_hw.plan.kinds.registry import KINDS, parse_data
from tether_hw.plan.lane import Lane, lane_mac
from tether_hw.plan.order import in_order, phase
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.plan import HostPlan, Plan
from tether_hw.plan.shape import ShapeError
from tether_hw.plan.step import DISRUPTIONS, Step, worse
from tether_hw.plan.unit import UnitError, parse_unit
from tether_hw.plan.verbs import FactsRequest, Reply, Request

KEY = "1a" * 32
BUNDLE = fleet_facts.BUNDLE
UNIT = engine_unit(HostPaths(), "tether", BUNDLE, ["af_xdp"])
PEER = {"name": "b", "keys": [KEY], "link": "f", "hail": {"mac": "02:00:00:00:00:01", "vlan": None}}
ROSTER = {"schema": "tether.roster/1", "peers": [PEER]}
ENGINE = {"schema": "tether.engine/1", "node": "a"}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_canonical_json(value: Any) -> None:
    text = canonical(value)
    assert text.isascii()
    assert load(text) == value
    assert canonical(load(text)) == text
    assert load(file_text(value)) == value


def test_canonical_json_is_fixed() -> None:
    assert canonical({"b": [1, True, None], "a": "ä"}) == '{"a":"\\u00e4","b":[1,true,null]}'
    assert digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 2}', "NaN", "[Infinity]", "[" * 65 + "]" * 65, "{", b"\xff", "", '"' + "x" * 200 + '"', "9" * 5000],
)
def test_what_is_no_document(text: str | bytes) -> None:
    with pytest.raises(DocumentError):
        load(text, limit=6000 if len(text) > 4000 else 150)


def sample_facts() -> Facts:
    return plan_steps.carded()


def service_config(service: str, bundle: str | None, unit: str | None) -> dict[str, Any]:
    engine = {"engine": {"service": service, "bundle": bundle, "unit_sha256": unit}}
    return fleet_facts.merge(sample_facts().config, engine)


SAMPLES: list[StepData] = [
    *plan_steps.CARD_SAMPLES,
    *plan_steps_cx7.SAMPLES,
    NicMtu("data0", 3000),
    NicQueues("data0", {"rx": 4, "tx": 4}),
    NicQueues("eth1", {"combined": 8}),
    NicRing("eth1", {"rx": 4096, "tx": 4096}),
    HostReboot.planned(plan_steps.carded().config, (), "firmware settings"),
    EngineConfig.write(ENGINE),
    EngineConfig.remove(),
    EngineRoster.write(ROSTER),
    EngineRoster("restore", None, "9" * 64),
    EngineService.starting("systemd", BUNDLE, UNIT),
    EngineService("stop", "supervised"),
    EngineService("remove", "systemd"),
    NicHostVfs("0000:03:00.0", 2),
    NicReset("0000:03:00.0 starts with NUM_OF_VFS=16", 1, (), "0000:03:00.0", 3, 1),
]


def test_every_kind_is_sampled() -> None:
    assert {data.kind for data in SAMPLES} == set(KINDS)
    assert all(phase(data) >= 0 for data in SAMPLES)


@pytest.mark.parametrize("data", SAMPLES, ids=lambda data: data.kind)
def test_step_data_crosses(data: StepData) -> None:
    document = data.to_dict()
    assert parse_data(data.kind, json.loads(json.dumps(document))) == data
    assert data.disruption in DISRUPTIONS
    for argv in data.argv(HostPaths()):
        assert all(isinstance(word, str) and word for word in argv)
    with pytest.raises(ShapeError, match="unknown field"):
        parse_data(data.kind, {**document, "extra": 1})
    for name in document:
        with pytest.raises(ShapeError):
            parse_data(data.kind, {key: value for key, value in document.items() if key != name})
        with pytest.raises(ShapeError):
            parse_data(data.kind, {**document, name: 3.5})


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("nic_mtu", {"device": "a b", "mtu": 1500}),
        ("nic_mtu", {"device": "../x", "mtu": 1500}),
        ("nic_mtu", {"device": "-x", "mtu": 1500}),
        ("nic_mtu", {"device": "x" * 16, "mtu": 1500}),
        ("nic_mtu", {"device": "data0\n", "mtu": 1500}),
        ("nic_mtu", {"device": "data0", "mtu": True}),
        ("nic_mtu", {"device": "data0", "mtu": 67}),
        ("nic_queues", {"device": "data0", "queues": None}),
        ("nic_queues", {"device": "data0", "queues": {"combined": 0}}),
        ("nic_queues", {"device": "data0", "queues": {"combined": 1, "rx": 1}}),
        ("nic_ring", {"device": "data0", "ring": {"rx": 1}}),
        ("engine_config", {"action": "write", "content": ENGINE, "sha256": "0" * 64}),
        ("engine_config", {"action": "remove", "content": None, "sha256": "0" * 64}),
        ("engine_config", {"action": "restore", "content": None, "sha256": None}),
        ("engine_config", {**EngineConfig.write({"schema": "other/1"}).to_dict()}),
        ("engine_roster", EngineRoster.write({**ROSTER, "peers": [{**PEER, "keys": []}]}).to_dict()),
        ("engine_roster", EngineRoster.write({**ROSTER, "peers": [{**PEER, "keys": ["to be made"]}]}).to_dict()),
        ("engine_service", {**EngineService.starting("supervised", BUNDLE, None).to_dict(), "bundle": None}),
        ("engine_service", {**EngineService.starting("systemd", BUNDLE, UNIT).to_dict(), "manager": "supervised"}),
        ("engine_service", {**EngineService.starting("systemd", BUNDLE, UNIT).to_dict(), "unit_sha256": "0" * 64}),
        ("engine_service", EngineService.starting("systemd", BUNDLE, UNIT + "ExecStartPost=/bin/sh\n").to_dict()),
        ("nic_reboot", {}),
    ],
)  # fmt: skip
def test_data_that_no_host_carries_out(kind: str, data: dict[str, Any]) -> None:
    with pytest.raises(ShapeError):
        parse_data(kind, data)


def test_service_undo() -> None:
    start = EngineService.starting("systemd", BUNDLE, UNIT)
    assert start.undo(service_config("absent", None, None)) == EngineService("remove", "systemd")
    old = "c" * 64
    back = start.undo(service_config("stopped", old, "d" * 64))
    assert back == EngineService("stop", "systemd", old, None, "d" * 64)
    stop = EngineService("stop", "systemd")
    assert stop.undo(service_config("running", old, "d" * 64)) == EngineService("start", "systemd", old, None, "d" * 64)
    assert "not set up by us" in str(stop.undo(service_config("running", None, "d" * 64)))
    assert stop.disrupts(service_config("running", old, None)) == "traffic"
    assert start.disrupts(service_config("stopped", old, None)) == "none"


def test_a_file_in_our_spelling_is_undone_by_content_another_by_its_bytes() -> None:
    ours = {"engine": {"config": ENGINE, "config_sha256": text_digest(file_text(ENGINE))}}
    config = fleet_facts.merge(sample_facts().config, ours)
    assert EngineConfig.remove().undo(config) == EngineConfig.write(ENGINE)
    config["engine"]["config_sha256"] = "9" * 64
    assert EngineConfig.remove().undo(config) == EngineConfig("restore", None, "9" * 64)


def test_a_step_without_a_way_back_says_why() -> None:
    config = fleet_facts.merge(sample_facts().config, {"nics": {"eth1": {"ring": None}}})
    step = make_step(NicRing("eth1", {"rx": 64, "tx": 64}), config, HostPaths(), 1, "a", "east")
    assert step.undo is None
    assert step.undo_reason == "eth1 shows no ring depth to go back to"
    assert Step.parse(step.to_dict()) == step
    with pytest.raises(ShapeError, match="either an undo or the reason"):
        Step.parse({**step.to_dict(), "undo_reason": None})


def test_order_stops_first_and_starts_last() -> None:
    pairs: list[tuple[str | None, StepData]] = [(None, data) for data in reversed(SAMPLES)]
    kinds = [f"{data.kind}/{getattr(data, 'action', '')}" for _, data in in_order(pairs)]
    assert kinds[0] == "engine_service/stop"
    assert kinds[-1] == "engine_service/start"
    assert kinds.index("nic_queues/") < kinds.index("nic_ring/") < kinds.index("nic_mtu/")


def test_fold_leaves_the_facts_alone() -> None:
    config = sample_facts().config
    before = copy.deepcopy(config)
    after = fold(config, [Change(("nics", "data0", "mtu"), 1500, 9000)])
    assert config == before
    assert differences(before, after) == [{"path": ["nics", "data0", "mtu"], "before": 1500, "after": 9000}]
    with pytest.raises(ValueError, match=r"no nics\.data9\.mtu"):
        fold(config, [Change(("nics", "data9", "mtu"), 1, 2)])


def test_conditions() -> None:
    config = sample_facts().config
    assert Condition(("nics", "data0", "mtu"), 1500).holds(config)
    assert not Condition(("nics", "data0", "mtu"), 1501).holds(config)
    assert not Condition(("nics", "data0", "gone"), None).holds(config)
    assert not Condition(("nics", "data0", "xdp", "foreign"), 0).holds(config)


def test_worse() -> None:
    assert worse("none", "traffic") == "traffic"
    assert worse("reboot", "driver-reload") == "reboot"


# --- facts ----------------------------------------------------------------------------------------


def test_facts_cross() -> None:
    facts = sample_facts()
    assert Facts.parse(json.loads(json.dumps(facts.to_dict()))) == facts


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every field of every object in a document, lists by their first item."""
    found = []
    if isinstance(value, dict):
        for key, item in value.items():
            found.append((*at, key))
            found += paths(item, (*at, key))
    elif isinstance(value, list) and value:
        found += paths(value[0], (*at, 0))
    return found


TABLES = {
    ("config", "nics"),
    ("status", "tools"),
    ("status", "kernel_config"),
    ("status", "carriers"),
    ("status", "limits"),
}
INNER_TABLES = {"firmware", "vf_drivers", "representors", "rules"}


def mutated(document: dict[str, Any], path: tuple[Any, ...], change: str) -> dict[str, Any]:
    """A copy with the field at path dropped, of another type, or with a stranger beside it."""
    result = copy.deepcopy(document)
    place: Any = result
    for part in path[:-1]:
        place = place[part]
    if change == "dropped":
        del place[path[-1]]
    elif change == "type":
        place[path[-1]] = 1.5
    else:
        place["stranger"] = 1
    return result


@pytest.mark.parametrize("change", ["dropped", "type", "stranger"])
def test_facts_are_read_strictly(change: str) -> None:
    document = sample_facts().to_dict()
    document["status"]["owned"] = [{"path": ["nics", "data0", "mtu"], "before": 1500, "set": 3000}]
    document["status"]["pending"] = {"run": "r1", "holder": "me", "since": "now"}
    assert Facts.parse(document).host == "a"
    for path in paths(document):
        if path[:-1] in TABLES and change != "type":
            continue  # any name may stand in a table, or be missing
        if path[-2:-1] and path[-2] in INNER_TABLES and change == "dropped":
            continue
        if path[-1] in ("before", "set") and change == "type":
            continue  # any value may have been there
        with pytest.raises(ShapeError):
            Facts.parse(mutated(document, path, change))


# --- plans ----------------------------------------------------------------------------------------


def sample_plan() -> Plan:
    facts = fleet_facts.facts("a", {"data0": "veth"})
    config = facts.config
    steps = []
    for number, data in enumerate((NicMtu("data0", 3000), EngineConfig.write(ENGINE), EngineRoster.write(ROSTER)), 1):
        steps.append(make_step(data, config, HostPaths(), number, "a", "data0" if number == 1 else None))
        config = fold(config, steps[-1].effect)
    lane = Lane(0, "data0", "data0", 0, "f", "af_xdp", {"mac": lane_mac("a", "data0", 0), "vlan": None}, 0)
    ends = [{"lane": 0, "nic": "data0", "queue": 0}]
    checks = (
        Check("config", "config", None, {"digest": digest(config)}),
        Check("engine", "engine", None, {}),
        Check("lane-0", "lane", "data0", lane.to_dict()),
        Check("link-f-b", "link", "data0", {
            "link": "f", "peer": "b", "lanes": ends, "peer_lanes": ends, "delivers": "by-lane",
        }),
    )  # fmt: skip
    host = HostPlan("a", "/", facts.digest, facts.config, BUNDLE, tuple(steps), checks)
    notes = ({"host": "a", "note": "a note"},)
    return Plan("2026-01-01T00:00:00Z", "0.1.0", "inventory.yaml", {"a": host}, notes, ({"host": "b", "reason": "no"},))


def test_plans_cross() -> None:
    plan = sample_plan()
    assert Plan.load(plan.text()) == plan
    assert plan.changes == 3
    assert plan.hosts["a"].disruption == "traffic"
    assert plan.hosts["a"].expected()["nics"]["data0"]["mtu"] == 3000


def test_the_time_is_not_part_of_a_plans_identity() -> None:
    plan = sample_plan()
    document = plan.to_dict()
    document["made"] = "later"
    assert Plan.parse(document).id == plan.id
    document["suite"] = "0.2.0"
    with pytest.raises(ShapeError, match="changed after it was made"):
        Plan.parse(document)


def test_plans_are_read_strictly() -> None:
    document = sample_plan().to_dict()
    carried = {"content", "data", "before", "after", "equals"}
    for path in paths(document):
        if carried & set(path[:-1]) or path[:1] == ("steps",):
            continue
        for change in ("dropped", "type", "stranger"):
            if change == "stranger" and path[-2:-1] in (("hosts",), ("nics",)):
                continue
            with pytest.raises(ShapeError):
                Plan.parse(mutated(document, path, change))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("changes",), 0),
        (("id",), "0" * 64),
        (("steps", 0, "summary"), "harmless"),
        (("hosts", "a", "config", "nics", "data0", "mtu"), 1400),
        (("hosts", "a", "steps", 0, "data", "mtu"), 9000),
        (("hosts", "a", "steps", 0, "host"), "b"),
        (("hosts", "a", "steps", 1, "id"), "01-nic_mtu-data0"),
        (("hosts", "a", "steps", 0, "argv"), [["rm", "-rf", "/"]]),
        (("hosts", "a", "steps", 0, "disruption"), "none"),
        (("hosts", "a", "bundle"), "0" * 64),
        (("hosts", "a", "root"), "/elsewhere"),
        (("not_for_apply",), ["no"]),
    ],
)
def test_a_plan_that_was_changed_is_refused(path: tuple[Any, ...], value: Any) -> None:
    document = sample_plan().to_dict()
    place: Any = document
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    with pytest.raises(ShapeError):
        Plan.parse(document)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_any_document_is_read_or_refused(value: Any) -> None:
    readers: tuple[Any, ...] = (
        Plan.parse,
        Facts.parse,
        Step.parse,
        Check.parse,
        Request.parse,
        Reply.parse,
        Lane.parse,
    )
    for read in readers:
        with pytest.raises(ShapeError):
            read(value)


# --- lanes, paths, unit, verbs --------------------------------------------------------------------


def test_lane_addresses_are_local_and_unicast() -> None:
    seen = {lane_mac(node, nic, lane) for node in ("a", "b") for nic in ("x", "y") for lane in range(64)}
    assert len(seen) == 2 * 2 * 64
    assert all(int(mac[:2], 16) & 3 == 2 for mac in seen)
    # The parts are apart: "ab" + "c" is not "a" + "bc".
    assert lane_mac("ab", "c", 1) != lane_mac("a", "bc", 1)
    assert lane_mac("a", "c", 11) != lane_mac("a", "c1", 1)


def test_lanes_cross() -> None:
    for address in ({"mac": lane_mac("a", "x", 0), "vlan": 7}, {"udp": "127.0.0.1:47001"}):
        lane = Lane(3, "x", "eth0", 1, "f", "auto", address)
        assert Lane.parse(lane.to_dict()) == lane
    for wrong in ({"mac": "02:00"}, {"mac": lane_mac("a", "x", 0), "vlan": 4095}, {"udp": "x", "mac": "y"}, {}):
        with pytest.raises(ShapeError):
            Lane.parse({**lane.to_dict(), "address": wrong})


def test_paths() -> None:
    paths = HostPaths("/home/me/h")
    assert paths.engine_config == "/home/me/h/etc/tether/engine.json"
    assert HostPaths().bundle(BUNDLE) == f"/opt/tether/{BUNDLE}"
    assert HostPaths().counter == "/var/lib/tether/engine/hail.counter"
    for wrong in ("relative", "~/x", "/a\nb", ""):
        with pytest.raises(ValueError, match="absolute"):
            HostPaths(wrong)


@pytest.mark.parametrize("carriers", [["udp"], ["af_packet"], ["af_xdp"], ["auto"], ["af_packet", "af_xdp"]])
def test_units_have_only_the_capabilities_of_their_carriers(carriers: list[str]) -> None:
    service = parse_unit(engine_unit(HostPaths(), "tether", BUNDLE, carriers))["Service"]
    expected = {
        "udp": "", "af_packet": "CAP_NET_RAW", "af_xdp": "CAP_BPF CAP_NET_ADMIN CAP_NET_RAW",
    }  # fmt: skip
    strongest = "udp" if carriers == ["udp"] else "af_packet" if carriers == ["af_packet"] else "af_xdp"
    assert service["AmbientCapabilities"] == service["CapabilityBoundingSet"] == expected[strongest]
    assert service["NoNewPrivileges"] == "yes"
    assert service["ExecStart"].startswith(f"/opt/tether/{BUNDLE}/bin/tether-engine serve ")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("User=tether", "User=root\nExecStartPre=/bin/sh"),
        ("NoNewPrivileges=yes", "NoNewPrivileges=no"),
        ("/bin/tether-engine serve", "/bin/sh -c"),
        (f"/opt/tether/{BUNDLE}", "/opt/tether/../../tmp"),
        ("[Unit]", "[Socket]"),
        ("User=tether\n", ""),
        ("User=tether", "User=tether\nUser=other"),
        ("User=tether", "User=te ther"),
        ("Restart=on-failure", "Restart"),
        ("Restart=on-failure", "Restart=always"),
        ("UMask=0077", "UMask=0077 \\"),
        ("UMask=0077", "UMask=0077\x07"),
        ("[Service]", "[Unit]"),
    ],
)
def test_units_that_do_not_travel(old: str, new: str) -> None:
    assert old in UNIT
    with pytest.raises(UnitError):
        parse_unit(UNIT.replace(old, new, 1))


def test_a_unit_ends_its_last_line() -> None:
    with pytest.raises(UnitError, match="no end"):
        parse_unit(UNIT.rstrip("\n"))


def test_requests_and_replies_cross() -> None:
    request = Request("facts", "/", FactsRequest("a", ({"name": "data0"},)).to_dict(), BUNDLE)
    assert Request.parse(request.to_dict()) == request
    assert FactsRequest.parse(request.body).devices == ({"name": "data0"},)
    for wrong in ({"verb": "shell"}, {"root": "x"}, {"suite": "short"}, {"extra": 1}):
        with pytest.raises(ShapeError):
            Request.parse({**request.to_dict(), **wrong})
    wrong_devices: list[list[dict[str, str]]] = [[{}], [{"name": "a", "mac": "b"}], [{"path": "/dev"}]]
    for devices in wrong_devices:
        with pytest.raises(ShapeError):
            FactsRequest.parse({"host": "a", "devices": devices, "nv": []})
    reply = Reply("facts", False, {}, "refused", "no")
    assert Reply.parse(reply.to_dict()) == reply
    with pytest.raises(ShapeError):
        Reply.parse({**reply.to_dict(), "ok": True})


def test_an_untouched_host_has_nothing_of_ours() -> None:
    assert empty_config()["engine"]["service"] == "absent"
