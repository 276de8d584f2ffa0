# SPDX-License-Identifier: Apache-2.0
"""Where a run stands, read from its journal, its outcome and its processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tether_hw.agent import close, confirm, deadman, reboot
from tether_hw.agent.journal import END
from tether_hw.agent.process import boot_id
from tether_hw.agent.run import CONFIRMED, DEADMAN, EXECUTOR, REVERTED, REVERTER
from tether_hw.agent.staged import Staged
from tether_hw.plan.checks import IN_SOFTWARE

if TYPE_CHECKING:
    from tether_hw.agent.host import Host
    from tether_hw.agent.run import Run

#: state -> what it means
STATES = {
    "not-begun": "cut off before its plan was kept; nothing was touched",
    "staging": "its plan is kept, the facts were not compared yet",
    "staged": "kept, not started",
    "running": "its steps are being carried out",
    "rebooting": "the host is on its way through a boot that the run asked for",
    "interrupted": "its executor is gone before the end; waits for resume or rollback",
    "awaiting": "done and proved here, waits for the confirm",
    "confirming": "confirmed, not yet closed",
    "confirmed": "kept",
    "reverting": "being taken back",
    "revert-interrupted": "was to be taken back, its reverter is gone; waits for resume or rollback",
    "rolled-back": "taken back before it was confirmed",
    "taken-back": "confirmed, then taken back",
}
#: States that do not change by themselves, the deadline of a dead-man left aside.
RESTING = tuple(name for name in STATES if name not in ("running", "rebooting", "reverting"))


def state(run: Run) -> str:
    """One word of STATES."""
    closed = close.closed(run)
    if closed is not None:
        return closed
    if not run.exists():
        return "not-begun"
    if reboot.waits(run):
        return "rebooting"
    reverting = run.is_decided(REVERTED) or run.journal.last("revert") is not None
    if reverting:
        acting = any(run.process(role) is not None for role in (REVERTER, EXECUTOR, DEADMAN))
        return "reverting" if acting else "revert-interrupted"
    if run.is_decided(CONFIRMED):
        return "confirming"
    if run.process(EXECUTOR) is not None:
        return "running"
    records = run.journal.records()
    if confirm.waits(records) and records[-1]["boot"] == boot_id() and deadman.watches(run):
        return "awaiting"
    if run.journal.last("start") is None and run.journal.last("resume") is None:
        return "staging" if run.journal.last("stage", END) is None else "staged"
    return "interrupted"


def status(host: Host, run: Run) -> dict[str, Any]:
    """Everything that a controller asks about a run."""
    records = run.journal.records()
    answer: dict[str, Any] = {
        "run": run.name,
        "state": state(run),
        "records": len(records),
        "outcome": run.outcome(),
        "left_s": deadman.left_s(run),
        "began": records[0]["at"] if records else None,
        "ended": records[-1]["at"] if records else None,
        "holder": None,
        "plan_id": None,
        "inventory": None,
        "steps": [],
        "restored": None,
        "why": None,
        "differences": [],
        "in_software": [],
        "joined": None,
        "pending": (host.lock.holder() or {}).get("run") == run.name,
    }
    if run.exists():
        staged = Staged.of(run)
        answer.update(holder=staged.holder, plan_id=staged.plan_id, inventory=staged.inventory)
        if staged.joined is not None:
            answer["joined"] = {**staged.joined.to_dict(), "after": [after.to_dict() for after in staged.plan.after]}
        answer["steps"] = [
            {"id": step.id, "done": _done(records, step.id), "ran": _ran(records, step.id)}
            for step in staged.plan.steps
        ]
    verify = run.journal.last("verify", END)
    if verify is not None:
        answer["in_software"] = [check for check in verify["checks"] if check["result"] == IN_SOFTWARE]
    revert = run.journal.last("revert", END)
    if revert is not None:
        answer.update(restored=revert["restored"], why=revert["why"], differences=revert["differences"])
        answer["problems"] = revert["problems"]
    return answer


def _ran(records: list[dict[str, Any]], step: str) -> bool:
    """Whether a step was carried out, taken back since or not."""
    return any(r.get("step") == step and r["point"] == "step" and r["phase"] == END for r in records)


def _done(records: list[dict[str, Any]], step: str) -> bool:
    """The last word of the journal about a step."""
    done = False
    for record in records:
        if record.get("step") == step:
            if record["point"] == "step":
                done = record["phase"] == END
            elif record["point"] == "undo" and record["phase"] == END:
                done = False
    return done
