# SPDX-License-Identifier: Apache-2.0
"""Work on a run that hosts know already: host by host, and card by card where both sides of a card are one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostError, HostRefused
from tether_hw.fleet import cards, runner, state, words
from tether_hw.fleet.card_run import CardRun
from tether_hw.fleet.host_run import HostRun

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tether_hw.fleet.cards import Unit
    from tether_hw.fleet.reach import Reach

    Alone = Callable[[HostRun], dict[str, Any]]
    Together = Callable[[CardRun], list[dict[str, Any]]]


def each(
    reach: Reach, hosts: list[str], run: str, verb: str, alone: Alone, together: Together, parallel: int = 32
) -> list[dict[str, Any]]:
    """Run `alone` on each host that knows a run, or `together` on those that it joins. One result per host.

    A host that does not know the run says so. Raises TetherError where one side of a card was left out.
    """
    cards.check_whole(reach.inventory.cards, hosts)
    units = {unit.name: unit for unit in cards.units(reach.inventory.cards, hosts)}

    def work(name: str) -> list[dict[str, Any]]:
        return _unit(reach, units[name], run, alone, together)

    results = runner.run(units, work, parallel)
    ordered = [result for unit in results.done.values() for result in unit]
    ordered += [words.result_of(error) for error in results.failed.values()]
    ordered.sort(key=lambda result: str(result["host"]))
    if ordered and all(result["result"] == "unknown" for result in ordered):
        error = HostRefused(", ".join(hosts), f"no host knows run {run}", hint="tether runs")
        for result in ordered:
            result.update(result="refused", exit=int(error.exit), hint=error.hint)
    record = state.load(reach.inventory, run) or {"verb": verb, "inventory": str(reach.inventory.path.resolve())}
    record.pop("schema", None)
    record.pop("run", None)
    state.save(reach.inventory, run, {**record, f"{verb}_results": ordered})
    return ordered


def _unit(reach: Reach, unit: Unit, run: str, alone: Alone, together: Together) -> list[dict[str, Any]]:
    """The results of one host, or of the hosts that cards join."""

    def look(host: str) -> tuple[HostRun, dict[str, Any]]:
        reach.progress.tell(host, "connects")
        one = HostRun(reach, host, run, reach.agent(reach.session(host)))
        try:
            return one, one.call("status")
        except BaseException:
            one.close()
            raise

    found = runner.run(unit.members, look, len(unit.members))
    for host, error in found.failed.items():
        reach.progress.tell(host, error.reason)
    try:
        statuses = {host: status for host, (_, status) in found.done.items()}
        joined = next((status["joined"] for status in statuses.values() if status["joined"] is not None), None)
        if joined is not None:
            ones = {host: one for host, (one, _) in found.done.items()}
            one_run = CardRun.known(reach, joined, run, ones, statuses, found.failed)
            return [*together(one_run), *_strangers(joined, found.done, found.failed, run)]
        return [*_alone(found.done, run, alone), *(words.result_of(error) for error in found.failed.values())]
    finally:
        for one, _ in found.done.values():
            one.close()


def _strangers(
    joined: Mapping[str, Any], done: Mapping[str, Any], failed: Mapping[str, HostError], run: str
) -> list[dict[str, Any]]:
    """The results of hosts of a card's unit that a run did not touch."""
    others = [host for host in done if host not in joined["members"]]
    results = [words.result_ok(host, "unknown", f"run {run} is not known here") for host in others]
    return results + [words.result_of(error) for host, error in failed.items() if host not in joined["members"]]


def _alone(found: Mapping[str, tuple[HostRun, dict[str, Any]]], run: str, alone: Alone) -> list[dict[str, Any]]:
    def work(host: str) -> dict[str, Any]:
        one, status = found[host]
        if status["records"] == 0 and not status["pending"]:
            return words.result_ok(host, "unknown", f"run {run} is not known here")
        one.heard = int(status["records"])
        try:
            return alone(one)
        except HostError as error:
            one.reach.progress.tell(host, error.reason)
            raise

    results = runner.run(found, work, max(1, len(found)))
    return [*results.done.values(), *(words.result_of(error) for error in results.failed.values())]
