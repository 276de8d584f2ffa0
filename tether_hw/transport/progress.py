# SPDX-License-Identifier: Apache-2.0
"""A progress line on a terminal, standard library only; nothing at all where stderr is no terminal."""

from __future__ import annotations

import json
import shutil
import sys
import time
from typing import Any, Optional, TextIO

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size_words(count: float) -> str:
    """Bytes for people: 1.5 MiB."""
    for unit in _UNITS[:-1]:
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_UNITS[-1]}"


def rate_words(bits_per_s: float) -> str:
    """A rate for people: 3.2 Gbit/s."""
    for unit in ("bit/s", "kbit/s", "Mbit/s"):
        if bits_per_s < 1000:
            return f"{bits_per_s:.1f} {unit}"
        bits_per_s /= 1000
    return f"{bits_per_s:.2f} Gbit/s"


def sign_of_life(document: dict[str, Any]) -> None:
    """One JSON line on stdout for a program that follows."""
    sys.stdout.write(json.dumps(document, separators=(",", ":")) + "\n")
    sys.stdout.flush()


class Progress:
    """One line that is drawn over itself. Call update() with every event and finish() at the end.

    With `lines`, JSON lines go to stdout instead, for a program that follows.
    """

    def __init__(self, label: str, stream: Optional[TextIO] = None, lines: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._label = label
        self._lines = lines
        self._shown = self._stream.isatty() and not lines
        self._begun = time.monotonic()
        self._first: Optional[int] = None

    def update(self, done: int, size: int) -> None:
        """Draw the line for `done` of `size` bytes."""
        if self._first is None:
            self._first = done  # what was there before is no speed of ours
        if self._lines:
            sign_of_life({"done": done, "size": size})
        if not self._shown:
            return
        seconds = time.monotonic() - self._begun
        rate = (done - self._first) / seconds if seconds > 0 else 0.0
        share = done / size if size else 1.0
        left = f"{(size - done) / rate:.0f} s left" if rate > 0 and done < size else ""
        words = f" {share:4.0%} {size_words(done)} of {size_words(size)} {rate_words(rate * 8)} {left}"
        columns = shutil.get_terminal_size().columns
        room = columns - len(self._label) - len(words) - 4
        bar = ""
        if room >= 10:
            room = min(room, 40)
            full = int(share * room)
            bar = f" [{'#' * full}{' ' * (room - full)}]"
        line = f"{self._label}{bar}{words}"[: columns - 1]
        self._stream.write("\r" + line + "\x1b[K")
        self._stream.flush()

    def finish(self) -> None:
        """Leave the line."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
