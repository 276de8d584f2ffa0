# SPDX-License-Identifier: Apache-2.0
"""`tether apply [PLAN]`: carry out a plan on the hosts, prove it, confirm it; or each host takes it back."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tether_hw.cli import output
from tether_hw.cli.common import add_inventory, add_json, add_limit, add_timeout, add_yes
from tether_hw.cli.exits import Exit
from tether_hw.errors import TetherError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tether_hw.fleet.inventory import Inventory
    from tether_hw.fleet.reach import Reach
    from tether_hw.plan.facts import Facts
    from tether_hw.plan.plan import Plan


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("apply", help="carry out a plan", description=__doc__.split(": ", 1)[1])
    parser.add_argument("plan_file", nargs="?", type=Path, metavar="PLAN", help="a saved plan; made now when left out")
    add_inventory(parser)
    add_limit(parser)
    add_timeout(parser)
    add_yes(parser)
    add_json(parser)
    parser.add_argument(
        "--allow", action="append", choices=("reboot",), default=[], help="what it may do to the hosts beside the rest"
    )
    parser.add_argument("--no-confirm", action="store_true", help="leave the hosts waiting for `tether confirm RUN`")
    parser.add_argument(
        "--rollback-unproven", action="store_true", help="take both ends of a link back when its proof fails"
    )
    parser.add_argument(
        "--force-unproven",
        action="store_true",
        help="try rules in hardware where hardware is known not to take them; a host that does not show them goes back",
    )
    parser.add_argument(
        "--max-fail", metavar="N", type=int, help="begin no further host once more than N failed (no limit)"
    )


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    if args.no_confirm and args.rollback_unproven:
        raise UsageError("tether apply: links are proved after the confirm: --no-confirm leaves nothing to take back")
    if args.force_unproven and args.plan_file is not None:
        raise UsageError("tether apply: --force-unproven makes another plan than the saved one: leave PLAN out")
    from tether_hw.cli.plan_text import plan_lines
    from tether_hw.cli.read_facts import warn_of_stale_bundles
    from tether_hw.cli.results import give
    from tether_hw.fleet.cards import check_whole
    from tether_hw.fleet.inventory import load
    from tether_hw.fleet.patterns import select
    from tether_hw.fleet.progress import show
    from tether_hw.fleet.reach import Reach

    inventory = load(Path(args.inventory))
    names = select(inventory, args.limit)
    check_whole(inventory.cards, names)
    warn_of_stale_bundles()
    if args.plan_file is not None:
        plan = _saved(args.plan_file, inventory, names)
        failed = _moved(args, inventory, plan)
    else:
        inventory, plan, failed = _made(args, inventory, names)
    failed += [_refused(refusal) for refusal in _by_host(plan.refusals) if not _in(failed, refusal["host"])]
    if plan.not_for_apply:
        raise TetherError(f"this plan is not for apply: {'; '.join(plan.not_for_apply)}")
    output.say("\n".join(plan_lines(plan, unread=len(failed))))
    booting = [name for name in sorted(plan.hosts) if plan.hosts[name].boots]
    if booting and "reboot" not in args.allow:
        raise TetherError(f"{', '.join(booting)} would be booted; nothing was done", hint="--allow reboot")
    if plan.changes and not output.agreed(f"Apply {plan.changes} changes to {_touched(plan)}?", yes=args.yes):
        raise TetherError("not agreed, nothing was done")
    hosts = sorted(plan.hosts)
    with show(hosts, quiet=args.json) as progress:
        reach = Reach(inventory, args.timeout, progress=progress)
        document = _carry_out(args, reach, plan, failed)
    return give("tether.apply/1", document.pop("hosts"), as_json=args.json, **document)


def _saved(path: Path, inventory: Inventory, names: list[str]) -> Plan:
    from tether_hw.plan.plan import Plan
    from tether_hw.plan.shape import ShapeError

    try:
        plan = Plan.load(path.read_bytes())
    except OSError as error:
        raise TetherError(f"{path}: {error.strerror}") from None
    except ShapeError as error:
        raise TetherError(f"{path}: {error}", hint="make the plan anew: tether plan -o FILE") from None
    strangers = sorted(set(plan.hosts) - set(inventory.hosts))
    if strangers:
        raise TetherError(
            f"{path}: {', '.join(strangers)} of this plan: not in {inventory.path}",
            hint="-i names the inventory that the plan was made from",
        )
    return replace(plan, hosts={name: host for name, host in plan.hosts.items() if name in names})


def _moved(args: argparse.Namespace, inventory: Inventory, plan: Plan) -> list[dict[str, Any]]:
    """Hosts without steps that are not as the saved plan found them; those with steps look for themselves."""
    from tether_hw.fleet.facts import check_planned
    from tether_hw.fleet.progress import show
    from tether_hw.fleet.reach import Reach
    from tether_hw.fleet.words import result_of

    quiet = {name: host for name, host in plan.hosts.items() if not host.steps}
    with show(sorted(quiet), quiet=args.json) as progress:
        results = check_planned(Reach(inventory, args.timeout, progress=progress), quiet, args.parallel)
    return [result_of(results.failed[name]) for name in sorted(results.failed)]


def _made(
    args: argparse.Namespace, inventory: Inventory, names: list[str]
) -> tuple[Inventory, Plan, list[dict[str, Any]]]:
    """A plan made now. Hosts that have no key yet are enrolled first."""
    from tether_hw.cli.read_facts import read_facts
    from tether_hw.fleet.enroll import enroll, place
    from tether_hw.fleet.inventory import load
    from tether_hw.fleet.planner import make_plan
    from tether_hw.fleet.planning import setting
    from tether_hw.fleet.progress import show
    from tether_hw.fleet.reach import Reach
    from tether_hw.fleet.words import result_of

    failed: list[dict[str, Any]] = []
    new = [name for name in names if name not in inventory.keys and inventory.lanes[name]]
    if new:
        if not output.agreed(f"Enroll {', '.join(new)} (make identity keys there)?", yes=args.yes):
            raise TetherError("not agreed, nothing was done")
        with show(new, quiet=args.json) as progress:
            enrolled = enroll(Reach(inventory, args.timeout, progress=progress), new, args.parallel)
        failed = [result for result in enrolled if result["exit"]]
        inventory = load(Path(args.inventory))
    left = [name for name in names if not _in(failed, name)]
    facts, unread = read_facts(inventory, left, args, warn=False)
    keyless = [name for name in facts if inventory.lanes[name] and facts[name].config["keys"]["node"] is None]
    if keyless:
        # The key may be there without a bundle that could read it. None is made: a lost one is refused by the planner.
        if not output.agreed(f"Place the bundle on {', '.join(keyless)} (to read identity keys)?", yes=args.yes):
            raise TetherError("not agreed, nothing was done")
        with show(keyless, quiet=args.json) as progress:
            placed = place(Reach(inventory, args.timeout, progress=progress), keyless, args.parallel)
        for error in placed.failed.values():
            output.report(error)
            del facts[error.host]
        failed += [result_of(error) for error in placed.failed.values()]
        again, lost = read_facts(inventory, sorted(placed.done), args, warn=False)
        facts = {name: again.get(name, found) for name, found in facts.items() if not _in(lost, name)}
        unread += lost
    plan = make_plan(inventory, facts, setting(inventory, forced=args.force_unproven))
    return inventory, plan, [*failed, *unread, *_held(facts, plan)]


def _in(results: list[dict[str, Any]], host: str) -> bool:
    return any(result["host"] == host for result in results)


def _held(facts: Mapping[str, Facts], plan: Plan) -> list[dict[str, Any]]:
    """Hosts that look as they should only until the run that holds them is taken back: nothing is done there."""
    from tether_hw.errors import HostLocked
    from tether_hw.fleet.words import result_of

    held = []
    for name, host in plan.hosts.items():
        pending = facts[name].status["pending"]
        if pending is not None and not host.steps:
            held.append(result_of(HostLocked(name, pending["run"], pending["holder"], pending["since"])))
    return held


def _by_host(refusals: Any) -> list[dict[str, str]]:
    """The planner's refusals, one entry per host."""
    found: dict[str, list[str]] = {}
    for refusal in refusals:
        found.setdefault(refusal["host"], []).append(refusal["reason"])
    return [{"host": host, "reason": "; ".join(reasons)} for host, reasons in sorted(found.items())]


