# SPDX-License-Identifier: Apache-2.0
"""Work on many hosts at once: bounded in parallel, halted by failures, interruptible at any moment."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from tether_hw.errors import Exit, HostError, TetherError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

HALTED = "not begun: too many hosts had failed before"


class Interrupted(TetherError):
    """Ctrl-C. What hosts had begun goes on there; `done` are those that had ended."""

    exit = Exit.INTERRUPTED

    def __init__(self, done: Iterable[str], begun: Iterable[str]) -> None:
        super().__init__("interrupted")
        self.done = sorted(done)
        self.begun = sorted(begun)


@dataclass
class Results(Generic[T]):
    """What came of each host: a value, an error, or nothing because the run was halted before it."""

    done: dict[str, T] = field(default_factory=dict)
    failed: dict[str, HostError] = field(default_factory=dict)
    halted: list[str] = field(default_factory=list)


def run(
    hosts: Iterable[str],
    work: Callable[[str], T],
    parallel: int = 32,
    max_fail: int | None = None,
) -> Results[T]:
    """Call `work` for every host, at most `parallel` at a time. No host is begun once more than `max_fail` failed.

    Every HostError counts as a failure, unreachable hosts too. Raises Interrupted on Ctrl-C, at once; any other
    exception of `work` ends the run and is raised here.
    """
    return _Crew(list(hosts), work, parallel, max_fail).run()


class _Crew(Generic[T]):
    def __init__(self, hosts: list[str], work: Callable[[str], T], parallel: int, max_fail: int | None) -> None:
        self.waiting = list(reversed(hosts))
        self.work = work
        self.parallel = min(parallel, len(hosts))
        self.max_fail = max_fail
        self.results: Results[T] = Results()
        self.begun: set[str] = set()
        self.broken: BaseException | None = None
        self.changed = threading.Condition()
        self.at_work = 0

    def run(self) -> Results[T]:
        try:
            for number in range(self.parallel):
                with self.changed:
                    self.at_work += 1
                threading.Thread(target=self._worker, name=f"host worker {number}", daemon=True).start()
            with self.changed:
                while self.at_work and self.broken is None:
                    # With a limit, so that Ctrl-C is seen while waiting.
                    self.changed.wait(0.2)
        except KeyboardInterrupt:
            with self.changed:
                self.waiting.clear()
                ended = [*self.results.done, *self.results.failed]
                raise Interrupted(ended, self.begun.difference(ended)) from None
        if self.broken is not None:
            raise self.broken
        return self.results

    def _next(self) -> str | None:
        with self.changed:
            if self.max_fail is not None and len(self.results.failed) > self.max_fail:
                self.results.halted += reversed(self.waiting)
                self.waiting.clear()
            if not self.waiting or self.broken is not None:
                return None
            host = self.waiting.pop()
            self.begun.add(host)
            return host

    def _worker(self) -> None:
        try:
            while (host := self._next()) is not None:
                try:
                    value = self.work(host)
                except HostError as error:
                    with self.changed:
                        self.results.failed[host] = error.of(host)
                else:
                    with self.changed:
                        self.results.done[host] = value
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            self.broken = error
        finally:
            with self.changed:
                self.at_work -= 1
                self.changed.notify_all()
