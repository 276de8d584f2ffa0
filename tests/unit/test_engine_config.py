# SPDX-License-Identifier: Apache-2.0
"""Engine and roster files: what is read, what is refused, and that every mistake is reported at once."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tether_hw.transport import config
from tether_hw.transport.errors import ConfigError

ENGINE: dict[str, Any] = {
    "schema": "tether.engine/1",
    "node": "a",
    "user": "tether",
    "identity": "/etc/tether/identity.key",
    "counter": "/var/lib/tether/engine/hail.counter",
    "roster": "/etc/tether/roster.json",
    "socket": "/run/tether/engine.sock",
    "metrics": {"listen": "127.0.0.1:9464"},
    "links": {
        "fabric0": {
            "mtu": 1500,
            "rate_bps": 10_000_000_000,
            "rtt_ns": 40_000,
            "vlan": None,
            "silence_ns": 1_000_000,
            "delivers": "by-lane",
        }
    },
    "lanes": [
        {
            "lane": lane,
            "nic": "data0",
            "device": "data0",
            "queue": lane,
            "link": "fabric0",
            "carrier": "auto",
            "address": {"mac": f"02:74:00:00:00:0{lane}", "vlan": None},
            "cpu": lane,
        }
        for lane in (0, 1)
    ],
    "limits": {
        "max_message_bytes": 16_777_216,
        "rx_cells": 65_536,
        "tx_cells": 16_384,
        "max_channels": 64,
        "max_flows": 64,
        "lamp_per_s": 10_000,
        "lamp_source_per_s": 100,
        "agreement_per_s": 500,
        "rekey_s": 120,
    },
}
ROSTER: dict[str, Any] = {
    "schema": "tether.roster/1",
    "peers": [
        {"name": "b", "keys": ["b0" * 32], "link": "fabric0", "hail": {"mac": "02:74:00:00:01:00", "vlan": None}},
        {
            "name": "c",
            "keys": ["c0" * 32, "c1" * 32],
            "link": "fabric0",
            "hail": {"mac": "02:74:00:00:02:00", "vlan": None},
        },
    ],
}


def problems(document: Any, roster: bool = False) -> dict[str, str]:
    own = config.parse_engine(ENGINE, "engine.json")
    with pytest.raises(ConfigError) as caught:
        if roster:
            config.parse_roster(document, "roster.json", own)
        else:
            config.parse_engine(document, "engine.json")
    return {problem.field: problem.message for problem in caught.value.problems}


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the field at `a.0.b` set, or removed for `...`."""
    result = copy.deepcopy(document)
    target: Any = result
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        target = target[step]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return result


def test_what_is_written_is_read() -> None:
    parsed = config.parse_engine(ENGINE, "engine.json")
    assert parsed.to_json() == ENGINE
    assert config.parse_engine(json.loads(config.dumps(parsed.to_json())), "again") == parsed
    roster = config.parse_roster(ROSTER, "roster.json", parsed)
    assert roster.to_json() == ROSTER


def test_the_written_text_does_not_depend_on_the_order_of_keys() -> None:
    backwards = dict(reversed(list(ENGINE.items())))
    assert config.dumps(backwards) == config.dumps(ENGINE)


@pytest.mark.parametrize("policy", ["fair", "srpt", "reserved"])
def test_the_grant_policy_is_written_where_it_is_not_the_usual_one(policy: str) -> None:
    parsed = config.parse_engine(changed(ENGINE, "limits.grant_policy", policy), "engine.json")
    assert parsed.limits.grant_policy == policy
    written = parsed.to_json()
    assert written["limits"].get("grant_policy", "fair") == policy
    assert ("grant_policy" in written["limits"]) == (policy != "fair")
    assert config.parse_engine(written, "again") == parsed


CONTACT: dict[str, Any] = {
    "windows": [
        {"start_unix_ns": 1_795_000_000_000_000_000, "length_ns": 600_000_000_000},
        {"start_unix_ns": 1_795_001_000_000_000_000, "length_ns": 60_000_000_000, "every_ns": 5_700_000_000_000},
    ],
    "rtt": [{"from_unix_ns": 1_795_000_000_000_000_000, "rtt_ns": 1_200_000_000}],
}


def test_contact_is_written_where_there_is_a_plan() -> None:
    assert "contact" not in config.parse_engine(ENGINE, "engine.json").to_json()["links"]["fabric0"]
    parsed = config.parse_engine(changed(ENGINE, "links.fabric0.contact", CONTACT), "engine.json")
    assert parsed.to_json()["links"]["fabric0"]["contact"] == CONTACT
    assert config.parse_engine(parsed.to_json(), "again") == parsed


