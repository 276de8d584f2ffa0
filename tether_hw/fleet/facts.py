# SPDX-License-Identifier: Apache-2.0
"""Collecting the facts of hosts, whether anything of ours is on them or not. Leaves no file behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostFailed, HostLocked, HostRefused
from tether_hw.fleet import bare, runner
from tether_hw.fleet.client import VERB_S
from tether_hw.plan.difference_words import in_words
from tether_hw.plan.facts import Facts, differences
from tether_hw.plan.facts_mlx5 import nv_keys
from tether_hw.plan.shape import ShapeError
from tether_hw.plan.verbs import FactsRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tether_hw.fleet.reach import Reach
    from tether_hw.fleet.runner import Results
    from tether_hw.fleet.ssh import Session
    from tether_hw.plan.plan import HostPlan


def collect(reach: Reach, hosts: Iterable[str], parallel: int = 32) -> Results[Facts]:
    """The facts of each host, or why there are none."""

    def work(host: str) -> Facts:
        reach.progress.tell(host, "connects")
        with reach.session(host) as session:
            reach.progress.tell(host, "reads facts")
            facts = read(reach, session)
        reach.progress.tell(host, "facts read", 1.0)
        return facts

    return runner.run(hosts, work, parallel)


def check_planned(reach: Reach, plans: Mapping[str, HostPlan], parallel: int = 32) -> Results[Facts]:
    """The facts of hosts that are as their plans found them; the others are locked or refused with the difference."""

    def work(host: str) -> Facts:
        reach.progress.tell(host, "connects")
        plan = plans[host]
        with reach.session(host) as session:
            facts = read(reach, session, plan.selectors, nv_keys(plan.config))
        pending, found = facts.status["pending"], differences(plan.config, facts.config)
        if pending is not None:
            raise HostLocked(host, pending["run"], pending["holder"], pending["since"])
        if found:
            words = f"the plan was made from other facts: {in_words(found)}"
            error = HostRefused(host, words, hint="plan again: tether plan")
            error.code, error.detail = "facts-differ", {"differences": found, "host": host}
            raise error
        reach.progress.tell(host, "as planned", 1.0)
        return facts

    return runner.run(plans, work, parallel)


def read(
    reach: Reach, session: Session, devices: tuple[dict[str, Any], ...] | None = None, nv: tuple[str, ...] | None = None
) -> Facts:
    """The facts of the host of a session: by its agent when our bundle is there, otherwise by code sent along.

    devices: selectors, nv: settings in the memory of cards; those of the inventory when left out.
    """
    host = session.target.name
    nics = reach.inventory.hosts[host].nics
    wanted = tuple(nics[nic].device.selector() for nic in sorted(nics)) if devices is None else devices
    keys = {key for nic in nics.values() for key in nic.settings()} if nv is None else nv
    request = FactsRequest(host, wanted, tuple(sorted(keys)))
    machine = reach.look(session)
    agent = reach.reader(session, machine)
    if agent is not None:
        document = agent.call("facts", request.to_dict())
    else:
        body = {**request.to_dict(), "root": machine.root}
        document = bare.run(session, "tether_hw.agent.facts", body, VERB_S * reach.time_scale)
    try:
        return Facts.parse(document)
    except ShapeError as error:
        raise HostFailed(host, f"its facts are not understood: {error}") from None
