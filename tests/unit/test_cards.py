# SPDX-License-Identifier: Apache-2.0
"""Cards with two places to log in: what the inventory takes, and which hosts are changed as one."""

from __future__ import annotations

import calendar
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tether_hw.agent import joined as agent_joined
from tether_hw.errors import HostUnreachable, InputErrors, TetherError
from tether_hw.fleet.cards import Card, Unit, check_whole, outcomes, splits, units
from tether_hw.fleet.gate import Gate
from tether_hw.fleet.inventory import load
from tether_hw.plan.joined import After, Joined, joined_of

HEAD = "tether: 1\nhosts:\n" + "".join(
    f"  {name}: {{address: 192.0.2.{number}}}\n" for number, name in enumerate(("h", "a0", "a1", "other"), 1)
)
CARDS = {
    "bf0": Card(serial="MT0001", arm="a0", host="h"),
    "bf1": Card(serial="MT0002", arm="a1", host="h"),
}


def problems(folder: Path, cards: str) -> list[str]:
    path = folder / "inventory.yaml"
    path.write_text(HEAD + "cards:\n" + cards)
    with pytest.raises(InputErrors) as caught:
        load(path)
    return [f"{problem.path}: {problem.message} {problem.hint}" for problem in caught.value.problems]


def test_an_inventory_with_a_card(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(HEAD + "cards: {bf0: {serial: MT2334X00456, arm: a0, host: h}}\n")
    card = load(path).cards["bf0"]
    assert (card.serial, card.arm, card.host) == ("MT2334X00456", "a0", "h")


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ("  x: {serial: MT0001, arm: ao, host: h}\n", "cards.x.arm: unknown host 'ao'"),
        ("  x: {serial: MT0001, arm: h, host: h}\n", "cards.x.arm: h is the host of a card"),
        (
            "  x: {serial: MT0001, arm: a0, host: h}\n  y: {serial: MT0002, arm: a0, host: other}\n",
            "cards.y.arm: a0 is the Arm of x too",
        ),
        (
            "  x: {serial: MT0001, arm: a0, host: h}\n  y: {serial: MT0001, arm: a1, host: h}\n",
            "cards.y.serial: is the serial number of x too",
        ),
        (
            "  x: {serial: MT0001, arm: a0, host: h}\n  y: {serial: MT0002, arm: a1, host: a0}\n",
            "cards.x.arm: a0 is the host of a card",
        ),
        ('  x: {serial: "MT 1", arm: a0, host: h}\n', "cards.x.serial"),
    ],
)
def test_mistakes(tmp_path: Path, cards: str, words: str) -> None:
    (found,) = problems(tmp_path, cards)
    assert words in found


def test_a_card_is_one_unit_with_the_host_last() -> None:
    assert units(CARDS, ["other", "h"]) == [Unit("bf0+bf1", ("a0", "a1", "h")), Unit("other", ("other",))]
    assert units({"bf0": CARDS["bf0"]}, ["h", "a0", "a1"]) == [Unit("bf0", ("a0", "h")), Unit("a1", ("a1",))]
    assert units({}, ["b", "a"]) == [Unit("a", ("a",)), Unit("b", ("b",))]


def test_one_side_alone_is_not_chosen() -> None:
    check_whole(CARDS, ["a0", "a1", "h", "other"])
    check_whole(CARDS, ["other"])
    with pytest.raises(TetherError, match=r"card bf0\+bf1: a0, h without a1") as caught:
        check_whole(CARDS, ["h", "a0"])
    assert caught.value.hint == "name a0 and a1 and h"


SIDES = {"card": "bf0", "members": ["a0", "h"], "window_s": 9, "boot_s": 0, "after": []}
BF0 = {"bf0": CARDS["bf0"]}


def known(*runs: tuple[str, str]) -> dict[str, Any]:
    return {"runs": [{"run": run, "state": state, "joined": SIDES if run < "r3" else None} for run, state in runs]}


