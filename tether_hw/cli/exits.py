# SPDX-License-Identifier: Apache-2.0
"""Exit codes, in one table."""

from __future__ import annotations

from collections.abc import Iterable

from tether_hw.errors import Exit

#: Code -> what it says, as `tether --help` and the documentation print it.
MEANINGS: dict[Exit, str] = {
    Exit.DONE: "done",
    Exit.ERROR: "error, nothing was begun (input or local)",
    Exit.CHANGES: "changes or drift (only with --detailed-exitcode)",
    Exit.FAILED: "some hosts failed (a refusal, a changed host or identity key, a stop in mid-exec)",
    Exit.UNREACHABLE: "some hosts unreachable (no session within the deadline)",
    Exit.ROLLED_BACK: "rolled back",
    Exit.UNPROVED: "applied and kept, a proof failed",
    Exit.LOCKED: "locked by another run",
    Exit.USAGE: "usage",
    Exit.INTERRUPTED: "interrupted",
}

#: In a run over several hosts the first of these that any host ended with is the exit code.
PRECEDENCE = (
    Exit.LOCKED,
    Exit.ERROR,
    Exit.ROLLED_BACK,
    Exit.FAILED,
    Exit.UNREACHABLE,
    Exit.UNPROVED,
    Exit.CHANGES,
)


def worst(codes: Iterable[int]) -> Exit:
    """The exit code of a run whose hosts ended with these codes."""
    found = {Exit(code) for code in codes}
    for code in (Exit.INTERRUPTED, Exit.USAGE, *PRECEDENCE):
        if code in found:
            return code
    return Exit.DONE


__all__ = ["MEANINGS", "PRECEDENCE", "Exit", "worst"]