@pytest.mark.parametrize(
    ("path", "value", "field", "words"),
    [
        ("", [], "", "must be an object, is an array"),
        ("", {"windows": [], "rtt": []}, "", "says nothing"),
        ("rtt", ..., ".rtt", "missing"),
        ("windows", {}, ".windows", "must be an array"),
        ("windows.0.length_ns", 0, ".windows[0].length_ns", "must be 1 to"),
        ("windows.0.start_unix_ns", "today", ".windows[0].start_unix_ns", "must be a whole number"),
        ("windows.0.end", 5, ".windows[0].end", "unknown field"),
        ("windows.1.every_ns", 60_000_000_000, ".windows[1].every_ns", "it never closes"),
        ("windows.1.every_ns", None, ".windows[1].start_unix_ns", ""),
        ("rtt.0.rtt_ns", 1 << 46, ".rtt[0].rtt_ns", "must be 1 to"),
    ],
)
def test_mistakes_in_contact_have_a_place(path: str, value: Any, field: str, words: str) -> None:
    contact = copy.deepcopy(CONTACT)
    if (path, value) == ("windows.1.every_ns", None):
        contact["windows"][1] = {"start_unix_ns": 1_795_000_599_000_000_000, "length_ns": 1}
        words = "before the window before it has ended"
    elif path:
        contact = changed(contact, path, value)
    else:
        contact = value
    found = problems(changed(ENGINE, "links.fabric0.contact", contact))
    assert words in found[f"links.fabric0.contact{field}"]


def test_a_table_is_in_order() -> None:
    contact = {**CONTACT, "rtt": [CONTACT["rtt"][0], CONTACT["rtt"][0]]}
    found = problems(changed(ENGINE, "links.fabric0.contact", contact))
    assert found == {"links.fabric0.contact.rtt[1].from_unix_ns": "is not after the entry before it"}


def test_early_data_is_off_unless_asked_for() -> None:
    assert config.parse_engine(ENGINE, "engine.json").limits.early_bytes == 0
    document = changed(ENGINE, "limits.early_bytes", 1000)
    assert config.parse_engine(document, "engine.json").to_json() == document
    assert "0 to 65472" in problems(changed(ENGINE, "limits.early_bytes", 65473))["limits.early_bytes"]


def test_limits_and_metrics_may_be_left_out() -> None:
    document = changed(changed(ENGINE, "limits", ...), "metrics", ...)
    parsed = config.parse_engine(document, "engine.json")
    assert parsed.limits == config.Limits()
    assert parsed.metrics_listen is None


@pytest.mark.parametrize(
    ("path", "value", "field", "words"),
    [
        ("schema", "tether.engine/2", "schema", "must be 'tether.engine/1'"),
        ("node", "a b", "node", "must be a name"),
        ("node", 7, "node", "must be a string, is a whole number"),
        ("node", ..., "node", "missing"),
        ("identity", "identity.key", "identity", "absolute path"),
        ("socket", "/run/" + "x" * 120, "socket", "longer than 107"),
        ("metrics", {"listen": "localhost:1"}, "metrics.listen", "localhost"),
        ("metrics", {"port": 1}, "metrics.port", "unknown field"),
        ("nodes", 1, "nodes", "unknown field"),
        ("links", [], "links", "must be an object, is an array"),
        ("links.fabric0.mtu", 127, "links.fabric0.mtu", "128 to 65535"),
        ("links.fabric0.mtu", True, "links.fabric0.mtu", "is true or false"),
        ("links.fabric0.mtu", 1500.0, "links.fabric0.mtu", "is a number"),
        ("links.fabric0.vlan", 4095, "links.fabric0.vlan", "1 to 4094"),
        ("links.fabric0.delivers", "somehow", "links.fabric0.delivers", "one of by-lane"),
        ("limits.grant_policy", "first", "limits.grant_policy", "must be one of fair, srpt, reserved"),
        ("lanes", {}, "lanes", "must be an array"),
        ("lanes.1.lane", 0, "lanes[1].lane", "is that of lanes[0] too"),
        ("lanes.1.lane", 5, "lanes", "without a gap"),
        ("lanes.1.queue", 0, "lanes[1].queue", "is that of lanes[0] too"),
        ("lanes.1.queue", -1, "lanes[1].queue", "0 to 65535"),
        ("lanes.1.address", {"mac": "02:74:00:00:00:00", "vlan": None}, "lanes[1].address", "is that of lanes[0] too"),
        ("lanes.1.address", {"mac": "03:74:00:00:00:01", "vlan": None}, "lanes[1].address.mac", "group address"),
        ("lanes.1.address", {"mac": "02-74-00-00-00-01", "vlan": None}, "lanes[1].address.mac", "must be a MAC"),
        ("lanes.1.address", {"mac": "02:74:00:00:00:01", "vlan": 7}, "lanes[1].address.vlan", "the link's is None"),
        ("lanes.1.address", {"udp": "127.0.0.1"}, "lanes[1].address.udp", "ip:port"),
        ("lanes.1.address", {"udp": "127.0.0.1:0"}, "lanes[1].address.udp", "1 to 65535"),
        ("lanes.1.carrier", "dpdk", "lanes[1].carrier", "one of auto"),
        ("lanes.1.carrier", "udp", "lanes[1].address", "needs a UDP address"),
        ("lanes.1.link", "fabric9", "lanes[1].link", "no link is named"),
        ("lanes.1.device", "a/b", "lanes[1].device", "device name"),
        ("limits.rx_cells", 1, "limits.rx_cells", "64 to"),
        ("limits.rx_cell", 1, "limits.rx_cell", "unknown field"),
    ],
)
def test_each_mistake_of_an_engine_file(path: str, value: Any, field: str, words: str) -> None:
    found = problems(changed(ENGINE, path, value))
    assert field in found, found
    assert words in found[field]