@pytest.mark.parametrize(
    ("arm", "host", "told"),
    [
        ([("r1", "confirmed")], [("r1", "confirmed")], []),
        ([("r1", "confirmed")], [("r1", "rolled-back")], ["r1"]),
        ([("r1", "confirmed")], [("r1", "awaiting")], ["r1"]),
        ([("r1", "confirmed")], [], ["r1"]),
        ([("r1", "taken-back")], [("r1", "rolled-back")], []),
        ([("r1", "confirmed"), ("r2", "confirmed")], [("r1", "confirmed"), ("r2", "rolled-back")], ["r2"]),
        # What was planned anew and kept is whole again.
        ([("r1", "confirmed")], [("r1", "rolled-back"), ("r3", "confirmed")], []),
    ],
)
def test_split_is_what_one_side_kept_and_the_other_did_not(
    arm: list[tuple[str, str]], host: list[tuple[str, str]], told: list[str]
) -> None:
    found = splits(BF0, {"a0": known(*arm), "h": known(*host)})
    assert [one["run"] for one in found] == told
    assert all(one["hint"] == f"tether resume {one['run']}" for one in found)


def test_of_a_side_that_could_not_be_asked_nothing_is_said() -> None:
    assert splits(BF0, {"a0": known(("r1", "confirmed"))}) == []


def test_a_card_ends_as_the_worst_of_its_sides() -> None:
    sides = [{"host": host, "exit": 5, "message": host, "hint": None, "card": "bf0"} for host in ("a0", "h")]
    results = [{**sides[0], "result": "rolled-back"}, {**sides[1], "result": "failed", "exit": 3}]
    (card,) = outcomes([*results, {"host": "other", "result": "split"}])
    assert (card["card"], card["hosts"], card["result"], card["exit"]) == ("bf0", ["a0", "h"], "failed", 3)


def test_a_card_is_away_once() -> None:
    links = {name: {"data0": "fabric"} for name in ("a0", "h", "other")}
    inventory = SimpleNamespace(link_of=links, apply=SimpleNamespace(max_unavailable=2))
    doors = Gate(cast("Any", inventory))
    plans = {name: cast("Any", SimpleNamespace(host=name, disruption="reboot")) for name in links}
    mild = cast("Any", SimpleNamespace(host="a0", disruption="none"))
    with doors.away(mild, plans["h"]), doors.away(plans["other"]):
        pass  # two sides count as one: there is room for another
    with pytest.raises(HostUnreachable), doors.away(plans["a0"], plans["h"]):
        raise HostUnreachable("h", "no answer")
    with doors.away(plans["other"]):
        pass


def test_sides_that_wait_for_each_other_have_the_time_of_both() -> None:
    step = cast("Any", SimpleNamespace(id="01-mtu", disruption="traffic", timeout_s=30))
    boot = cast("Any", SimpleNamespace(id="02-boot", disruption="reboot", timeout_s=900))
    arm = cast("Any", SimpleNamespace(host="a0", steps=(step,), after=()))
    host = cast("Any", SimpleNamespace(host="h", steps=(step, boot), after=()))
    alone = joined_of("bf0", [arm, host], 60)
    assert alone.members == ("a0", "h")
    assert (alone.window_s, alone.boot_s) == (step.timeout_s + 900 + 90 + 60, 900)
    arm.after = (After(step.id, "h", step.id),)
    assert joined_of("bf0", [arm, host], 60).window_s == alone.window_s + step.timeout_s
    assert Joined.parse(alone.to_dict(), "joined") == alone


@pytest.mark.parametrize("gap_s", [0, 40, 100_000])
def test_one_deadline_is_kept_over_a_boot(monkeypatch: pytest.MonkeyPatch, gap_s: int) -> None:
    """A boot counts by the calendar, and by no more than it may take; what the host was up by its boot clock."""
    records: list[dict[str, Any]] = [
        {"point": "start", "boot": "1", "up_ns": 10**9, "at": "2026-11-23T05:00:00Z"},
        {"point": "reboot", "boot": "1", "up_ns": 31 * 10**9, "at": "2026-11-23T05:00:30Z"},
    ]
    base = calendar.timegm(time.strptime(records[1]["at"], "%Y-%m-%dT%H:%M:%SZ"))
    monkeypatch.setattr(agent_joined, "boot_id", lambda: "2")
    monkeypatch.setattr(agent_joined, "boottime_ns", lambda: 5 * 10**9)
    now = time.gmtime(base + gap_s)
    monkeypatch.setattr(time, "gmtime", lambda: now)
    run = cast("Any", SimpleNamespace(journal=SimpleNamespace(records=lambda: records)))
    joined = Joined("bf0", ("a0", "h"), 500, 60)
    staged = cast("Any", SimpleNamespace(joined=joined, time_scale=1.0, window_s=lambda: 500.0))
    assert agent_joined.window_left_s(run, staged) == 500 - 30 - min(60, gap_s)
