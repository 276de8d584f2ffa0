# SPDX-License-Identifier: Apache-2.0
"""Applying a plan: each host stages it, carries it out by itself and proves it; we decide confirm or roll back.

Once the steps run, the loss of this process or of its connections stops nothing but the confirm.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostError, HostFailed, HostRefused, HostRolledBack, HostUnreachable
from tether_hw.fleet import runner, state, words
from tether_hw.fleet.gate import Blocked, Gate
from tether_hw.fleet.push_files import Files
from tether_hw.fleet.runner import HALTED
from tether_hw.fleet.ssh_errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from tether_hw.fleet.client import Agent
    from tether_hw.fleet.reach import Reach
    from tether_hw.plan.plan import HostPlan, Plan

_AGAIN_S = 0.3
_STAGING_S = 2.0


@dataclass(frozen=True)
class Wish:
    """How a plan is to be applied."""

    confirm: bool = True
    parallel: int = 32
    max_fail: int | None = None


class HostRun:
    """One run on one host, followed through lost connections."""

    def __init__(self, reach: Reach, host: str, run: str, agent: Agent, steps: int = 0) -> None:
        self.reach = reach
        self.host = host
        self.run = run
        self.agent = agent
        self.heard = 0
        self.boots_within_s: float | None = None
        self._tell = words.teller(reach.progress, host, steps)

    def close(self) -> None:
        self.agent.session.close()

    def _hear(self, record: dict[str, Any]) -> None:
        self.heard = max(self.heard, int(record["n"]))
        if record["point"] == "reboot":
            self.boots_within_s = float(record["within_s"]) if record["phase"] == "begin" else None
        self._tell(record)

    def call(self, verb: str, **body: Any) -> dict[str, Any]:
        return self.agent.call(verb, {"run": self.run, **body})

    def reconnect(self, patience_s: float) -> None:
        """A new session in place of a lost one. Raises HostUnreachable when there is none within `patience_s`."""
        self.close()
        limit = time.monotonic() + patience_s
        while True:
            try:
                self.agent = self.reach.agent(self.reach.session(self.host))
                return
            except (HostUnreachable, Stopped) as error:
                if time.monotonic() > limit:
                    raise HostUnreachable(self.host, error.reason) from None
            booting = self.boots_within_s is not None
            self.reach.progress.tell(self.host, "boots" if booting else "connection lost, tries again")
            time.sleep(_AGAIN_S)

    def begin(self, verb: str, **body: Any) -> None:
        """Start or resume; a session that is lost in it is looked at again instead of asked twice."""
        try:
            self.call(verb, **body)
        except Stopped:
            self.reconnect(self.reach.timeout_s)
            now = self.call("status")["state"]
            if now == "staged" or (verb != "start" and now not in ("running", "reverting")):
                self.call(verb, **body)

    def follow(self) -> dict[str, Any]:
        """The status of the run once it rests."""
        while True:
            try:
                return self.agent.follow(self.run, self.heard, self._hear)
            except Stopped:
                try:
                    self.reconnect(max(self.reach.timeout_s, self.boots_within_s or 0.0))
                except HostUnreachable as error:
                    if self.boots_within_s is not None:
                        raise HostUnreachable(
                            self.host,
                            f"did not come back from its reboot within {self.boots_within_s:.0f} s: {error.reason}",
                            hint=f"tether resume {self.run} once it is there; it takes back what it did not ask for",
                        ) from None
                    raise HostUnreachable(
                        self.host,
                        f"lost in mid-run: {error.reason}; a run that nobody confirms is taken back by its host",
                        hint=f"tether resume {self.run}, or tether rollback {self.run}",
                    ) from None

    def confirm(self) -> dict[str, Any]:
        """Confirm over a new connection, again and again until it is decided. Raises what a run not kept is."""
        while True:
            try:
                session = self.reach.session(self.host)
            except HostUnreachable as error:
                status = self._look_from_before(error)
            else:
                with session:
                    agent = self.agent.on(session)
                    try:
                        return agent.call("confirm", {"run": self.run})
                    except HostRefused as error:
                        if error.code != "not-fresh":
                            raise
                        status = agent.call("status", {"run": self.run})
                    except HostRolledBack:
                        return agent.follow(self.run, self.heard, self._hear)
                    except Stopped as error:
                        status = self._look_from_before(error)
            if status["state"] != "awaiting":
                return self.settled(self.follow())
            self.reach.progress.tell(self.host, f"cannot confirm yet, {status['left_s'] or 0:.0f} s left")
            time.sleep(_AGAIN_S)

    def settled(self, status: dict[str, Any]) -> dict[str, Any]:
        """The status after the bookkeeping of a run that was confirmed and cut off in it."""
        if status["state"] != "confirming":
            return status
        self.begin("resume", by=state.holder())
        return self.call("status")

    def _look_from_before(self, error: HostError) -> dict[str, Any]:
        """The run's status over the session that was there before, or a new one; `error` when there is none."""
        try:
            try:
                return self.call("status")
            except Stopped:
                self.reconnect(0.0)
                return self.call("status")
        except HostError:
            raise type(error)(
                self.host,
                f"not confirmed: {error.reason}; a run that nobody confirms is taken back by its host",
                hint=f"tether confirm {self.run}, or tether rollback {self.run}",
            ) from None


