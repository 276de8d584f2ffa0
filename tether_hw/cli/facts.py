# SPDX-License-Identifier: Apache-2.0
"""`tether facts`: what the hosts are. On a host that has nothing of ours, nothing is left behind."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tether_hw.cli import output
from tether_hw.cli.common import add_inventory, add_json, add_limit, add_timeout
from tether_hw.cli.exits import worst
from tether_hw.plan.facts import Facts
from tether_hw.plan.kinds.nic_queues import queues_text


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("facts", help="read what the hosts are", description=__doc__.split(": ", 1)[1])
    add_inventory(parser)
    add_limit(parser)
    add_timeout(parser)
    add_json(parser)
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, help="record them, for `tether plan --facts DIR`")


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from tether_hw.cli.read_facts import read_facts
    from tether_hw.fleet import facts_record
    from tether_hw.fleet.inventory import load
    from tether_hw.fleet.patterns import select

    inventory = load(Path(args.inventory))
    facts, failed = read_facts(inventory, select(inventory, args.limit), args)
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
