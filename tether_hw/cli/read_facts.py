# SPDX-License-Identifier: Apache-2.0
"""Facts for verbs that need them: from the hosts, or from a record."""

from __future__ import annotations

import argparse
from typing import Any

from tether_hw.cli import output
from tether_hw.fleet.inventory import Inventory
from tether_hw.plan.facts import Facts


def read_facts(
    inventory: Inventory, names: list[str], args: argparse.Namespace, *, warn: bool = True
) -> tuple[dict[str, Facts], list[dict[str, Any]]]:
    """The facts of the hosts, and of those that failed, which a person is told about, their entries for JSON.

    warn: of stale bundles, where the verb has not done so before.
    """
    from tether_hw.fleet import facts_record

    if getattr(args, "facts", None) is not None:
        return facts_record.read(args.facts, names), []
    from tether_hw.fleet.facts import collect
    from tether_hw.fleet.progress import show
    from tether_hw.fleet.reach import Reach
    from tether_hw.fleet.words import result_of

    if warn:
        warn_of_stale_bundles()
    with show(names, quiet=args.json) as progress:
        results = collect(Reach(inventory, args.timeout, progress=progress), names, args.parallel)
    for name in sorted(results.failed):
        output.report(results.failed[name])
    found = {name: results.done[name] for name in sorted(results.done)}
    return found, [result_of(results.failed[name]) for name in sorted(results.failed)]


def warn_of_stale_bundles() -> None:
    """Say it before hosts are reached when a bundle of this checkout is not what its sources are now."""
    from tether_hw.fleet import bundle, bundle_sources

    for arch in bundle.ARCHITECTURES:
        if bundle.bundle_path(arch).exists():
            old = bundle_sources.stale(bundle.find(arch))
            if old is not None:
                output.say(f"warning: bundle {arch} is {old}; next: make bundle")
