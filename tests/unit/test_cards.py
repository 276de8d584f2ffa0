# SPDX-License-Identifier: Apache-2.0
"""Cards with two places to log in: what the inventory takes, and which hosts are changed as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_hw.errors import InputErrors, TetherError
from tether_hw.fleet.cards import Card, Unit, check_whole, units
from tether_hw.fleet.inventory import load

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
