# SPDX-License-Identifier: Apache-2.0
"""Somebody else's rules are in the card's tables before the boot plan comes to it: they stay, and ours come beside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.drivers.common.transaction import Applied, Scene
from tests.drivers.mlx5 import build
from tests.drivers.mlx5.build import PF0
from tether_hw.agent import boot_plan, command, readback
from tether_hw.agent.errors import AgentError

QUEUE = {
    "queues": 8,
    "steering": {"rules": [{"name": "one", "match": {"destination": "02:00:5e:00:53:01"}, "action": {"queue": 3}}]},
}
SWITCH = {
    "eswitch": "switchdev",
    "vfs": 2,
    "steering": {
        "rules": [{"name": "one", "match": {"destination": "02:00:5e:00:53:01"}, "action": {"redirect": {"vf": 1}}}]
    },
}
THEIRS = "02:00:00:00:99:01"


class Booting:
    """A host with rules that a run put there, and somebody who comes first at its next boot."""

    def __init__(self, root: Path, **says: Any) -> None:
        self.machine = build.machine(root)
        self.scene = Scene(self.machine, root)
        self.inventory = self.scene.inventory({"data0": {"family": "cx7", "device": {"pci": PF0}, **says}})
        self.applied: Applied = self.scene.apply(self.inventory, self.scene.plan(self.inventory))
        assert self.applied.state == "confirmed", self.applied.why
        self.config = self.facts()

    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = self.scene.facts(self.inventory).config["functions"][PF0]
        return found

    def boots(self, *first: str) -> dict[str, Any]:
        """Commands of somebody else run before the boot plan; how that went."""

        def at_boot() -> None:
            for line in first:
                command.checked(line.split(), 5.0)

        self.machine.at_boot = at_boot
        with self.scene._agent():
            self.machine.boot()
            with patch.object(self.machine, "boot"):  # it has, with the programs that somebody else runs there
                result = self.scene.boots()
        assert result is not None
        return result


def ethtool(location: int, more: str = "") -> str:
    return f"ethtool -N data0 flow-type ether dst {THEIRS} {more} action 1 loc {location}"


@pytest.fixture
def booting(tmp_path: Path) -> Callable[..., Booting]:
    return lambda **says: Booting(tmp_path, **says)


def test_filters_of_ethtool_beside_ours_stay(booting: Callable[..., Booting]) -> None:
    host = booting(**QUEUE)
    result = host.boots("ethtool -L data0 combined 8", "ethtool -K data0 ntuple on", ethtool(7))
    assert result["ok"], result
    now = host.facts()["ntuple"]["rules"]
    assert {place: rule for place, rule in now.items() if place != "7"} == host.config["ntuple"]["rules"]
    assert "7" in now
    # The next boot without them leaves exactly what was confirmed.
    assert host.boots()["ok"]
    assert host.facts() == host.config


@pytest.mark.parametrize("more", ["", "proto 0x88b5"])  # a rule that we could have written is theirs all the same
def test_a_location_that_is_taken_is_a_refusal_and_stays_theirs(booting: Callable[..., Booting], more: str) -> None:
    host = booting(**QUEUE)
    (ours,) = host.config["ntuple"]["rules"]
    result = host.boots("ethtool -L data0 combined 8", "ethtool -K data0 ntuple on", ethtool(int(ours), more))
    assert not result["ok"]
    assert f"somebody else's rule is at location {ours}" in result["why"]
    assert result["left"] == []
    now = host.facts()["ntuple"]
    assert set(now["rules"]) == {ours} and now["on"]
    assert now["rules"] != host.config["ntuple"]["rules"]


def test_what_fails_later_takes_ours_away_and_leaves_theirs(
    booting: Callable[..., Booting], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = booting(**QUEUE)

    def wait_for(one: Any, staged: Any, conditions: Any) -> None:
        readback.wait_for(one, staged, conditions)
        if any(item.path[-1] == "ntuple" and len(item.equals["rules"]) == 2 for item in conditions):
            raise AgentError("and then something else")

    monkeypatch.setattr(boot_plan, "wait_for", wait_for)
    result = host.boots("ethtool -K data0 ntuple on", ethtool(7))
    assert not result["ok"] and "something else" in result["why"]
    assert result["left"] == []
    now = host.facts()["ntuple"]
    assert set(now["rules"]) == {"7"} and now["on"]


def test_filters_of_tc_beside_ours_stay(booting: Callable[..., Booting]) -> None:
    host = booting(**SWITCH)
    theirs = "tc filter add dev data0 ingress protocol 0x88b5 pref 77 handle 0x1 flower skip_hw action drop"
    result = host.boots("tc qdisc add dev data0 clsact", theirs)
    assert result["ok"], result
    now = host.facts()["flower"]["rules"]
    assert {key: now[key] for key in host.config["flower"]["rules"]} == host.config["flower"]["rules"]
