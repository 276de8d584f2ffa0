# SPDX-License-Identifier: Apache-2.0
"""A host's journal and states in words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tether_hw.errors import (
    Exit,
    HostError,
    HostFailed,
    HostLocked,
    HostRefused,
    HostRolledBack,
    HostSplit,
    HostUnreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tether_hw.fleet.progress import Progress

_POINTS = {
    "stage": "stages the plan",
    "lock": "locked for this run",
    "snapshot": "takes a snapshot",
    "arm": "arms the dead-man",
    "verify": "verifies",
    "await": "proved here, waits for the confirm",
    "hold": "waits for the other side of its card",
    "proceed": "goes on",
    "together": "both sides of its card are armed",
    "ready": "both sides of its card are proved",
    "confirm": "confirms",
    "disarm": "disarms the dead-man",
    "continue": "goes on after its boot",
    "revert": "takes back",
}


def teller(progress: Progress, host: str, steps: int) -> Callable[[dict[str, Any]], None]:
    """Tells the progress of a host from its journal's records."""
    total = steps + 4.0
    done = 0.0

    def hear(record: dict[str, Any]) -> None:
        nonlocal done
        point, phase = str(record["point"]), str(record["phase"])
        if phase == "end" and point in ("snapshot", "arm", "step", "verify"):
            done += 1.0
        if point in ("step", "undo"):
            now, after = ("undoes", "undone") if point == "undo" else ("runs", "done")
            words = (
                f"{now} {record['step']}"
                if phase == "begin"
                else f"{record['step']} {after if phase == 'end' else phase}"
            )
        elif point == "reboot":
            number, of = record.get("number"), record.get("of")
            words = f"reboots ({number} of {of})" if phase == "begin" else f"is back from reboot {number} of {of}"
        elif point == "close":
            words, done = str(record["state"]), total
        else:
            words = _POINTS.get(point, point)
            if phase == "failed":
                words += ": failed"
        progress.tell(host, words, min(1.0, done / total))

    return hear


def raise_for(host: str, run: str, status: dict[str, Any]) -> None:
    """Raise the error that a run's state is for a command that wanted it kept."""
    state = status["state"]
    why = status.get("why") or (status["outcome"] or {}).get("by") or "no reason given"
    if state in ("rolled-back", "taken-back"):
        if status.get("restored") is False:
            raise HostFailed(host, f"taken back ({why}), but not all of it: {remainder(status)}")
        raise HostRolledBack(host, f"rolled back: {why}")
    if state in ("reverting", "revert-interrupted"):
        raise HostFailed(
            host, f"being taken back ({why}), not finished: {remainder(status)}", hint=f"tether rollback {run}"
        )
    if state in ("interrupted", "staging", "staged", "not-begun"):
        raise HostFailed(host, f"the run is {state}", hint=f"tether resume {run}, or tether rollback {run}")


def remainder(status: dict[str, Any]) -> str:
    """What a revert left, in words."""
    words = [str(problem) for problem in status.get("problems") or []]
    words += [".".join(item["path"]) + " differs" for item in status.get("differences") or []]
    return "; ".join(words) or "nothing is known to be left"


def result_of(error: HostError) -> dict[str, Any]:
    """A host's failure as JSON documents show it."""
    names = (
        (HostLocked, "locked"),
        (HostRolledBack, "rolled-back"),
        (HostSplit, "split"),
        (HostUnreachable, "unreachable"),
        (HostRefused, "refused"),
    )
    result = next((name for kind, name in names if isinstance(error, kind)), "failed")
    return {
        "host": error.host,
        "result": result,
        "exit": int(error.exit),
        "message": error.reason,
        "hint": error.hint,
        "detail": error.detail,
    }


def result_ok(host: str, result: str, message: str, **more: Any) -> dict[str, Any]:
    """A host's success as JSON documents show it."""
    return {"host": host, "result": result, "exit": int(Exit.DONE), "message": message, "hint": None, **more}
