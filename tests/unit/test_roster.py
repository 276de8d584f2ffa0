# SPDX-License-Identifier: Apache-2.0
"""Revoked keys: no roster, no step and no way back has them, and everything else stays as it is."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet_facts import facts
from tether_hw.agent import revoked
from tether_hw.agent.errors import Locked, Refused
from tether_hw.agent.host import Host
from tether_hw.fleet.retire import roster_plan
from tether_hw.plan.canonical import file_text, text_digest
from tether_hw.plan.kinds.base import make_step
from tether_hw.plan.kinds.engine_roster import EngineRoster
from tether_hw.plan.kinds.nic_mtu import NicMtu
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.roster import config_without, keys_in, step_without, without
from tether_hw.plan.step import Step

B, C, C2 = "b" * 64, "c" * 64, "d" * 64


def roster(**peers: list[str]) -> dict[str, Any]:
    return {
        "schema": "tether.roster/1",
        "peers": [
            {"name": name, "keys": keys, "link": "fabric", "hail": {"udp": "10.0.0.2:4780"}, "lane": 0}
            for name, keys in peers.items()
        ],
    }


def holding(content: dict[str, Any] | None) -> dict[str, Any]:
    sha256 = None if content is None else text_digest(file_text(content))
    return facts("a", {"eth1": "veth"}, {"engine": {"roster": content, "roster_sha256": sha256}}).config


def step(before: dict[str, Any] | None, after: dict[str, Any]) -> Step:
    return make_step(EngineRoster.write(after), holding(before), HostPaths("/"), 1, "a", None)


def test_a_key_leaves_and_with_its_last_key_the_peer() -> None:
    both = roster(b=[B], c=[C, C2])
    assert keys_in(both) == {B: "b", C: "c", C2: "c"}
    assert without(both, [C]) == roster(b=[B], c=[C2])
    assert without(both, [C, C2]) == roster(b=[B])
    assert without(both, ["e" * 64]) is both
    assert without(None, [C]) is None


def test_a_step_is_as_if_the_key_had_never_been() -> None:
    one = step(roster(c=[C]), roster(b=[B], c=[C]))
    stripped = step_without(one, {C: "c"})
    assert stripped == step(roster(), roster(b=[B]))
    assert step_without(one, {}) is one
    mtu = make_step(NicMtu("eth1", 3000), holding(None), HostPaths("/"), 1, "a", "data")
    assert step_without(mtu, {C: "c"}) is mtu


def test_the_step_that_took_the_key_away_has_nothing_to_undo() -> None:
    stripped = step_without(step(roster(b=[B], c=[C]), roster(b=[B])), {C: "c"})
    now = holding(roster(b=[B]))
    assert all(condition.holds(now) for condition in (*stripped.pre, *stripped.post))


def test_the_first_step_is_undone_to_no_file() -> None:
    stripped = step_without(step(None, roster(b=[B], c=[C])), {C: "c"})
    assert stripped.undo is not None
    assert stripped.undo.data["action"] == "remove"
    assert all(condition.holds(holding(roster(b=[B]))) for condition in stripped.post)
    assert all(condition.holds(holding(None)) for condition in stripped.pre)


def test_bytes_of_a_snapshot_that_hold_the_key_are_not_restored() -> None:
    before = holding(roster(b=[B], c=[C]))
    before["engine"]["roster_sha256"] = "f" * 64  # in somebody's own spelling
    one = make_step(EngineRoster.write(roster(b=[B])), before, HostPaths("/"), 1, "a", None)
    assert one.undo is not None and one.undo.data["action"] == "restore"
    undo = step_without(one, {C: "c"}).undo
    assert undo is not None
    assert EngineRoster.parse(undo.data, "undo").content == roster(b=[B])


def test_a_snapshot_is_compared_without_the_key() -> None:
    config = holding(roster(b=[B], c=[C]))
    kept = copy.deepcopy(config)
    assert config_without(config, {C}) == holding(roster(b=[B]))
    assert config == kept


def test_the_plan_of_a_peer_is_its_own_roster_without_the_host() -> None:
    config = {"engine": {"roster": roster(b=[B], c=[C]), "roster_sha256": "f" * 64, "service": "running"}}
    plan, keys = roster_plan("a", facts("a", {"eth1": "veth"}, config), "c", [C2])
    assert plan is not None
    assert keys == {C}
    assert plan.expected()["engine"]["roster"] == roster(b=[B])
    assert [check.check for check in plan.checks] == ["config", "engine"]
    assert roster_plan("a", facts("a", {"eth1": "veth"}, config), "d", []) == (None, set())


@pytest.fixture
def host(tmp_path: Path) -> Host:
    one = Host(HostPaths(str(tmp_path)))
    one.make_state()
    Path(one.paths.etc).mkdir(parents=True)
    return one


def test_a_revoked_key_is_refused_in_any_later_plan(host: Host) -> None:
    assert revoked.revoke(host, "c", [C]) == {"revoked": [C]}
    assert revoked.revoke(host, "c", [C, C2]) == {"revoked": [C2]}
    assert revoked.read(host) == {C: "c", C2: "c"}
    revoked.check(host, [step(None, roster(b=[B]))])
    with pytest.raises(Refused, match="revoked key cccccccccccc of c"):
        revoked.check(host, [step(None, roster(b=[B], c=[C]))])


def test_a_key_in_use_or_a_host_that_is_held_is_not_revoked(host: Host) -> None:
    Path(host.paths.roster).write_text(json.dumps(roster(c=[C])))
    with pytest.raises(Refused, match="still has the key"):
        revoked.revoke(host, "c", [C])
    Path(host.paths.roster).unlink()
    host.lock.take("r1", "o@h", "apply")
    with pytest.raises(Locked):
        revoked.revoke(host, "c", [C])
    assert revoked.read(host) == {}