@pytest.mark.parametrize(
    ("path", "value", "field", "words"),
    [
        ("peers.0.keys", [], "peers[0].keys", "not 0"),
        ("peers.0.keys", ["b0" * 32] * 3, "peers[0].keys", "not 3"),
        ("peers.0.keys.0", "B0" * 32, "peers[0].keys[0]", "64 hex digits"),
        ("peers.0.keys.0", None, "peers[0].keys[0]", "64 hex digits"),
        ("peers.1.keys.1", "b0" * 32, "peers[1].keys", "also the key of b"),
        ("peers.0.keys.0", "00" * 32, "peers[0].keys[0]", "point of low order"),
        ("peers.1.keys.1", "00" * 31 + "80", "peers[1].keys[1]", "point of low order"),
        ("peers.0.keys.0", "ed" + "ff" * 31, "peers[0].keys[0]", "point of low order"),
        ("peers.1.name", "b", "peers[1].name", "is peers[0] too"),
        ("peers.1.name", "a", "peers[1].name", "this node itself"),
        ("peers.1.link", "fabric9", "peers[1].link", "no link is named"),
        ("peers.1.hail", {"mac": "02:74:00:00:01:00", "vlan": None}, "peers[1].hail", "address of peers[0] too"),
        ("peers.1.hail", {"udp": "10.0.0.1:4"}, "peers[1].hail", "not of the kind"),
        ("peers.1.rtt", 1, "peers[1].rtt", "unknown field"),
        ("peers", None, "peers", "must be an array, is null"),
    ],
)
def test_each_mistake_of_a_roster(path: str, value: Any, field: str, words: str) -> None:
    found = problems(changed(ROSTER, path, value), roster=True)
    assert field in found, found
    assert words in found[field]


def test_the_node_is_not_its_own_peer_by_its_key_either() -> None:
    own = config.parse_engine(ENGINE, "engine.json")
    assert config.parse_roster(ROSTER, "roster.json", own, ["a0" * 32]).peers
    with pytest.raises(ConfigError, match="c1c1c1c1c1c1c1c1... is this node's own key"):
        config.parse_roster(ROSTER, "roster.json", own, ["a0" * 32, "c1" * 32])


def test_all_mistakes_are_reported_at_once() -> None:
    document = changed(ENGINE, "node", 1)
    document["lanes"][0]["queue"] = "x"
    document["links"]["fabric0"]["mtu"] = 1
    document["extra"] = None
    assert set(problems(document)) == {"node", "lanes[0].queue", "links.fabric0.mtu", "extra"}


def test_a_peer_on_two_links_has_one_identity() -> None:
    two = copy.deepcopy(ENGINE)
    two["links"]["fabric1"] = dict(two["links"]["fabric0"])
    own = config.parse_engine(two, "engine.json")
    roster = copy.deepcopy(ROSTER)
    roster["peers"].append(dict(roster["peers"][0], link="fabric1"))
    assert len(config.parse_roster(roster, "roster.json", own).peers) == 3
    roster["peers"][2]["keys"] = ["dd" * 32]
    with pytest.raises(ConfigError, match="differ from the other entry"):
        config.parse_roster(roster, "roster.json", own)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ":1:2: not JSON"),
        ('{"a": 1,\n "a": 2}', "stands twice"),
        ("[]", "must be an object, is an array"),
    ],
)
def test_files_that_are_no_documents(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "engine.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        config.load_engine(path)


def test_unreadable_files_say_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the engine file: No such file"):
        config.load_engine(tmp_path / "none.json")
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        config.load_roster(tmp_path / "latin")
