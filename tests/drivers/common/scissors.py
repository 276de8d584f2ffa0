# SPDX-License-Identifier: Apache-2.0
"""Ends the process of an agent at one of the changes that it makes to a machine of the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

from tests.drivers.common.machine import Done, Host
from tests.drivers.common.sysfs import SysFs

READS = {"-k", "-n", "-i", "-l", "-g", "--show-priv-flags", "show", "dmesg", "info", "q"}


class Cut(BaseException):
    """The process is gone here."""


class Scissors:
    """Counts the changes that are made to a machine, and cuts at one of them: before it, or behind it."""

    def __init__(self, at: int = 0, behind: bool = False) -> None:
        self.at, self.behind, self.made = at, behind, 0

    def snip(self, behind: bool) -> None:
        self.made += not behind
        if self.made == self.at and behind == self.behind:
            self.at = 0
            raise Cut

    @contextmanager
    def held(self) -> Iterator[None]:
        run, write = Host.run, SysFs.write

        def cut_run(machine: Host, argv: Sequence[str], stdin: str = "") -> Done:
            if set(argv) & READS:
                return run(machine, argv, stdin)
            self.snip(behind=False)
            done = run(machine, argv, stdin)
            self.snip(behind=True)
            return done

        def cut_write(tree: SysFs, path: str, text: str) -> None:
            self.snip(behind=False)
            write(tree, path, text)
            self.snip(behind=True)

        with patch.object(Host, "run", cut_run), patch.object(SysFs, "write", cut_write):
            yield
