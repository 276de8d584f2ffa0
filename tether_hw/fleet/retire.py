# SPDX-License-Identifier: Apache-2.0
"""A host that leaves: off its peers' rosters first, then everything of ours off the host, then its key.

A peer's plan is its own roster without that host and nothing else, whatever else the inventory may want of the peer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tether_hw import __version__
from tether_hw.errors import HostError, HostRefused
from tether_hw.fleet import enroll, facts, runner, words
from tether_hw.fleet.apply import Application, Wish
from tether_hw.fleet.planner import make_plan
from tether_hw.fleet.planning import setting
from tether_hw.plan.canonical import digest
from tether_hw.plan.checks import Check
from tether_hw.plan.effects import fold
from tether_hw.plan.kinds.base import make_step
from tether_hw.plan.kinds.engine_roster import EngineRoster
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.plan import HostPlan, Plan
from tether_hw.plan.roster import keys_in, without

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tether_hw.fleet.inventory import Inventory
    from tether_hw.fleet.reach import Reach
    from tether_hw.plan.facts import Facts

_OK = ("confirmed", "unchanged")


@dataclass
class Outcome:
    """What came of it so far. `host`: the result of the host itself, None while it was not its turn."""

    peers: list[dict[str, Any]] = field(default_factory=list)
    host: dict[str, Any] | None = None
    runs: list[str] = field(default_factory=list)
    key_removed: bool = False

    @property
    def peers_done(self) -> bool:
        return all(result["exit"] == 0 for result in self.peers)


def peers_of(inventory: Inventory, host: str) -> list[str]:
    """Who may have a host in its roster: its peers, or all with lanes for a host that is not in the inventory."""
    if host in inventory.hosts:
        return sorted({peer for peer, _ in inventory.peers(host)})
    return sorted(name for name, lanes in inventory.lanes.items() if lanes)


def roster_plan(host: str, found: Facts, gone: str, keys: Iterable[str]) -> tuple[HostPlan | None, set[str]]:
    """The plan that takes `gone` off a host's roster, None where it is not in it; and the keys that it had there."""
    roster = found.config["engine"]["roster"]
    named = {key for key, name in keys_in(roster).items() if name == gone} | (set(keys) & set(keys_in(roster)))
    if not named:
        return None, named
    paths = HostPaths(str(found.status["root"]))
    step = make_step(EngineRoster.write(without(roster, named)), found.config, paths, 1, host, None)
    expected = fold(found.config, step.effect)
    checks = [Check("config", "config", None, {"digest": digest(expected)})]
    if found.config["engine"]["service"] == "running":
        checks.append(Check("engine", "engine", None, {}))
    plan = HostPlan(host, paths.root, found.digest, found.config, None, (step,), tuple(checks))
    return plan, named


def bare_inventory(inventory: Inventory, host: str) -> Inventory:
    """The inventory in which nothing is asked of a host."""
    hosts = {**inventory.hosts, host: inventory.hosts[host].model_copy(update={"nics": {}})}
    members = {link: tuple(pair for pair in pairs if pair[0] != host) for link, pairs in inventory.members.items()}
    keys = {name: known for name, known in inventory.keys.items() if name != host}
    return replace(inventory, hosts=hosts, members=members, keys=keys)


class Retirement:
    """One `tether retire`."""

    def __init__(self, reach: Reach, host: str, skipped: Iterable[str] = (), parallel: int = 32) -> None:
        self.reach = reach
        self.inventory = reach.inventory
        self.host = host
        self.skipped = set(skipped)
        self.parallel = parallel
        self.outcome = Outcome()
        self._keys: dict[str, set[str]] = {}

    def _plan(self, hosts: dict[str, HostPlan]) -> Plan:
        return Plan(setting(self.inventory).made, __version__, self.inventory.path.name, hosts)

    def _applied(self, hosts: dict[str, HostPlan]) -> list[dict[str, Any]]:
        one = Application(self.reach, self._plan(hosts), Wish(True, self.parallel, whole=False))
        results = one.carry_out()
        self.outcome.runs.append(one.run_name)
        return results

    def leave_peers(self) -> None:
        """Take the host off its peers' rosters; they trust its keys no more."""
        known = set(self.inventory.keys.get(self.host, ()))
        peers = [peer for peer in peers_of(self.inventory, self.host) if peer not in self.skipped]
        found = facts.collect(self.reach, peers, self.parallel)
        results = {peer: words.result_of(error) for peer, error in found.failed.items()}
        plans = {}
        for peer, one in found.done.items():
            plan, keys = roster_plan(peer, one, self.host, known)
            enrolled = one.config["keys"]["node"] is not None
            self._keys[peer] = keys | known if enrolled else set()
            if plan is not None:
                plans[peer] = plan
            else:
                results[peer] = words.result_ok(peer, "unchanged", f"{self.host} is not in its roster")
        if plans:
            results.update({result["host"]: result for result in self._applied(plans)})
        ready = [peer for peer, result in results.items() if result["result"] in _OK and self._keys[peer]]
        revoked = runner.run(ready, self._revoke, self.parallel)
        results.update({peer: words.result_of(error) for peer, error in revoked.failed.items()})
        self.outcome.peers = [results[peer] for peer in sorted(results)]

    def _revoke(self, peer: str) -> None:
        with self.reach.session(peer) as session:
            self.reach.agent(session).call("revoke", {"host": self.host, "keys": sorted(self._keys[peer])})

    def leave_host(self) -> None:
        """Undo all that we own on the host and remove what we keep there; its result says where that ended."""
        try:
            self.outcome.host = self._leave_host()
        except HostError as error:
            self.outcome.host = words.result_of(error)

    def _leave_host(self) -> dict[str, Any]:
        reach = replace(self.reach, inventory=bare_inventory(self.inventory, self.host))
        with reach.session(self.host) as session:
            found = facts.read(reach, session)
        plan = make_plan(reach.inventory, {self.host: found}, setting(self.inventory))
        reasons = [refusal["reason"] for refusal in plan.refusals]
        if reasons:
            raise HostRefused(self.host, "; ".join(reasons))
        if plan.hosts[self.host].steps:
            (result,) = self._applied(plan.hosts)
            if result["result"] not in _OK:
                return result
        with reach.session(self.host) as session:
            answer = reach.agent(session).call("retire", {})
        left = answer["left"]
        message = "nothing of ours is left there" if not left else f"changed by others since, left: {', '.join(left)}"
        return words.result_ok(self.host, "retired", message, **answer)

    def forget_key(self) -> None:
        """Take the host out of the keys file."""
        self.outcome.key_removed = enroll.forget(self.inventory, self.host)
