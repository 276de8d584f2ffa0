# SPDX-License-Identifier: Apache-2.0
"""Taking back what a run did at both ends of links that could not be proved, where that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tether_hw.errors import Exit
from tether_hw.fleet import runs
from tether_hw.fleet.cards import units
from tether_hw.plan.checks import COUNTER_CHECKS, FAILED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from tether_hw.fleet.reach import Reach
    from tether_hw.plan.plan import Plan


def ends(plan: Plan, checks: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Host -> what failed on its links, at either end."""
    peers = {
        (host, check.id): str(check.data["peer"])
        for host, one in plan.hosts.items()
        for check in one.checks
        if check.scope == "link"
    }
    found: dict[str, list[str]] = {}
    for check in checks:
        peer = peers.get((check["host"], check["id"]))
        if check["result"] == FAILED and check["check"] in COUNTER_CHECKS:
            found.setdefault(check["host"], []).append(f"{check['host']}: {check['id']}: {check['evidence']}")
        if check["result"] == FAILED and peer is not None:
            for host in (check["host"], peer):
                found.setdefault(host, []).append(f"{check['host']}: {check['id']}: {check['evidence']}")
    return found


def take_back(
    reach: Reach,
    plan: Plan,
    run: str,
    kept: Collection[str],
    checks: Iterable[Mapping[str, Any]],
    results: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """The results after the run was taken back on those of its hosts that have a link without proof."""
    failed = ends(plan, checks)
    found = units(reach.inventory.cards, set(failed) & set(kept))
    if not found:
        return results
    hosts = sorted(host for unit in found for host in unit.members)
    back = {result["host"]: result for result in runs.rollback(reach, hosts, run) if result["result"] != "unknown"}
    reasons = {unit.name: [why for host in unit.members for why in failed.get(host, [])] for unit in found}
    why_of = {host: reasons[unit.name] for unit in found for host in unit.members}
    for host, result in back.items():
        if result["exit"] == Exit.DONE:
            why = f"rolled back: a link was not proved: {'; '.join(dict.fromkeys(why_of[host]))}"
            back[host] = {**result, "result": "rolled-back", "exit": int(Exit.ROLLED_BACK), "message": why}
    return [back.get(result["host"], result) for result in results]
