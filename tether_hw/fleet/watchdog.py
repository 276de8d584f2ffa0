# SPDX-License-Identifier: Apache-2.0
"""One thread that ends every wait whose deadline has come.

paramiko waits for the answer to a channel request without any time limit of its own, so a deadline is enforced from
outside: the watchdog closes the transport, and the wait ends because its connection is gone.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class Deadline:
    """A moment on the monotonic clock, in seconds, and whether it has come before the work was done."""

    at: float
    passed: bool = False
    _done: bool = field(default=False, repr=False)

    def left(self) -> float:
        """Seconds that are left, never negative."""
        return max(0.0, self.at - time.monotonic())


class Watchdog:
    """Calls each guard's action at its deadline, unless the guard was left before."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._heap: list[tuple[float, int, Deadline, Callable[[], None]]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None

    @contextmanager
    def guard(self, timeout_s: float, action: Callable[[], None]) -> Iterator[Deadline]:
        """Run a block that must end within `timeout_s`; if not, `action` is called once, from the watchdog's thread."""
        deadline = Deadline(time.monotonic() + timeout_s)
        with self._condition:
            heapq.heappush(self._heap, (deadline.at, next(self._order), deadline, action))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            self._condition.notify()
        try:
            yield deadline
        finally:
            with self._condition:
                deadline._done = True
                while self._heap and self._heap[0][2]._done:
                    heapq.heappop(self._heap)

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._heap:
                    self._condition.wait()
                at, _, deadline, action = self._heap[0]
                wait = at - time.monotonic()
                if wait > 0 and not deadline._done:
                    self._condition.wait(wait)
                    continue
                heapq.heappop(self._heap)
                if deadline._done:
                    continue
                deadline.passed = True
            action()


WATCHDOG = Watchdog()
