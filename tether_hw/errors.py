# SPDX-License-Identifier: Apache-2.0
"""Everything that goes wrong on the controller, as one tree.

TetherError                     anything that a person is told about; exit 1 unless a branch says otherwise
├── InputErrors                 mistakes in files, all of them at once
├── UsageError                  the command line itself; exit 64
├── HostError                   something about one host
│   ├── HostRefused             it refused, or it is not who it should be; exit 3
│   ├── HostFailed              it began and failed; exit 3
│   ├── HostUnreachable         no session within the deadline; exit 4
│   ├── HostRolledBack          it took the run back; exit 5
│   ├── HostSplit               one side of its card kept the run, another did not; exit 3
│   └── HostLocked              another run holds it; exit 7
└── SecretError                 a secret's reference leads nowhere

Each error says what happened; `hint` says what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """What a command ends with; `cli/exits.py` has the table of meanings and the precedence."""

    DONE = 0
    ERROR = 1
    CHANGES = 2
    FAILED = 3
    UNREACHABLE = 4
    ROLLED_BACK = 5
    UNPROVED = 6
    LOCKED = 7
    USAGE = 64
    INTERRUPTED = 130


def printable(text: str) -> str:
    """Text in one line: what would move a terminal's cursor, or end the line, is shown as an escape."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in a file: `file:line:col: path: message` and a hint. Lines and columns count from 1; 0 = unknown."""

    file: str
    line: int
    col: int
    path: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}:{self.col}"
        path = f" {self.path}:" if self.path else ""
        return printable(f"{place}:{path} {self.message}")

    def to_dict(self) -> dict[str, object]:
        return {
            "file": self.file,
            "line": self.line,
            "col": self.col,
            "path": self.path,
            "message": self.message,
            "hint": self.hint,
        }


class TetherError(Exception):
    """An error that a person is told about."""

    exit: Exit = Exit.ERROR

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputErrors(TetherError):
    """Mistakes in files, all of them at once, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(
            set(problems), key=lambda problem: (problem.file, problem.line, problem.col, problem.path)
        )
        count = len(self.problems)
        super().__init__("\n".join(str(problem) for problem in self.problems) or "no problem")
        self.summary = f"{count} mistake{'' if count == 1 else 's'}"


class UsageError(TetherError):
    """The command line itself is wrong."""

    exit = Exit.USAGE


class HostError(TetherError):
    """Something about one host."""

    exit = Exit.FAILED

    def __init__(self, host: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(f"{host}: {message}", hint=hint)
        self.host = host
        self.reason = message
        self.code: str | None = None  # the agent's word, where the agent said it
        self.detail: dict[str, Any] = {}

    def of(self, host: str) -> HostError:
        """The same error as one of `host`, which is reached through the machine that it is about."""
        if host != self.host:
            self.reason = f"through {self.host}: {self.reason}"
            self.host = host
            self.message = f"{host}: {self.reason}"
            self.args = (self.message,)
        return self


class HostRefused(HostError):
    """The host refused, or it is not who it should be."""


class HostFailed(HostError):
    """The host began and failed."""


class HostUnreachable(HostError):
    """No session within the deadline."""

    exit = Exit.UNREACHABLE


class HostRolledBack(HostError):
    """The host took the run back."""

    exit = Exit.ROLLED_BACK


class HostSplit(HostError):
    """One side of its card kept the run, another did not, or nobody knows."""


class HostLocked(HostError):
    """Another run holds the host."""

    exit = Exit.LOCKED

    def __init__(self, host: str, run: str, holder: str, since: str) -> None:
        super().__init__(host, f"run {run} of {holder} holds it since {since}", hint=f"tether runs --limit {host}")
        self.run = run
        self.holder = holder
        self.since = since


class SecretError(TetherError):
    """A secret's reference leads nowhere. Never carries the secret."""