def _refused(refusal: dict[str, str]) -> dict[str, Any]:
    return {
        "host": refusal["host"],
        "result": "refused",
        "exit": int(Exit.FAILED),
        "message": refusal["reason"],
        "hint": None,
        "detail": {},
    }


def _touched(plan: Plan) -> str:
    return ", ".join(name for name in sorted(plan.hosts) if plan.hosts[name].steps)


def _carry_out(args: argparse.Namespace, reach: Reach, plan: Plan, failed: list[dict[str, Any]]) -> dict[str, Any]:
    """Apply and prove the links; the parts of the document. Ctrl-C says what to do next."""
    from tether_hw.fleet import counters, unproven, verify
    from tether_hw.fleet.apply import Application, Wish
    from tether_hw.fleet.cards import outcomes
    from tether_hw.fleet.runner import Interrupted

    wish = Wish(not args.no_confirm, args.parallel, args.max_fail)
    one = Application(reach, plan, wish)
    run_name = one.run_name
    checks: list[dict[str, Any]] = []
    try:
        results = one.carry_out() if one.hosts() else []
        results = [result for result in results if not _in(failed, result["host"])]
        known = {result["host"] for result in [*results, *failed]}
        results += [_unchanged(host) for host in sorted(plan.hosts) if host not in known]
        kept = {result["host"] for result in results if result["result"] in ("confirmed", "unchanged")}
        absent = {result["host"]: f"{result['host']} is {result['result']}" for result in [*results, *failed]}
        for host in kept:
            absent.pop(host, None)
        wanted = {host: plan.hosts[host].checks for host in plan.hosts if host in kept}
        checks = [*one.in_software, *verify.links(reach, wanted, absent)]
        checks += counters.prove(reach, {host: plan.hosts[host] for host in wanted}, absent)
        checks.sort(key=lambda check: (check["host"], check["id"]))
        if args.rollback_unproven:
            results = unproven.take_back(reach, plan, run_name, one.kept, checks, results)
    except Interrupted:
        begun = one.under_way()
        message, hint = "interrupted; no host had begun, nothing is left of it", None
        if begun:
            message = f"interrupted; {', '.join(begun)} had begun; what nobody confirms, its host takes back"
            hint = f"tether resume {run_name}, or tether rollback {run_name}"
        elif one.kept:
            message = f"interrupted; {', '.join(sorted(one.kept))} done, the links were not proved"
            hint = "tether verify"
        error = TetherError(message, hint=hint)
        error.exit = Exit.INTERRUPTED
        raise error from None
    waiting = any(result["result"] == "awaiting" for result in results)
    after = [f"tether confirm {run_name}", f"tether rollback {run_name}"] if waiting else []
    return {
        "run": run_name if one.hosts() else None,
        "plan_id": plan.id,
        "changes": plan.changes,
        "checks": checks,
        "next": after,
        "cards": outcomes([*results, *failed]),
        "hosts": sorted([*results, *failed], key=lambda result: str(result["host"])),
    }


def _unchanged(host: str) -> dict[str, Any]:
    from tether_hw.fleet.words import result_ok

    return result_ok(host, "unchanged", "nothing to change")
