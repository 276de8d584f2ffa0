# SPDX-License-Identifier: Apache-2.0
"""The runs that this host knows, whichever suite began them."""

from __future__ import annotations

from typing import Any

from tether_hw.agent import boot_plan
from tether_hw.agent.host import Host
from tether_hw.agent.sealed import sealed
from tether_hw.agent.state import status
from tether_hw.plan.paths import HostPaths


def bare(request: dict[str, Any]) -> dict[str, Any]:
    """{"root"} -> the runs, without the bundle of this suite on the host."""
    with sealed():
        return runs(Host(HostPaths(request["root"])))


def runs(host: Host) -> dict[str, Any]:
    """{"runs": [status], "pending": null or {"run", "holder", "since"}, "boot": {"plan", "result"}}"""
    found = [status(host, run) for run in host.all_runs()]
    return {"runs": found, "pending": host.lock.holder(), "boot": boot_plan.state(host)}
