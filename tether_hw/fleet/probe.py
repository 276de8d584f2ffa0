# SPDX-License-Identifier: Apache-2.0
"""Asking hosts to find out what their drivers take into hardware. A person asks; no other verb does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostRefused
from tether_hw.fleet import runner, state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tether_hw.fleet.reach import Reach
    from tether_hw.fleet.runner import Results


def probe(reach: Reach, hosts: Iterable[str], parallel: int = 32) -> Results[dict[str, Any]]:
    """{"probed": [...], "skipped": [...]} of each host, or why there is none."""
    holder = state.holder()

    def work(host: str) -> dict[str, Any]:
        reach.progress.tell(host, "connects")
        nics = reach.inventory.hosts[host].nics
        devices = [nics[name].device.selector() for name in sorted(nics)]
        with reach.session(host) as session:
            agent = reach.agent_there(session)
            if agent is None:
                raise HostRefused(host, "the bundle of this suite is not on the host", hint="tether key enroll")
            reach.progress.tell(host, "probes")
            return agent.call("probe", {"devices": devices, "holder": holder})

    return runner.run(hosts, work, parallel)
