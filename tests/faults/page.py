# SPDX-License-Identifier: Apache-2.0
"""The page of what came of every fault."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tests.faults.rows import AS_BEFORE, CONFIGURED, Row

HEAD = """\
# Faults in the middle of runs

Made by `make faults` ([how, and how to repeat one row](../faults.md)). Each row is a run that something happened to at
one point; its host ends *configured* (all of the plan, by config facts, and taken back afterwards it is as it was) or
*as before*, by its config facts and by the state in its journal. A row that ends otherwise is bold.
"""
WORDS = {
    "models": "Driver models, in one process with the real planner and agent: each point is of a random machine on "
    "which one wish was applied and kept before, and lies at one record of the journal or one change to the machine.",
    "netns": "Hosts made of namespaces over real SSH, stopped exactly behind the record that a row names.",
    "vm": "Guests with a kernel and systemd of their own.",
}
Found = dict[str, tuple[dict[str, Any], list[Row]]]


def page(found: Found) -> str:
    """Those tiers that have rows."""
    return HEAD + "".join(_tier(tier, head, rows) for tier, (head, rows) in found.items() if rows)


def _tier(tier: str, head: dict[str, Any], rows: list[Row]) -> str:
    said = [f"{name} {head[name]}" for name in ("commit", "begun", "seed") if head.get(name) is not None]
    lines = [
        f"\n## {tier}\n",
        f"{WORDS[tier]} {', '.join(said)}; {len(rows)}{_of(head)} rows, {sum(_bad(rows))} left between.\n",
    ]
    if "how" in head:
        lines.append(f"By `{head['how']}`.\n")
    lines += ["| host | fault | times | configured | as before | between | seconds, mean and most |", "|" + "---|" * 7]
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.machine, row.fault].append(row)
    for (machine, fault), some in groups.items():
        ends = [sum(row.end == end for row in some) for end in (CONFIGURED, AS_BEFORE)]
        taken = [row.seconds for row in some]
        counts = f"{len(some)} | {ends[0]} | {ends[1]} | {sum(_bad(some))}"
        lines.append(f"| {machine} | {fault} | {counts} | {sum(taken) / len(taken):.1f}, {max(taken):.1f} |")
    lines += ["", "| row | where | then | end | s |", "|" + "---|" * 5]
    lines += [_line(row) for row in rows]
    return "\n".join(lines) + "\n"


def _of(head: dict[str, Any]) -> str:
    return f" of {head['of']}" if "of" in head else ""


def _bad(rows: list[Row]) -> list[bool]:
    return [not row.ok for row in rows]


def _line(row: Row) -> str:
    end = row.end if row.ok else f"**{row.end}**"
    cells = (row.id or row.fault, f"`{row.point}`", row.then, end, f"{row.seconds:.1f}")
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