class Application:
    """One run of `tether apply`."""

    def __init__(self, reach: Reach, plan: Plan, wish: Wish, run: str | None = None) -> None:
        self.reach = reach
        self.plan = plan
        self.wish = wish
        self.run_name = run or state.new_run()
        self.holder = state.holder()
        self.gate = Gate(reach.inventory)
        self.kept: set[str] = set()
        self.in_software: list[dict[str, Any]] = []
        self.files = Files(reach.inventory, reach.time_scale)
        self._staged_on: set[str] = set()
        self._stopped = False
        self._lock = threading.Lock()

    def under_way(self) -> list[str]:
        """Ctrl-C came: the hosts that may hold the run unfinished; from here on it is staged on no other."""
        with self._lock:
            self._stopped = True
            return sorted(self._staged_on - self.kept)

    def _stage(self, host: str, agent: Agent, body: dict[str, Any]) -> None:
        with self._lock:
            if self._stopped:
                raise HostFailed(host, "interrupted before it was staged")
            self._staged_on.add(host)
        try:
            agent.call("stage", body)
        except HostError as error:
            if error.code is not None:  # the agent's own no: it kept nothing
                with self._lock:
                    self._staged_on.discard(host)
            raise

    def hosts(self) -> list[str]:
        """The hosts that the plan changes."""
        return [name for name in sorted(self.plan.hosts) if self.plan.hosts[name].steps]

    def carry_out(self) -> list[dict[str, Any]]:
        """Apply to every host; gives one result per host of the plan. Raises Interrupted on Ctrl-C."""
        self.save(None)
        results = runner.run(self.hosts(), self._host, self.wish.parallel, self.wish.max_fail)
        outcome = {host: words.result_ok(host, "unchanged", "nothing to change") for host in self.plan.hosts}
        outcome.update(results.done)
        outcome.update({host: words.result_of(error) for host, error in results.failed.items()})
        for host in results.halted:
            outcome[host] = {**words.result_ok(host, "not-begun", HALTED), "exit": 3}
        ordered = [outcome[host] for host in sorted(outcome)]
        self.save(ordered)
        return ordered

    def save(self, results: list[dict[str, Any]] | None) -> None:
        """Keep this controller's record of the run."""
        inventory = self.reach.inventory
        record = {
            "verb": "apply",
            "inventory": str(inventory.path.resolve()),
            "plan_id": self.plan.id,
            "holder": self.holder,
            "hosts": self.hosts(),
            "results": results,
        }
        state.save(inventory, self.run_name, record)

    def _host(self, host: str) -> dict[str, Any]:
        plan = self.plan.hosts[host]
        tell = self.reach.progress.tell
        try:
            tell(host, "connects")
            agent = self._staged(host, plan)
            one = HostRun(self.reach, host, self.run_name, agent, len(plan.steps))
            try:
                try:
                    with self.gate.away(plan):
                        one.begin("start")
                        status = one.follow()
                except Blocked:
                    one.call("rollback", by=self.holder)  # it was only staged
                    raise
                result = finished(one, status, self.wish.confirm)
                if result["result"] == "confirmed":
                    self.kept.add(host)
                    self.in_software += status["in_software"]
                return result
            finally:
                one.close()
        except HostError as error:
            tell(host, error.reason)
            raise

    def _staged(self, host: str, plan: HostPlan) -> Agent:
        session = self.reach.session(host)
        try:
            agent = self.reach.agent(session)
            if plan.bundle is not None and plan.bundle != agent.digest:
                raise HostRefused(
                    host,
                    f"the plan was made for bundle {plan.bundle[:12]}, this suite has {agent.digest[:12]}",
                    hint="plan again: tether plan",
                )
            if self.files.place(agent, plan.steps):
                self.reach.progress.tell(host, "has the package file")
            apply = self.reach.inventory.apply
            body = {
                "run": self.run_name,
                "host": host,
                "holder": self.holder,
                "plan_id": self.plan.id,
                "inventory": str(self.reach.inventory.path.resolve()),
                "confirm_timeout_s": apply.confirm_timeout_s,
                "time_scale": apply.time_scale,
                "plan": plan.to_dict(),
            }
            try:
                self._stage(host, agent, body)
            except Stopped:
                # It may have been staged all the same; only the host knows.
                session.close()
                session = self.reach.session(host)
                agent = self.reach.agent(session)
                if not self._is_staged(agent):
                    agent.call("rollback", {"run": self.run_name, "by": self.holder})
                    raise
        except BaseException:
            session.close()
            raise
        return agent

    def _is_staged(self, agent: Agent) -> bool:
        """Whether the host has staged the run, or does so soon: its agent outlives the session that started it."""
        limit = time.monotonic() + _STAGING_S * self.reach.time_scale
        while True:
            now = agent.call("status", {"run": self.run_name})["state"]
            if now not in ("not-begun", "staging") or time.monotonic() > limit:
                return bool(now == "staged")
            time.sleep(_AGAIN_S)


