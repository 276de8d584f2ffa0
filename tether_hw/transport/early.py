# SPDX-License-Identifier: Apache-2.0
"""Early data: one message in one frame to a peer with whom a channel has ended (RFC 0001, section 9.4)."""

from __future__ import annotations

import errno
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Optional

from .errors import ChannelDown, EarlyRefused, EarlyUnavailable, EngineError, TimedOut

if TYPE_CHECKING:
    from .engine import Engine

RETRY_S = 0.01


class EarlyMessage(NamedTuple):
    """What a peer said before any channel: replay-safe by its sender's word, delivered once at most."""

    peer: str
    lane: int
    data: bytes


class EarlyData:
    """The early messages of one engine. What nobody reads waits in the core, at most 16 a lane; more are refused."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._closed = False

    def send(self, peer_id: int, peer: str, data: bytes, lane: int, remote_lane: int, timeout: Optional[float]) -> None:
        """Engine.send_early."""
        native = self._engine.native
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = -1 if deadline is None else max(0, int((deadline - time.monotonic()) * 1e9))
            code = native.early_send(lane, peer_id, remote_lane, data, max(left, 1) if left >= 0 else left)
            if code == -errno.EAGAIN and (deadline is None or time.monotonic() < deadline):
                time.sleep(RETRY_S)  # the next stride of the Hail counter is being written
                continue
            break
        if code >= 0:
            return
        if code == -errno.ENOENT:
            hint = "connect instead; both ends need limits.early_bytes, and a channel that has ended within the hour"
            raise EarlyUnavailable(f"no early data to {peer} is possible now", code, hint)
        if code == -errno.ECONNREFUSED:
            raise EarlyRefused(f"{peer} did not take the early data", code, "say it on a channel")
        if code in (-errno.ETIMEDOUT, -errno.EINPROGRESS):
            raise TimedOut(f"no answer from {peer}: whether it has the early data is not known", code)
        raise native.error(code, f"send early data to {peer}")

    def accept(self, timeout: Optional[float]) -> EarlyMessage:
        """Engine.accept_early."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while True:
                found = self._take()
                if found is not None:
                    return found
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimedOut("no peer sent early data in time", -errno.ETIMEDOUT)
                self._changed.wait(left)

    def arrived(self) -> None:
        """Some lane has early data."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Waiting readers come back with ChannelDown."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take(self) -> Optional[EarlyMessage]:
        if self._closed:
            raise ChannelDown("the engine stopped", -errno.ESHUTDOWN)
        capacity = self._engine.limits.early_bytes
        if not capacity:
            raise EngineError("this engine takes no early data", -errno.EOPNOTSUPP, "set limits.early_bytes")
        for lane in self._engine.lanes:
            found = self._engine.native.early_read(lane.lane, capacity)
            if found is not None:
                return EarlyMessage(self._engine.peer_name(found[0]), lane.lane, found[1])
        return None
