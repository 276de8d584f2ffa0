# SPDX-License-Identifier: Apache-2.0
"""What people see while hosts are at work: a live table on a terminal, plain lines elsewhere. Always on stderr."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tether_hw.fleet.secrets import redact

if TYPE_CHECKING:
    from collections.abc import Iterator


class Progress:
    """Hears one line of words per host at a time; any thread may tell it."""

    def tell(self, host: str, words: str, share: float | None = None) -> None:
        """`share` is the part of the host's work that is done, 0 to 1."""


class Lines(Progress):
    """One line per change of words, for logs and pipes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, str] = {}

    def tell(self, host: str, words: str, share: float | None = None) -> None:
        with self._lock:
            if self._last.get(host) != words:
                self._last[host] = words
                print(f"{host}: {redact(words)}", file=sys.stderr, flush=True)


class Table(Progress):
    """A live table of hosts with bars."""

    def __init__(self, hosts: list[str]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._began = time.monotonic()
        self.live = RichProgress(
            TextColumn("[bold]{task.fields[host]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._tasks = {host: self.live.add_task("waits", total=1.0, host=host) for host in hosts}

    def tell(self, host: str, words: str, share: float | None = None) -> None:
        task = self._tasks[host]
        text = redact(words).replace("[", r"\[")
        if share is None:
            self.live.update(task, description=text)
        else:
            self.live.update(task, description=text, completed=share)


@contextmanager
def show(hosts: list[str], quiet: bool = False) -> Iterator[Progress]:
    """The progress of a run over `hosts` until the block ends."""
    if quiet:
        yield Progress()
    elif sys.stderr.isatty() and len(hosts) <= 64:
        table = Table(hosts)
        with table.live:
            yield table
    else:
        yield Lines()
