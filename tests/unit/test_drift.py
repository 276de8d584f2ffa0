# SPDX-License-Identifier: Apache-2.0
"""Drift is judged from what a host answers: what differs, why, what is known noise, what is only not applied."""

from __future__ import annotations

import copy
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet_facts import facts
from tether_hw.errors import InputErrors
from tether_hw.fleet import drift
from tether_hw.fleet.drift import Seen
from tether_hw.fleet.inventory import Inventory, load
from tether_hw.plan.facts import Facts

TODAY = date(2026, 11, 23)
BOOT = "3f0b4f4e-0000-0000-0000-000000000000"
TEXT = """
tether: 1
hosts:
  a: {address: 10.0.0.1, groups: [racks], nics: {data: {device: {name: eth1}, mtu: 3000}}}
groups: {racks: {}}
"""


def inventory(tmp_path: Path, more: str = "") -> Inventory:
    path = tmp_path / "inventory.yaml"
    path.write_text(TEXT + more)
    return load(path)


def seen(config: dict[str, Any] | None = None, **more: Any) -> Seen:
    """A host that drifted by `config` from what was kept."""
    base = facts("a", {"eth1": "veth"})
    now = Facts.parse(facts("a", {"eth1": "veth"}, config).to_dict())
    record = {"run": "r1", "state": "confirmed", "at": "2026-11-22T00:00:00Z", "boot": BOOT, "config": base.config}
    answer: dict[str, Any] = {
        "facts": now.to_dict(),
        "kept": record,
        "boot": BOOT,
        "open_runs": [],
        "files": {"config": None, "roster": None, "unit": None},
        "log": {},
        "tools": [],
    }
    return Seen.parse({**answer, **more})


MTU = {"nics": {"eth1": {"mtu": 1400}}}


def judged(tmp_path: Path, one: Seen, more: str = "") -> list[dict[str, Any]]:
    return drift.judge(inventory(tmp_path, more), "a", one, None, TODAY)[0]


def test_a_host_as_kept_has_no_drift(tmp_path: Path) -> None:
    assert judged(tmp_path, seen()) == []


def test_a_host_without_a_record_has_none_either(tmp_path: Path) -> None:
    assert judged(tmp_path, seen(MTU, kept=None)) == []


def test_a_value_that_changed_is_told_with_both_values(tmp_path: Path) -> None:
    (found,) = judged(tmp_path, seen(MTU))
    assert (found["path"], found["was"], found["is"]) == (["nics", "eth1", "mtu"], 1500, 1400)
    assert (found["causes"], found["ignored"], found["planned"]) == ([], None, False)


@pytest.mark.pain(12)
@pytest.mark.parametrize(
    ("config", "more", "what", "words"),
    [
        (MTU, {"boot": "another"}, "boot", "started anew since 2026-11-22"),
        (MTU, {"log": {"eth1": ["eth1: mtu changed"]}}, "kernel", "mtu changed"),
        (MTU, {"tools": ["NetworkManager"]}, "tool", "NetworkManager"),
        (
            MTU,
            {"open_runs": [{"run": "r2", "state": "awaiting", "holder": "o@h", "paths": [["nics", "eth1", "mtu"]]}]},
            "run",
            "run r2 of o@h is awaiting",
        ),
        (
            {"engine": {"config_sha256": "a" * 64}},
            {"files": {"config": {"at": "2026-11-22T10:00:00Z", "owner": "joe"}, "roster": None, "unit": None}},
            "file",
            "2026-11-22T10:00:00Z and belongs to joe",
        ),
        ({"engine": {"unit_sha256": "a" * 64}}, {}, "file", "is gone"),
        ({"engine": {"service": "stopped"}}, {"boot": "another"}, "boot", "started anew"),
    ],
)
def test_the_cause_where_it_is_known(
    config: dict[str, Any], more: dict[str, Any], what: str, words: str, tmp_path: Path
) -> None:
    (found,) = judged(tmp_path, seen(config, **more))
    assert found["causes"][0]["what"] == what
    assert words in found["causes"][0]["words"]


def test_a_tool_that_does_not_set_a_value_is_no_cause_of_it(tmp_path: Path) -> None:
    (found,) = judged(tmp_path, seen({"nics": {"eth1": {"xdp": {"foreign": True}}}}, tools=["NetworkManager"]))
    assert found["causes"] == []


def test_a_device_that_is_gone_is_one_difference(tmp_path: Path) -> None:
    one = seen()
    document = copy.deepcopy(one.facts.to_dict())
    del document["config"]["nics"]["eth1"], document["status"]["limits"]["eth1"]
    document["status"]["devices"][0]["device"] = None
    gone = Seen(Facts.parse(document), one.kept, BOOT, (), one.files, {}, ())
    (found,) = judged(tmp_path, gone)
    assert (found["path"], found["is"]) == (["nics", "eth1"], None)


def test_fields_that_the_record_does_not_know_cannot_have_drifted(tmp_path: Path) -> None:
    one = seen()
    assert one.kept is not None
    config = copy.deepcopy(one.kept["config"])
    del config["nics"]["eth1"]["xdp"], config["cards"], config["engine"]["roster"]
    older = Seen(one.facts, {**one.kept, "config": config}, BOOT, (), one.files, {}, ())
    assert judged(tmp_path, older) == []


NOISE = """
drift:
  ignore:
    - {path: nics.*.mtu, hosts: [HOSTS], reason: a test bench, until: UNTIL}
"""


@pytest.mark.parametrize(
    ("hosts", "until", "ignored"),
    [("a", "2026-11-23", True), ("racks", "2027-01-01", True), ("a", "2026-11-22", False), ("r*", "2026-12-01", True)],
)
def test_known_noise_is_ignored_until_its_day(hosts: str, until: str, ignored: bool, tmp_path: Path) -> None:
    more = NOISE.replace("HOSTS", hosts).replace("UNTIL", until)
    (found,) = judged(tmp_path, seen(MTU), more)
    assert found["ignored"] == ({"reason": "a test bench", "until": until} if ignored else None)
    told = drift.expired(inventory(tmp_path, more), TODAY)
    assert bool(told) != ignored
    assert all(until in words for words in told)


def test_noise_of_other_values_hides_nothing(tmp_path: Path) -> None:
    more = NOISE.replace("HOSTS", "a").replace("UNTIL", "2027-01-01").replace("mtu", "ring*")
    assert [one["ignored"] for one in judged(tmp_path, seen(MTU), more)] == [None]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("UNTIL", "2027-02-31", "expected a day like"),
        ("UNTIL", "soon", "expected a day like"),
        ("UNTIL", "", ""),
        ("HOSTS", "b", "no host or group fits 'b'"),
        ("nics.*.mtu", "disks.*", "begins with nics"),
        ("reason: a test bench, ", "", "missing"),
        ("reason", "because", "because"),
    ],
)
def test_a_wrong_entry_of_noise_is_a_mistake_with_its_line(old: str, new: str, words: str, tmp_path: Path) -> None:
    text = NOISE.replace(old, new).replace("HOSTS", "a").replace("UNTIL", "2027-01-01")
    with pytest.raises(InputErrors) as caught:
        inventory(tmp_path, text)
    assert any(words in problem.message or words in problem.path for problem in caught.value.problems)
    assert all(problem.line > 5 for problem in caught.value.problems)
