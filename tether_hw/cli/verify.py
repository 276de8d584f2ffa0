# SPDX-License-Identifier: Apache-2.0
"""`tether verify`: prove that the hosts are as the inventory says and that engine frames arrive on their queues."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tether_hw.cli.common import add_inventory, add_json, add_limit, add_timeout


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("verify", help="prove what was applied", description=__doc__.split(": ", 1)[1])
    add_inventory(parser)
    add_limit(parser)
    add_timeout(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from tether_hw.cli.read_facts import read_facts
    from tether_hw.cli.results import give
    from tether_hw.errors import HostRefused
    from tether_hw.fleet import counters, verify
    from tether_hw.fleet.inventory import load
    from tether_hw.fleet.patterns import select
    from tether_hw.fleet.planner import make_plan
    from tether_hw.fleet.planning import setting
    from tether_hw.fleet.progress import show
    from tether_hw.fleet.reach import Reach
    from tether_hw.fleet.words import result_of

    inventory = load(Path(args.inventory))
    names = select(inventory, args.limit)
    facts, failed = read_facts(inventory, names, args)
    plan = make_plan(inventory, facts, setting(inventory))
    checks: list[dict[str, Any]] = []
    with show(sorted(plan.hosts), quiet=args.json) as progress:
        reach = Reach(inventory, args.timeout, progress=progress)
        mine, errors = verify.local(reach, plan.hosts, args.parallel)
        checks += mine
        absent = {failure["host"]: failure["message"] for failure in failed}
        absent.update({host: error.reason for host, error in errors.items()})
        absent.update({refusal["host"]: refusal["reason"] for refusal in plan.refusals})
        for check in mine:
            if check["check"] == "engine" and check["result"] != verify.PROVED:
                absent.setdefault(check["host"], f"the engine of {check['host']} does not answer")
        checks += verify.links(reach, {host: plan.hosts[host].checks for host in plan.hosts}, absent)
        checks += counters.prove(reach, plan.hosts, absent)
        checks += verify.cards(reach, plan.hosts, args.parallel)
    failed += [result_of(HostRefused(refusal["host"], refusal["reason"])) for refusal in plan.refusals]
    failed += verify.failures(errors)
    checks.sort(key=lambda check: (check["host"], check["id"]))
    return give("tether.verify/1", failed, as_json=args.json, checks=checks)
