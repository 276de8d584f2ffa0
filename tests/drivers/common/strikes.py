# SPDX-License-Identifier: Apache-2.0
"""What happens to an agent in the middle of its work on a machine of the model.

Its work is a row of events: each record of its journal and each change that it makes to the machine. A strike is at one
of them. A process that is gone does nothing more: what would be run on its way out of Python is not run either.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from tests.drivers.common.machine import Done, Host
from tests.drivers.common.scissors import READS, Cut
from tests.drivers.common.sysfs import SysFs
from tether_hw.agent import durable
from tether_hw.agent.journal import Journal

#: The process is gone before the event, behind it, or a power cut tore the record that it was writing.
BEFORE, BEHIND, TORN = "before", "behind", "torn"
#: The change is refused, or half of it is made and the answer is no; the process lives on.
REFUSED, HALF = "refused", "half"
RECORD, CHANGE = "record", "change"
BUSY = "RTNETLINK answers: Device or resource busy\n"


@dataclass(frozen=True)
class Event:
    kind: str
    words: str


@dataclass
class Strikes:
    """at: the number of the event that is struck, from 1; 0 only counts them."""

    at: int = 0
    how: str = BEFORE
    events: list[Event] = field(default_factory=list)
    gone: bool = False
    struck: bool = False

    def _next(self, kind: str, words: str) -> bool:
        """Whether this event is the one. Of one that is gone there are no more."""
        if self.gone:
            raise Cut
        self.events.append(Event(kind, words))
        if len(self.events) != self.at:
            return False
        self.struck = True
        return True

    def _end(self) -> None:
        self.gone = True
        raise Cut

    def _living(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """What one that is gone does not do any more."""

        def call(*arguments: Any, **named: Any) -> Any:
            if self.gone:
                raise Cut
            return real(*arguments, **named)

        return call

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, the agent's work is counted and struck."""
        run, write, append = Host.run, SysFs.write, Journal.append
        with ExitStack() as stack:
            stack.enter_context(patch.object(Host, "run", self._run(run)))
            stack.enter_context(patch.object(SysFs, "write", self._write(write)))
            stack.enter_context(patch.object(Journal, "append", self._append(append)))
            for name in ("_temporary", "remove", "sync_directory"):
                stack.enter_context(patch.object(durable, name, self._living(getattr(durable, name))))
            yield

    def _append(self, append: Callable[..., int]) -> Callable[..., int]:
        def struck(journal: Journal, point: str, phase: str, **data: Any) -> int:
            words = f"{point}.{phase}" + (f" {data['step']}" if "step" in data else "")
            if not self._next(RECORD, words):
                return append(journal, point, phase, **data)
            if self.how == BEFORE:
                self._end()
            number = append(journal, point, phase, **data)
            if self.how == TORN:
                content = journal.path.read_bytes()
                last = content.rstrip(b"\n").rpartition(b"\n")[2]
                journal.path.write_bytes(content[: len(content) - len(last) // 2 - 1])
            self._end()
            return number

        return struck

    def _run(self, run: Callable[..., Done]) -> Callable[..., Done]:
        def struck(machine: Host, argv: Sequence[str], stdin: str = "") -> Done:
            if self.gone:
                raise Cut
            if set(argv) & READS or not self._next(CHANGE, " ".join(argv) + _lines(stdin)):
                return run(machine, argv, stdin)
            if self.how == BEFORE:
                self._end()
            if self.how == REFUSED:
                return Done(2, "", BUSY)
            if self.how == HALF:
                return _half(machine, argv, stdin, run)
            run(machine, argv, stdin)
            self._end()
            raise AssertionError

        return struck

    def _write(self, write: Callable[..., None]) -> Callable[..., None]:
        def struck(tree: SysFs, path: str, text: str) -> None:
            if not self._next(CHANGE, f"{text} to {path}"):
                write(tree, path, text)
                return
            if self.how == BEFORE:
                self._end()
            if self.how == REFUSED:
                raise OSError(errno.EBUSY, "Device or resource busy", path)
            write(tree, path, text)
            if self.how == HALF:
                raise OSError(errno.ETIMEDOUT, "Connection timed out", path)
            self._end()

        return struck


def _half(machine: Host, argv: Sequence[str], stdin: str, run: Callable[..., Done]) -> Done:
    """The first lines of a batch, or a command whose answer is no though it was carried out."""
    lines = stdin.splitlines(keepends=True)
    through = len(lines) // 2
    done = run(machine, argv, "".join(lines[:through]))
    words = f"{BUSY}Command failed -:{through + 1}\n" if lines else BUSY
    return Done(done.code or 1, done.out, done.err + words)


def _lines(stdin: str) -> str:
    return f" ({len(stdin.splitlines())} lines)" if stdin else ""
