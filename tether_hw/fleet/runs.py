# SPDX-License-Identifier: Apache-2.0
"""Confirm, rollback, resume and the list of runs: all from the hosts' journals, from whichever machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostError, HostFailed, HostRefused, HostRolledBack
from tether_hw.fleet import bare, host_run, runner, state, words
from tether_hw.fleet.card_run import BACK, KEPT, CardRun
from tether_hw.fleet.cards import splits
from tether_hw.fleet.client import VERB_S
from tether_hw.fleet.host_run import HostRun
from tether_hw.fleet.of_a_run import each

TAKEN_BACK = BACK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tether_hw.fleet.reach import Reach


def confirm(reach: Reach, hosts: list[str], run: str, parallel: int = 32) -> list[dict[str, Any]]:
    """Keep a run that waits for it."""

    def work(one: HostRun) -> dict[str, Any]:
        status = one.call("status")
        if status["state"] == "awaiting":
            return host_run.finished(one, status, confirm=True)
        if status["state"] == "confirmed":
            return words.result_ok(one.host, "confirmed", "confirmed already", steps=len(status["steps"]))
        if status["state"] == "confirming":
            one.begin("resume", by=state.holder())
            return words.result_ok(one.host, "confirmed", "confirmed", steps=len(status["steps"]))
        words.raise_for(one.host, run, status)
        raise HostRefused(one.host, f"the run is {status['state']}, it does not wait for a confirm")

    def together(card: CardRun) -> list[dict[str, Any]]:
        if len(card.those(*KEPT, "awaiting")) < len(card.members):
            return card.not_confirmed("confirm")
        return _kept(card, card.ready())

    return each(reach, hosts, run, "confirm", work, together, parallel)


def _kept(card: CardRun, waits: bool) -> list[dict[str, Any]]:
    """The results of a card whose sides all wait for a confirm, or one failed: kept on both, or taken back."""
    if not waits or not card.confirm():
        card.back()
    return card.results()


def rollback(reach: Reach, hosts: list[str], run: str, parallel: int = 32, boots: bool = True) -> list[dict[str, Any]]:
    """Take a run back, pending or confirmed. One that booted its host may boot it again: refused without `boots`."""

    def work(one: HostRun) -> dict[str, Any]:
        try:
            status = _take_back(one, run, boots)
        except HostRefused as error:
            if error.detail.get("runs"):
                error.hint = f"tether rollback --to {run} takes them back in order"
            raise
        one.reach.progress.tell(one.host, "as before", 1.0)
        return words.result_ok(one.host, status["state"], "as before", why=status["why"])

    def together(card: CardRun) -> list[dict[str, Any]]:
        return _card_back(card, boots)

    return each(reach, hosts, run, "rollback", work, together, parallel)


def _card_back(card: CardRun, boots: bool) -> list[dict[str, Any]]:
    """Take both sides of a card back; neither where one may not be booted."""
    kept = card.those(*KEPT)
    for host in card.members:
        end = card.ends[host]
        if not isinstance(end, HostError) and not boots and _boots(end):
            message = f"taking {card.run} back may boot {host}, as the run did"
            error = HostRefused(host, message, hint="--allow reboot")
            return [{**words.result_of(error), "host": member, "card": card.card} for member in card.members]
    card.back()
    return card.taken_back(kept)


def rollback_to(
    reach: Reach, hosts: list[str], run: str, parallel: int = 32, boots: bool = True
) -> list[dict[str, Any]]:
    """Take back everything that came after a run, the newest first, and then the run; each host in its own order."""

    def work(one: HostRun) -> dict[str, Any]:
        known = one.agent.call("runs", {})["runs"]
        names = [entry["run"] for entry in known]
        back = [entry["run"] for entry in known[names.index(run) :] if entry["state"] not in TAKEN_BACK]
        done: list[str] = []
        for name in reversed(back):
            next_one = HostRun(reach, one.host, name, one.agent)
            try:
                _take_back(next_one, name, boots)
            except HostError as error:
                before = f"taken back: {', '.join(done)}; " if done else ""
                error.reason = f"{before}{name}: {error.reason}"
                raise
            finally:
                one.agent = next_one.agent
            done.append(name)
        return words.result_ok(
            one.host, "taken-back", f"taken back: {', '.join(done) or 'nothing was left'}", runs=done
        )

    def together(card: CardRun) -> list[dict[str, Any]]:
        return _card_back_to(card, boots)

    return each(reach, hosts, run, "rollback", work, together, parallel)


def _card_back_to(card: CardRun, boots: bool) -> list[dict[str, Any]]:
    """The same for the sides of a card: runs of one side in its own order, runs of both on both at once."""
    if card.lost:
        return card.not_confirmed("rollback")
    left: dict[str, list[dict[str, Any]]] = {}
    for host in card.members:
        known = card.ones[host].agent.call("runs", {})["runs"]
        names = [entry["run"] for entry in known]
        later = known[names.index(card.run) :] if card.run in names else []
        left[host] = [entry for entry in later if entry["state"] not in TAKEN_BACK]
    done: list[str] = []
    while any(left.values()):
        newest = [entries[-1] for entries in left.values() if entries]
        # The newest of its host, and not an older one of another.
        last = next((one for one in newest if _is_newest(one["run"], left)), newest[0])
        having = [host for host in card.members if left[host] and left[host][-1]["run"] == last["run"]]
        joined = last["joined"] or {"card": card.card, "members": having, "boot_s": 0}
        ones = {host: HostRun(card.reach, host, last["run"], card.ones[host].agent) for host in joined["members"]}
        statuses = {host: one.call("status") for host, one in ones.items()}
        part = CardRun.known(card.reach, joined, last["run"], ones, statuses, {})
        results = _card_back(part, boots)
        for host, one in ones.items():
            card.ones[host].agent = one.agent
        if any(result["exit"] for result in results):
            before = f"taken back: {', '.join(done)}; " if done else ""
            return [{**result, "message": f"{before}{last['run']}: {result['message']}"} for result in results]
        for host in having:
            left[host].pop()
        done.append(last["run"])
    message = f"taken back: {', '.join(done) or 'nothing was left'}"
    return [{**words.result_ok(host, "taken-back", message, runs=done), "card": card.card} for host in card.members]


def _is_newest(run: str, left: dict[str, list[dict[str, Any]]]) -> bool:
    return all(entries[-1]["run"] == run for entries in left.values() if any(one["run"] == run for one in entries))


def _boots(status: dict[str, Any]) -> bool:
    """Whether taking a run back may boot its host."""
    kinds = ("host_reboot", "nic_reset")
    booted = any(step["ran"] and step["id"].split("-")[1] in kinds for step in status["steps"])
    return booted and status["state"] not in TAKEN_BACK


def _take_back(one: HostRun, run: str, boots: bool) -> dict[str, Any]:
    """The status of a run that is taken back. Raises HostError where it is not, or not whole."""
    now = one.call("status")
    one.heard = int(now["records"])
    if _boots(now) and not boots:
        raise HostRefused(one.host, f"taking {run} back may boot it, as the run did", hint="--allow reboot")
    one.begin("rollback", by=state.holder())
    status = one.follow()
    try:
        words.raise_for(one.host, run, status)
    except HostRolledBack:
        return status
    raise HostFailed(one.host, f"the run is {status['state']}", hint=f"tether rollback {run}")


def resume(reach: Reach, hosts: list[str], run: str, parallel: int = 32, keep: bool = True) -> list[dict[str, Any]]:
    """Go on with a run that was interrupted: to its confirm, or to the end of its way back."""

    def work(one: HostRun) -> dict[str, Any]:
        one.begin("resume", by=state.holder())
        status = one.follow()
        if status["state"] == "confirmed":
            return words.result_ok(one.host, "confirmed", "confirmed", steps=len(status["steps"]))
        return host_run.finished(one, status, confirm=keep)

    def together(card: CardRun) -> list[dict[str, Any]]:
        going_back = card.those(*BACK, "not-begun", "reverting", "revert-interrupted")
        if card.lost and not going_back:
            return card.not_confirmed("resume")
        if going_back:
            why = "; ".join(f"the run is {card.state(host)}" for host in going_back[:1])
            card.first = (going_back[0], why)
            card.back()
            return card.results()
        if not card.go("resume", card.those("staging", "staged", "interrupted")):
            card.back()
            return card.results()
        waits = card.ready()
        return card.awaiting() if waits and not keep and not card.those(*KEPT) else _kept(card, waits)

    return each(reach, hosts, run, "resume", work, together, parallel)


def listing(reach: Reach, hosts: Iterable[str], parallel: int = 32) -> list[dict[str, Any]]:
    """The runs that hosts know, one entry per host: {"host", "exit", "pending", "runs"} or its failure."""

    def work(host: str) -> dict[str, Any]:
        with reach.session(host) as session:
            machine = reach.look(session)
            agent = reach.reader(session, machine)
            if agent is not None:
                answer = agent.call("runs", {})
            else:
                # An older or newer suite may have been here: its runs are seen all the same, and nothing is placed.
                body = {"root": machine.root}
                answer = bare.run(session, "tether_hw.agent.listing", body, VERB_S * reach.time_scale)
        return {**words.result_ok(host, "listed", f"{len(answer['runs'])} runs"), **answer}

    results = runner.run(hosts, work, parallel)
    outcome = dict(results.done)
    outcome.update({host: words.result_of(error) for host, error in results.failed.items()})
    return [outcome[host] for host in sorted(outcome)]


def split_runs(reach: Reach, hosts: Iterable[str], parallel: int = 32) -> list[dict[str, Any]]:
    """Runs that one side of a card kept and another did not, of those hosts that are sides of cards."""
    sides = {host for card in reach.inventory.cards.values() for host in (card.arm, card.host)}
    entries = listing(reach, sorted(sides & set(hosts)), parallel)
    return splits(reach.inventory.cards, {entry["host"]: entry for entry in entries if not entry["exit"]})


def newest(reach: Reach, hosts: Iterable[str], parallel: int = 32) -> str | None:
    """The newest run of these hosts that is not taken back, by their own journals; None when there is none."""
    known = (run for entry in listing(reach, hosts, parallel) for run in entry.get("runs", []))
    return max((run["run"] for run in known if run["state"] not in TAKEN_BACK), default=None)
