# SPDX-License-Identifier: Apache-2.0
"""SHA-256 of a file while it is being sent or written: a thread follows the part that is there without a gap."""

from __future__ import annotations

import hashlib
import os
import threading
from typing import Callable, Optional

PIECE_BYTES = 1 << 20


class FollowingHash:
    """Hashes `size` bytes of a descriptor in order, never beyond what advance() has declared present."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._size = size
        self._present = 0
        self._stopped = False
        self._condition = threading.Condition()
        self._hash = hashlib.sha256()
        self._error: Optional[OSError] = None
        self._thread = threading.Thread(target=self._run, name="tether-sha256", daemon=True)
        self._thread.start()

    def advance(self, present: int) -> None:
        """Bytes from the start that may be read now."""
        with self._condition:
            if present > self._present:
                self._present = present
                self._condition.notify_all()

    def stop(self) -> None:
        """End the thread early and wait for it; the descriptor is no longer used."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()
        self._thread.join()

    def result(self, poll: Optional[Callable[[], None]] = None, every_s: float = 0.5) -> str:
        """Wait for the end: the hex digest. `poll` is called now and then and may raise. Raises OSError."""
        while self._thread.is_alive():
            self._thread.join(every_s)
            if poll is not None:
                poll()
        if self._error is not None:
            raise self._error
        if self._stopped:
            raise OSError(0, "the file was not read to its end")
        return self._hash.hexdigest()

    def _run(self) -> None:
        buffer = bytearray(PIECE_BYTES)
        view = memoryview(buffer)
        position = 0
        try:
            while position < self._size:
                with self._condition:
                    while self._present <= position and not self._stopped:
                        self._condition.wait()
                    if self._stopped:
                        return
                    limit = min(self._present - position, PIECE_BYTES)
                got = os.preadv(self._fd, [view[:limit]], position)
                if got == 0:
                    raise OSError(0, "the file became shorter while it was read")
                self._hash.update(view[:got])
                position += got
        except OSError as error:
            self._error = error
