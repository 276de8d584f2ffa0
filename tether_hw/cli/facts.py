# SPDX-License-Identifier: Apache-2.0
"""`tether facts`: what the hosts are. On a host that has nothing of ours, nothing is left behind."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tether_hw.cli import output
from tether_hw.cli.common import add_inventory, add_json, add_limit, add_timeout
from tether_hw.cli.exits import worst
from tether_hw.plan.facts import Facts
from tether_hw.plan.kinds.nic_queues import queues_text

if TYPE_CHECKING:
    from tether_hw.fleet.inventory import Inventory


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("facts", help="read what the hosts are", description=__doc__.split(": ", 1)[1])
    add_inventory(parser)
    add_limit(parser)
    add_timeout(parser)
    add_json(parser)
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, help="record them, for `tether plan --facts DIR`")
    parser.add_argument(
        "--probe",
        action="store_true",
        help="first set rules that no frame fits, to find out what drivers take into hardware, and take them away",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from tether_hw.cli.read_facts import read_facts
    from tether_hw.fleet import facts_record
    from tether_hw.fleet.inventory import load
    from tether_hw.fleet.patterns import select

    inventory = load(Path(args.inventory))
    names = select(inventory, args.limit)
    failed = _probe(inventory, names, args) if args.probe else []
    facts, unread = read_facts(inventory, [name for name in names if name not in {one["host"] for one in failed}], args)
    failed += unread
    if args.output is not None:
        for path in facts_record.write(args.output, facts):
            output.say(f"wrote {path}")
    if args.json:
        output.emit_json(
            {
                "schema": "tether.facts.list/1",
                "hosts": {
                    name: {"facts_digest": found.digest, "facts": found.to_dict()} for name, found in facts.items()
                },
                "failed": failed,
            }
        )
    lines = [line for name in facts for line in facts_lines(facts[name])]
    if lines:
        output.result("\n".join(lines), as_json=args.json)
    return worst(failure["exit"] for failure in failed)


def _probe(inventory: Inventory, names: list[str], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Probe the hosts; the entries of those that could not be, which a person is told about."""
    from tether_hw.fleet import probe
    from tether_hw.fleet.progress import show
    from tether_hw.fleet.reach import Reach
    from tether_hw.fleet.words import result_of

    with show(names, quiet=args.json) as progress:
        results = probe.probe(Reach(inventory, args.timeout, progress=progress), names, args.parallel)
    for name in sorted(results.done):
        for one in results.done[name]["skipped"]:
            output.say(f"{name}: {one['function']} is not probed: {one['why']}")
    for name in sorted(results.failed):
        output.report(results.failed[name])
    return [result_of(results.failed[name]) for name in sorted(results.failed)]


def _probe_lines(status: dict[str, Any]) -> list[str]:
    """What earlier probes found that still holds."""
    lines = []
    for function, modes in sorted(status.get("probed", {}).items()):
        for mode, found in sorted(modes.items()):
            told = []
            for kind in ("flower", "u32"):
                verdict, words = found[kind]["verdict"], found[kind]["words"]
                told.append(f"{kind} {verdict}" + (f" ({words})" if words else ""))
            lines.append(f"    {function} probed in {mode}: {', '.join(told)}")
    return lines


def _card_lines(config: dict[str, Any]) -> list[str]:
    """Cards and their functions."""
    lines = []
    for serial, card in sorted(config["cards"].items()):
        package = card["package"]
        words = "no package" if package is None else f"package {package['name']} {package['version']}"
        lines.append(f"  card {serial}: {'safe mode' if card['safe_mode'] else words}")
        for pci, one in sorted(config["functions"].items()):
            if one["card"] != serial:
                continue
            if one["driver"] is None:
                lines.append(f"    {pci}: no driver")
                continue
            counts = [f"{one['vfs']} VFs"]
            for table, tool in (("ntuple", "ethtool"), ("flower", "tc")):
                counts.append(
                    f"no rules of {tool}" if one[table] is None else f"{len(one[table]['rules'])} rules of {tool}"
                )
            words = ", ".join([one["eswitch"] or "no switch", *counts])
            lines.append(f"    {pci} {one['device'] or one['driver']}: {words}")
    return lines


def facts_lines(facts: Facts) -> list[str]:
    """Facts for people."""
    status, config = facts.status, facts.config
    root = "root" if status["is_root"] else f"user {status['user']}"
    lines = [f"{facts.host}: Linux {status['kernel']} {status['arch']}, Python {status['python']}, {root}"]
    for device, nic in sorted(config["nics"].items()):
        ring = "no ring" if nic["ring"] is None else f"ring rx {nic['ring']['rx']} tx {nic['ring']['tx']}"
        foreign = ", foreign XDP program" if nic["xdp"]["foreign"] else ""
        queues = "no queue count" if nic["queues"] is None else f"queues {queues_text(nic['queues'])}"
        lines.append(f"  {device}: {nic['driver'] or 'no driver'}, MTU {nic['mtu']}, {queues}, {ring}{foreign}")
    lines.extend(_card_lines(config))
    lines.extend(_probe_lines(status))
    engine = config["engine"]
    bundle = f", bundle {engine['bundle'][:12]}" if engine["bundle"] else ""
    lines.append(f"  engine: {engine['service']}{bundle}; identity key: {config['keys']['node'] or 'none'}")
    lines.append(f"  links: {', '.join(link['name'] for link in status['links']) or 'none'}")
    missing = [name for name in ("ethtool", "ip") if status["tools"].get(name) is None]
    if missing:
        lines.append(f"  lacks: {', '.join(missing)}")
    for carrier, reason in sorted(status["carriers"].items()):
        if reason is not None:
            lines.append(f"  carrier {carrier}: {reason}")
    if status["pending"]:
        pending = status["pending"]
        lines.append(f"  run {pending['run']} of {pending['holder']} is pending since {pending['since']}")
    return lines
