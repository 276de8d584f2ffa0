# SPDX-License-Identifier: Apache-2.0
"""Confirm: only a connection that is younger than the last step shows that the host can still be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from tether_hw.agent.errors import Decided, NotFresh, Refused
from tether_hw.agent.journal import BEGIN, END
from tether_hw.agent.process import boot_id
from tether_hw.agent.run import CONFIRMED
from tether_hw.agent.session import connection

if TYPE_CHECKING:
    from tether_hw.agent.run import Run
    from tether_hw.agent.session import Connection


def why_not_fresh(seen: Optional[Connection], records: list[dict[str, Any]]) -> Optional[str]:
    """The reason why a connection proves nothing about the host after its last step; None when it does."""
    if seen is None:
        return "this session did not come over SSH"
    here = boot_id()
    ends = [
        record["up_ns"]
        for record in records
        if record["point"] in ("step", "reboot") and record["phase"] == END and record["boot"] == here
    ]
    last_step_ns = max(ends, default=0)
    known = {record.get("peer") for record in records if record["point"] in ("stage", "start", "resume")}
    if seen.peer is not None and seen.peer in known:
        return "this session was there before the last step"
    if seen.since_ns <= last_step_ns:
        ago = (last_step_ns - seen.since_ns) / 1e9
        return "this session was there %.2f s before the last step ended" % ago
    return None


def confirm(run: Run) -> None:
    """Decide that what the run did is kept. Raises Refused, NotFresh, or Decided when the run was taken back."""
    if run.is_decided(CONFIRMED):
        return
    _check_undecided(run)
    records = run.journal.records()
    if not waits(records):
        raise Refused("run %s does not wait for a confirm" % run.name)
    seen = connection()
    reason = why_not_fresh(seen, records)
    if reason is not None:
        raise NotFresh("not confirmed: %s" % reason)
    assert seen is not None
    run.journal.append("confirm", BEGIN, peer=seen.peer, since_ns=seen.since_ns)
    if not run.decide(CONFIRMED, "confirm over %s" % seen.peer):
        _check_undecided(run)
    run.journal.append("confirm", END)


def _check_undecided(run: Run) -> None:
    record = run.outcome()
    if record is not None and record["outcome"] != CONFIRMED:
        raise Decided(
            "run %s was taken back (%s, %s)" % (run.name, record["by"], record["at"]), by=record["by"], at=record["at"]
        )


def waits(records: list[dict[str, Any]]) -> bool:
    """True when the steps are done and proved and nothing was decided since; joined runs may know of each other."""
    for record in reversed(records):
        if record["point"] == "await":
            return True
        if record["point"] not in ("confirm", "ready"):
            return False
    return False
