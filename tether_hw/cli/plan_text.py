# SPDX-License-Identifier: Apache-2.0
"""A plan in words."""

from __future__ import annotations

from tether_hw.plan.plan import HostPlan, Plan
from tether_hw.plan.step import Step


def plan_lines(plan: Plan, *, full: bool = False, unread: int = 0) -> list[str]:
    """The plan for people; `full` adds commands, conditions and checks of every step; `unread`: hosts without facts."""
    lines = []
    for name, host in plan.hosts.items():
        lines.extend(_host_lines(name, host, full))
    for refusal in plan.refusals:
        lines.append(f"{refusal['host']}: refused: {refusal['reason']}")
    for note in plan.notes:
        lines.append(f"{note['host']}: note: {note['note']}")
    for reason in plan.not_for_apply:
        lines.append(f"not for apply: {reason}")
    lines.append(summary(plan) + (f"; {unread} host{_s(unread)} not read" if unread else ""))
    return lines


def summary(plan: Plan) -> str:
    """One line: how much changes where, and the worst that it disturbs."""
    changing = [host for host in plan.hosts.values() if host.steps]
    if not plan.hosts:
        return "no plan"
    if not plan.changes:
        return f"no changes: {len(plan.hosts)} host{_s(len(plan.hosts))} as the inventory says"
    classes = sorted({host.disruption for host in changing})
    return (
        f"{plan.changes} step{_s(plan.changes)} on {len(changing)} of {len(plan.hosts)} host{_s(len(plan.hosts))}, "
        f"disruption: {', '.join(classes)}"
    )


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _host_lines(name: str, host: HostPlan, full: bool) -> list[str]:
    if not host.steps:
        return [f"{name}: no changes"]
    lines = [f"{name}: {len(host.steps)} step{_s(len(host.steps))}, disruption {host.disruption}"]
    for step in host.steps:
        lines.extend(_step_lines(step, full))
    if host.boot is not None and host.boot.steps:
        lines.append(f"  at every boot: {boot_words(host.boot)}")
        for step in host.boot.steps if full else ():
            lines.append(f"    {step.id:<24} {step.summary}")
    if full:
        lines.append(
            f"    facts {host.facts_digest[:12]}, bundle {(host.bundle or 'not built')[:12]}, root {host.root}"
        )
        for check in host.checks:
            lines.append(f"    proves {check.id} ({check.scope})")
    return lines


def boot_words(boot: HostPlan) -> str:
    """The boot plan of a host in one line."""
    count = len(boot.steps)
    return f"{count} step{_s(count)}: {'; '.join(step.summary for step in boot.steps)}"


def _step_lines(step: Step, full: bool) -> list[str]:
    undo = (
        "undo: " + "; ".join(" ".join(argv) for argv in step.undo.argv) if step.undo else f"no undo: {step.undo_reason}"
    )
    lines = [f"  {step.id:<24} {step.disruption:<14} {step.summary}", f"  {'':<24} {'':<14} {undo}"]
    if full:
        for argv in step.argv:
            lines.append(f"      $ {' '.join(argv)}")
        for condition in step.pre:
            lines.append(f"      needs {'.'.join(condition.path)} = {_short(condition.equals)}")
        lines.append(f"      deadline {step.timeout_s} s")
    return lines


def _short(value: object) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