def finished(one: HostRun, status: dict[str, Any], confirm: bool) -> dict[str, Any]:
    """The result of a host whose run rests; confirms it when wanted. Raises what a run not kept is."""
    if status["state"] == "awaiting" and not confirm:
        left = status["left_s"] or 0
        return words.result_ok(
            one.host, "awaiting", f"not confirmed, taken back in {left:.0f} s", left_s=left, steps=len(status["steps"])
        )
    if status["state"] == "awaiting":
        one.reach.progress.tell(one.host, "confirms over a new connection")
        status = one.confirm()
    status = one.settled(status)
    words.raise_for(one.host, one.run, status)
    one.reach.progress.tell(one.host, "confirmed", 1.0)
    return words.result_ok(one.host, status["state"], "confirmed", steps=len(status["steps"]))


def each(
    reach: Reach, hosts: list[str], run: str, verb: str, work: Callable[[HostRun], dict[str, Any]], parallel: int
) -> list[dict[str, Any]]:
    """Run `work` on a run that hosts know; a host that does not know it says so. One result per host."""

    def one_host(host: str) -> dict[str, Any]:
        reach.progress.tell(host, "connects")
        one = HostRun(reach, host, run, reach.agent(reach.session(host)))
        try:
            status = one.call("status")
            if status["records"] == 0 and not status["pending"]:
                return words.result_ok(host, "unknown", f"run {run} is not known here")
            one.heard = int(status["records"])
            return work(one)
        except HostError as error:
            reach.progress.tell(host, error.reason)
            raise
        finally:
            one.close()

    results = runner.run(hosts, one_host, parallel)
    outcome = dict(results.done)
    outcome.update({host: words.result_of(error) for host, error in results.failed.items()})
    ordered = [outcome[host] for host in sorted(outcome)]
    if ordered and all(result["result"] == "unknown" for result in ordered):
        error = HostRefused(", ".join(hosts), f"no host knows run {run}", hint="tether runs")
        for result in ordered:
            result.update(result="refused", exit=int(error.exit), hint=error.hint)
    record = state.load(reach.inventory, run) or {"verb": verb, "inventory": str(reach.inventory.path.resolve())}
    record.pop("schema", None)
    record.pop("run", None)
    state.save(reach.inventory, run, {**record, f"{verb}_results": ordered})
    return ordered
