# SPDX-License-Identifier: Apache-2.0
"""Room on the disk that a run keeps for its own end: a host whose disk fills up in mid-run can still be taken back."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, Callable, TypeVar

from tether_hw.agent import durable, storage

if TYPE_CHECKING:
    from tether_hw.agent.run import Run

T = TypeVar("T")
BYTES = 256 << 10  # the records of a taking back, the outcome, the owned record
_NAME = "reserve"
_PAUSE_S = 1.0
_PATIENCE_S = 3600.0


def make(run: Run) -> None:
    """Take the room while the run is staged; OSError where there is none, which is when to hear of it."""
    path = run.folder / _NAME
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        # Written and not only asked for: some file systems promise what they do not have.
        if os.write(descriptor, bytes(BYTES)) != BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    except OSError as error:
        raise durable.named(error, path) from None
    finally:
        os.close(descriptor)


def release(run: Run) -> bool:
    """Give the room back; False when it is given back already."""
    try:
        os.unlink(run.folder / _NAME)
    except FileNotFoundError:
        return False
    return True


def within(run: Run, work: Callable[[], T]) -> T:
    """Do it; where the disk is full, once more in the room that was kept. What it does may be done twice."""
    try:
        return work()
    except OSError as error:
        if not storage.is_full(error) or not release(run):
            raise
    return work()


def patiently(run: Run, work: Callable[[], T]) -> T:
    """Do it, if need be when somebody has made room: nobody else comes to take this host back."""
    limit = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return within(run, work)
        except OSError as error:
            if not storage.is_full(error) or time.monotonic() > limit:
                raise
        time.sleep(_PAUSE_S)
