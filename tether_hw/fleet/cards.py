# SPDX-License-Identifier: Apache-2.0
"""Cards with a computer of their own: two places to log in, the Arm on the card and the host around it. Pure.

Whatever changes both is one transaction. Hosts that cards join belong together: a host with two cards and their two
Arms are changed as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tether_hw.errors import TetherError
from tether_hw.nic.model import Model, Name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tether_hw.fleet.inventory import Loader


class Card(Model):
    """One card, by its serial number, and the two hosts that are its sides."""

    serial: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{4,32}$")] = Field(
        description="what is printed on it, and what both sides read"
    )
    arm: Name = Field(description="the host that is the Arm on the card")
    host: Name = Field(description="the host that the card is in")


@dataclass(frozen=True)
class Unit:
    """Hosts that are changed together. `members`: in the order in which they are confirmed, what cards are in last."""

    name: str
    members: tuple[str, ...]


def check_cards(loader: Loader, cards: Mapping[str, Card], hosts: Iterable[str]) -> None:
    """What must hold between the cards and the hosts of an inventory; mistakes go to the loader."""
    from tether_hw.fleet.inventory_checks import did_you_mean

    known = set(hosts)
    serials: dict[str, str] = {}
    arms: dict[str, str] = {}
    around = {card.host for card in cards.values()}
    for name, card in cards.items():
        for side in ("arm", "host"):
            host = getattr(card, side)
            if host not in known:
                loader.problem(("cards", name, side), f"unknown host {host!r}", did_you_mean(host, known))
        if card.arm in around:
            loader.problem(("cards", name, "arm"), f"{card.arm} is the host of a card", "an Arm is a host of its own")
        first = arms.setdefault(card.arm, name)
        if first != name:
            loader.problem(("cards", name, "arm"), f"{card.arm} is the Arm of {first} too", "every card has its own")
        first = serials.setdefault(card.serial, name)
        if first != name:
            loader.problem(("cards", name, "serial"), f"is the serial number of {first} too")


def units(cards: Mapping[str, Card], hosts: Iterable[str]) -> list[Unit]:
    """The hosts as they are changed: each alone, or with those that cards join it to, whole even if some are left out.

    A unit is named by its cards, one host by its name.
    """
    joined: dict[str, list[str]] = {}
    for name in sorted(cards):
        joined.setdefault(cards[name].host, []).append(name)
    unit_of: dict[str, Unit] = {}
    for around, names in joined.items():
        unit = Unit("+".join(names), (*sorted(cards[name].arm for name in names), around))
        unit_of.update(dict.fromkeys(unit.members, unit))
    found = {host: unit_of.get(host, Unit(host, (host,))) for host in sorted(hosts)}
    return list({unit.members: unit for unit in found.values()}.values())


def check_whole(cards: Mapping[str, Card], hosts: Iterable[str]) -> None:
    """Raises TetherError where hosts were chosen of which one side of a card is missing."""
    chosen = set(hosts)
    for unit in units(cards, chosen):
        missing = [member for member in unit.members if member not in chosen]
        if missing:
            there = ", ".join(member for member in unit.members if member in chosen)
            raise TetherError(
                f"card {unit.name}: {there} without {', '.join(missing)}: both sides of a card are changed together",
                hint=f"name {' and '.join(unit.members)}",
            )
