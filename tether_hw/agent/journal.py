# SPDX-License-Identifier: Apache-2.0
"""The journal of one run on this host: JSON lines, appended, on disk before and after each side effect.

A record: {"n", "at", "boot", "up_ns", "pid", "point", "phase", ...data}. `n` counts from 1 without a gap. A line that a
power cut tore is not a record: what it was to say is decided by read-back, as for any begin without an end.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any, Iterator, Optional

from tether_hw.agent import durable
from tether_hw.agent.process import boot_id, boottime_ns

BEGIN = "begin"
END = "end"
FAILED = "failed"


class Journal:
    """Append-only record of one run. Several processes may append; each line is whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, point: str, phase: str, **data: Any) -> int:
        """Write one record and wait until the disk has it; returns its number."""
        new = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            content = _read_all(descriptor)
            number = sum(1 for _ in _records(content)) + 1
            record = {
                "n": number,
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "boot": boot_id(),
                "up_ns": boottime_ns(),
                "pid": os.getpid(),
                "point": point,
                "phase": phase,
            }
            record.update(data)
            line = json.dumps(record, sort_keys=True, separators=(",", ":")).encode() + b"\n"
            if content and not content.endswith(b"\n"):
                line = b"\n" + line
            try:
                if os.write(descriptor, line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(descriptor)
            except OSError as error:
                raise durable.named(error, self.path) from None
        finally:
            os.close(descriptor)
        if new:
            durable.sync_directory(self.path.parent)
        return number

    def records(self) -> list[dict[str, Any]]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        return list(_records(content))

    def last(self, point: str, phase: Optional[str] = None, **match: Any) -> Optional[dict[str, Any]]:
        """The newest record of a point that has these values."""
        wanted = {"point": point, **({} if phase is None else {"phase": phase}), **match}
        found = [record for record in self.records() if all(record.get(key) == wanted[key] for key in wanted)]
        return found[-1] if found else None


def _read_all(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    parts: list[bytes] = []
    while True:
        part = os.read(descriptor, 1 << 20)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _records(content: bytes) -> Iterator[dict[str, Any]]:
    for line in content.split(b"\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue  # empty, or torn by a power cut
        if isinstance(record, dict) and "point" in record and "phase" in record:
            yield record
