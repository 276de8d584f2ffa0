# SPDX-License-Identifier: Apache-2.0
"""Applying a plan: each host stages it, carries it out by itself and proves it; we decide confirm or roll back.

Once the steps run, the loss of this process or of its connections stops nothing but the confirm.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostError, HostFailed, HostRefused, HostUnreachable
from tether_hw.fleet import cards, runner, state, words
from tether_hw.fleet.card_run import KEPT, CardRun
from tether_hw.fleet.gate import Blocked, Gate
from tether_hw.fleet.host_run import HostRun, finished
from tether_hw.fleet.push_files import Files
from tether_hw.fleet.runner import HALTED
from tether_hw.fleet.ssh_errors import Stopped
from tether_hw.plan.joined import joined_of

if TYPE_CHECKING:
    from tether_hw.fleet.cards import Unit
    from tether_hw.fleet.client import Agent
    from tether_hw.fleet.reach import Reach
    from tether_hw.plan.joined import Joined
    from tether_hw.plan.plan import HostPlan, Plan

_AGAIN_S = 0.3
_STAGING_S = 2.0


@dataclass(frozen=True)
class Wish:
    """How a plan is to be applied."""

    confirm: bool = True
    parallel: int = 32
    max_fail: int | None = None
    whole: bool = True  # a side of a card whose other side has no plan is not begun


class _CardFailed(HostFailed):
    """A card whose run was not kept: one failure, with a result for each side."""

    def __init__(self, unit: Unit, results: list[dict[str, Any]]) -> None:
        super().__init__(unit.name, "the run was not kept")
        self.results = results


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
        self.units = {unit.name: unit for unit in cards.units(reach.inventory.cards, self.hosts())}
        self._confirming: dict[str, list[str]] = {}
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
        results = runner.run(self.units, self._unit, self.wish.parallel, self.wish.max_fail)
        outcome = {host: words.result_ok(host, "unchanged", "nothing to change") for host in self.plan.hosts}
        outcome.update({result["host"]: result for unit in results.done.values() for result in unit})
        for error in results.failed.values():
            ended = error.results if isinstance(error, _CardFailed) else [words.result_of(error)]
            outcome.update({result["host"]: result for result in ended})
        for name in results.halted:
            for host in self._changing(self.units[name]):
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
            "confirming": self._confirming,
            "results": results,
        }
        state.save(inventory, self.run_name, record)

    def _changing(self, unit: Unit) -> list[str]:
        """The members of a unit that the plan changes."""
        return [host for host in unit.members if host in self.plan.hosts and self.plan.hosts[host].steps]

    def _unit(self, name: str) -> list[dict[str, Any]]:
        """The results of one host, or of the hosts that cards join."""
        unit = self.units[name]
        hosts = self._changing(unit)
        refused = {refusal["host"]: refusal["reason"] for refusal in self.plan.refusals}
        missing = [host for host in unit.members if host not in self.plan.hosts or host in refused]
        if missing and self.wish.whole:
            why = "; ".join(f"{host}: {refused.get(host, 'it has no plan')}" for host in missing)
            message = f"not begun: no plan for the other side of card {name}: {why}"
            results = [{**words.result_ok(host, "not-begun", message), "exit": 3} for host in hosts]
            raise _CardFailed(unit, [{**result, "card": name} for result in results])
        if len(hosts) == 1:
            return [self._host(hosts[0])]
        one = self._card(unit, hosts)
        results = one.awaiting() if self._left_waiting(one) else one.results()
        if any(result["exit"] for result in results):
            raise _CardFailed(unit, results)
        return results

    def _left_waiting(self, one: CardRun) -> bool:
        return not self.wish.confirm and len(one.those("awaiting")) == len(one.members)

    def _card(self, unit: Unit, hosts: list[str]) -> CardRun:
        """Both sides of a card: staged before either starts, proved before either is confirmed, the host last."""
        plans = [self.plan.hosts[host] for host in hosts]
        joined = joined_of(unit.name, plans, self.reach.inventory.apply.confirm_timeout_s)
        tell = self.reach.progress.tell

        def stage(host: str) -> HostRun:
            tell(host, "connects")
            plan = self.plan.hosts[host]
            return HostRun(self.reach, host, self.run_name, self._staged(host, plan, joined), len(plan.steps))

        staged = runner.run(hosts, stage, len(hosts))
        after = {plan.host: [one.to_dict() for one in plan.after] for plan in plans}
        boot_s = joined.boot_s * self.reach.time_scale
        one = CardRun(self.reach, unit.name, hosts, self.run_name, staged.done, after, boot_s)
        try:
            one.ends.update(staged.failed)
            for host, error in staged.failed.items():
                tell(host, error.reason)
                one.first = one.first or (host, error.reason)
            if staged.failed or not self._prove(one, plans):
                one.back()
            elif self.wish.confirm:
                with self._lock:
                    self._confirming[unit.name] = hosts
                    self.save(None)
                if not one.confirm():
                    one.back()
            for host in one.members if len(one.those(*KEPT)) == len(hosts) else ():
                self.kept.add(host)
                end = one.ends[host]
                self.in_software += [] if isinstance(end, HostError) else end["in_software"]
            return one
        finally:
            for each in one.ones.values():
                each.close()

    def _prove(self, one: CardRun, plans: list[HostPlan]) -> bool:
        """Carry out the steps on both sides; True when both proved what they did and can be reached anew."""
        try:
            with self.gate.away(*plans):
                if not one.go("start", one.members):
                    gone = [error for error in one.ends.values() if isinstance(error, HostUnreachable)]
                    if gone:
                        raise gone[0]
                    return False
        except Blocked as error:
            one.first = (one.members[0], error.reason)
            return False
        except HostUnreachable:
            return False
        return one.ready()

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

    def _staged(self, host: str, plan: HostPlan, joined: Joined | None = None) -> Agent:
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
            body: dict[str, Any] = {
                "run": self.run_name,
                "host": host,
                "holder": self.holder,
                "plan_id": self.plan.id,
                "inventory": str(self.reach.inventory.path.resolve()),
                "confirm_timeout_s": apply.confirm_timeout_s,
                "time_scale": apply.time_scale,
                "plan": plan.to_dict(),
            }
            if joined is not None:
                body["joined"] = joined.to_dict()
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
