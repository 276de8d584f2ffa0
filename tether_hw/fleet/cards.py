# SPDX-License-Identifier: Apache-2.0
"""Cards with a computer of their own: two places to log in, the Arm on the card and the host around it. Pure.

Whatever changes both is one transaction. Hosts that cards join belong together: a host with two cards and their two
Arms are changed as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from tether_hw.errors import TetherError
from tether_hw.nic.bluefield.model import Mode
from tether_hw.nic.cx7.model import Setting, SettingName
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
    mode: Mode = Field(
        "dpu", description="dpu: the Arm has the switch; nic: the host has; zero-trust: dpu, and the host sets nothing"
    )
    psid: Annotated[str, Field(pattern=r"^[A-Z0-9_]{4,16}$")] | None = Field(
        None, description="the kind of card that it must be, by its PSID"
    )
    reboots: int = Field(1, ge=0, le=3, description="starts that a plan may ask of it for its settings")
    nv: dict[SettingName, Setting] = Field(
        default_factory=dict, description="settings in the card's memory, set at the side that has the switch"
    )


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


#: What a card's result is when those of its sides differ: the first of these that any side has.
_RESULTS = ("split", "locked", "failed", "refused", "unreachable", "rolled-back", "not-begun", "awaiting")


def outcomes(results: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What came of each card, from the results of its sides."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        if "card" in result:
            found.setdefault(str(result["card"]), []).append(result)
    return [_outcome(card, found[card]) for card in sorted(found)]


def _outcome(card: str, sides: list[Mapping[str, Any]]) -> dict[str, Any]:
    def rank(side: Mapping[str, Any]) -> int:
        return _RESULTS.index(side["result"]) if side["result"] in _RESULTS else len(_RESULTS)

    worst = min(sides, key=rank)
    return {
        "card": card,
        "hosts": [side["host"] for side in sides],
        **{name: worst[name] for name in ("result", "exit", "message", "hint")},
    }


def splits(cards: Mapping[str, Card], listing: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Runs that one side of a card kept and another did not, from the runs that hosts know: {"card", "run", ...}.

    A host that is not in `listing` could not be asked, and nothing is said of it.
    """
    runs: dict[str, dict[str, str | None]] = {}
    joined: dict[str, Mapping[str, Any]] = {}
    for host, runs_of in listing.items():
        for run in runs_of["runs"]:
            if run.get("joined"):
                joined[run["run"]] = run["joined"]
                runs.setdefault(run["run"], {})[host] = run["state"]
    known = {member for unit in units(cards, listing) for member in unit.members}
    found = []
    for run, states in sorted(runs.items()):
        members = [host for host in joined[run]["members"] if host in listing and host in known]
        kept = [host for host in members if states.get(host) in ("confirmed", "confirming")]
        others = [host for host in members if host not in kept]
        if kept and others and not any(_kept_later(listing[host]["runs"], run) for host in others):
            words = ", ".join(f"{host} is {states.get(host) or 'without it'}" for host in others)
            message = f"run {run} is split: {', '.join(kept)} kept it, {words}"
            hint = f"tether resume {run}"
            found.append({"card": joined[run]["card"], "run": run, "hosts": members, "message": message, "hint": hint})
    return found


def _kept_later(runs: Iterable[Mapping[str, Any]], run: str) -> bool:
    """Whether a host kept a run after this one; `runs` in its own order."""
    after = False
    for other in runs:
        if (after or other["run"] > run) and other["state"] == "confirmed":
            return True
        after = after or other["run"] == run
    return False
