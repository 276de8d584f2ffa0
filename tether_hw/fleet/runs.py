# SPDX-License-Identifier: Apache-2.0
"""Confirm, rollback, resume and the list of runs: all from the hosts' journals, from whichever machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostError, HostFailed, HostRefused, HostRolledBack
from tether_hw.fleet import apply, bare, runner, state, words
from tether_hw.fleet.client import VERB_S

TAKEN_BACK = ("rolled-back", "taken-back")

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tether_hw.fleet.apply import HostRun
    from tether_hw.fleet.reach import Reach


def confirm(reach: Reach, hosts: list[str], run: str, parallel: int = 32) -> list[dict[str, Any]]:
    """Keep a run that waits for it."""

    def work(one: HostRun) -> dict[str, Any]:
        status = one.call("status")
        if status["state"] == "awaiting":
            return apply.finished(one, status, confirm=True)
        if status["state"] == "confirmed":
            return words.result_ok(one.host, "confirmed", "confirmed already", steps=len(status["steps"]))
        if status["state"] == "confirming":
            one.begin("resume", by=state.holder())
            return words.result_ok(one.host, "confirmed", "confirmed", steps=len(status["steps"]))
        words.raise_for(one.host, run, status)
        raise HostRefused(one.host, f"the run is {status['state']}, it does not wait for a confirm")

    return apply.each(reach, hosts, run, "confirm", work, parallel)


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

    return apply.each(reach, hosts, run, "rollback", work, parallel)


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
            next_one = apply.HostRun(reach, one.host, name, one.agent)
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

    return apply.each(reach, hosts, run, "rollback", work, parallel)


def _take_back(one: HostRun, run: str, boots: bool) -> dict[str, Any]:
    """The status of a run that is taken back. Raises HostError where it is not, or not whole."""
    now = one.call("status")
    one.heard = int(now["records"])
    booted = any(step["ran"] and "-host_reboot" in step["id"] for step in now["steps"])
    if booted and not boots and now["state"] not in TAKEN_BACK:
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
        return apply.finished(one, status, confirm=keep)

    return apply.each(reach, hosts, run, "resume", work, parallel)


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


def newest(reach: Reach, hosts: Iterable[str], parallel: int = 32) -> str | None:
    """The newest run of these hosts that is not taken back, by their own journals; None when there is none."""
    known = (run for entry in listing(reach, hosts, parallel) for run in entry.get("runs", []))
    return max((run["run"] for run in known if run["state"] not in TAKEN_BACK), default=None)
