# SPDX-License-Identifier: Apache-2.0
"""Sends one file: striped in chunks over one byte flow per channel, directed by a control flow."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..channel import Channel
from ..errors import EngineError, TimedOut, TransferError
from ..flow import Flow
from .chunks import CHUNK_BYTES, ChunkMap
from .hashing import FollowingHash
from .offer import (
    CHUNK_HEAD,
    CONTROL_BOUND,
    STRIPE_HEAD,
    STRIPE_MAGIC,
    STRIPES_MAX,
    Offer,
    error_message,
    hear,
    parse_ranges,
    say,
)

SLICE_S = 0.5
REASON_S = 3.0
RESUME_HINT = "send the same file again: it goes on where it stopped"


@dataclass(frozen=True)
class Sent:
    """How a transfer went. Bytes of the file; seconds from the first chunk to the receiver's last word."""

    id: str
    name: str
    size: int
    sent_bytes: int
    resumed_bytes: int
    seconds: float
    sha256: str
    path: str
    stripes: int

    @property
    def goodput_bps(self) -> float:
        """Bits of the file per second, without what was there already."""
        return self.sent_bytes * 8 / self.seconds if self.seconds > 0 else 0.0


def fingerprint(fd: int) -> str:
    """Hex digest that changes with the file's content as the file system tells it: size, modification time, inode."""
    status = os.fstat(fd)
    return hashlib.sha256(f"{status.st_size} {status.st_mtime_ns} {status.st_ino}".encode()).hexdigest()


class FileSender:
    """One file on its way over channels that are up. `run` blocks; `abort` may come from any other thread.

    `progress(done_bytes, size)` is called from the stripes' threads.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        fd: int,
        name: str,
        progress: Optional[Callable[[int, int], None]] = None,
        stall_s: float = 30.0,
    ) -> None:
        if not channels:
            raise TransferError("channel", "there is no channel to the peer")
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise TransferError("file", f"{name} is not a regular file")
        self.peer = channels[0].peer
        self._channels = list(channels)[:STRIPES_MAX]
        self._fd = fd
        self._progress = progress
        self._stall_s = stall_s
        self._fingerprint = fingerprint(fd)
        self.offer = Offer(
            id=secrets.token_hex(16),
            name=name,
            size=status.st_size,
            chunk_bytes=CHUNK_BYTES,
            fingerprint=self._fingerprint,
            stripes=len(self._channels),
            mode=stat.S_IMODE(status.st_mode) & 0o777,
        )
        self._chunks = ChunkMap(status.st_size)
        self._lock = threading.Lock()
        self._error: Optional[TransferError] = None
        self._complete: Optional[dict[str, Any]] = None
        self._heard = threading.Event()
        self._last_word = time.monotonic()
        self._flows: list[Flow] = []
        self._sent_bytes = 0

    def abort(self, error: TransferError) -> None:
        """End the transfer with an error; the first one counts."""
        with self._lock:
            if self._error is None and self._complete is None:
                self._error = error
            flows = list(self._flows)
        self._heard.set()
        for flow in flows:
            with contextlib.suppress(EngineError):
                flow.close()

    def run(self) -> Sent:
        """Offer the file, send what the receiver lacks, wait until it has checked and placed it. TransferError."""
        try:
            control = self._channels[0].open_flow("message", CONTROL_BOUND)
        except EngineError as error:
            raise TransferError("channel", str(error), RESUME_HINT) from None
        digest: Optional[FollowingHash] = None
        try:
            resumed = self._offer(control)
            watcher = threading.Thread(target=self._watch, args=(control,), name="tether-send-watch", daemon=True)
            watcher.start()
            digest = FollowingHash(self._fd, self.offer.size)
            digest.advance(self.offer.size)
            begun = time.monotonic()
            self._stripes()
            try:
                sha256 = digest.result(self._check)
            except OSError as error:
                raise TransferError("file", f"the file cannot be read: {error.strerror or error}") from None
            if fingerprint(self._fd) != self._fingerprint:
                raise TransferError("changed", f"{self.offer.name} changed while it was sent", "send it again")
            say(control, {"finished": True, "sha256": sha256}, self._stall_s)
            path = self._await_complete(sha256)
            seconds = time.monotonic() - begun
            return Sent(
                self.offer.id,
                self.offer.name,
                self.offer.size,
                self._sent_bytes,
                resumed,
                seconds,
                sha256,
                path,
                len(self._channels),
            )
        except EngineError as error:
            self.abort(TransferError("channel", str(error), RESUME_HINT))
            raise self._first_error() from None
        except TransferError as error:
            self.abort(error)
            with contextlib.suppress(EngineError):
                say(control, error_message(self._first_error()), 1.0)
                control.drain(2.0)
            raise self._first_error() from None
        finally:
            if digest is not None:
                digest.stop()
            for flow in [*self._flows, control]:
                with contextlib.suppress(EngineError):
                    flow.close()

    def _offer(self, control: Flow) -> int:
        say(control, self.offer.to_json(), self._stall_s)
        deadline = time.monotonic() + self._stall_s
        while True:
            self._check()
            try:
                answer = hear(control, SLICE_S)
            except TimedOut:
                if time.monotonic() > deadline:
                    raise TransferError("stalled", f"{self.peer} did not answer the offer", "") from None
                continue
            if answer.get("accept") is True:
                break
            if answer.get("working") is not True:
                raise TransferError("protocol", "the receiver's answer to the offer is malformed")
            deadline = time.monotonic() + self._stall_s
        try:
            self._chunks.add_ranges(parse_ranges(answer.get("have")))
        except ValueError:
            raise TransferError("protocol", "the receiver has chunks that the file does not have") from None
        return self._chunks.done_bytes

    def _stripes(self) -> None:
        self._next = self._chunks.missing()
        threads = [
            threading.Thread(target=self._stripe, args=(index, channel), name=f"tether-send-{index}", daemon=True)
            for index, channel in enumerate(self._channels)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._check()

    def _stripe(self, index: int, channel: Channel) -> None:
        head = CHUNK_HEAD.size
        buffer = bytearray(head + self.offer.chunk_bytes)
        view = memoryview(buffer)
        try:
            flow = channel.open_flow("bytes")
            with self._lock:
                self._flows.append(flow)
            self._put(flow, STRIPE_HEAD.pack(STRIPE_MAGIC, bytes.fromhex(self.offer.id), index, 0))
            while True:
                with self._lock:
                    chunk = next(self._next, None)
                if chunk is None:
                    break
                offset, length = self._chunks.extent(chunk)
                self._fill(view[head : head + length], offset)
                CHUNK_HEAD.pack_into(buffer, 0, chunk, length, 0)
                self._put(flow, view[: head + length])
                with self._lock:
                    self._sent_bytes += length
                    done = self._chunks.done_bytes + self._sent_bytes
                if self._progress is not None:
                    self._progress(done, self.offer.size)
            flow.end(self._stall_s)
        except TransferError as error:
            self.abort(error)
        except EngineError as error:
            # The receiver closes its stripes when it gives up: its reason is on its way on the control flow.
            self._heard.wait(REASON_S)
            self.abort(TransferError("channel", str(error), RESUME_HINT))

    def _fill(self, view: memoryview, offset: int) -> None:
        done = 0
        while done < len(view):
            try:
                got = os.preadv(self._fd, [view[done:]], offset + done)
            except OSError as error:
                raise TransferError("file", f"the file cannot be read: {error.strerror}") from None
            if got == 0:
                raise TransferError("changed", f"{self.offer.name} became shorter while it was sent", "send it again")
            done += got

    def _put(self, flow: Flow, data: Any) -> None:
        view = memoryview(data)
        done = 0
        moved = time.monotonic()
        while done < len(view):
            self._check()
            try:
                done += flow.write(view[done:], SLICE_S)
                moved = time.monotonic()
            except TimedOut:
                if time.monotonic() - moved > self._stall_s:
                    message = f"{self.peer} took nothing for {self._stall_s:g} s"
                    raise TransferError("stalled", message, RESUME_HINT) from None

    def _watch(self, control: Flow) -> None:
        try:
            while True:
                try:
                    answer = hear(control, SLICE_S)
                except TimedOut:
                    if self._error is not None:
                        return
                    continue
                with self._lock:
                    self._last_word = time.monotonic()
                    if answer.get("complete") is True:
                        self._complete = answer
                if self._complete is not None:
                    self._heard.set()
                    return
        except TransferError as error:
            self.abort(error)
        except EngineError as error:
            self.abort(TransferError("channel", str(error), RESUME_HINT))

    def _await_complete(self, sha256: str) -> str:
        with self._lock:
            self._last_word = time.monotonic()
        while not self._heard.wait(SLICE_S):
            if time.monotonic() - self._last_word > self._stall_s:
                raise TransferError("stalled", f"{self.peer} did not finish the file", RESUME_HINT)
        self._check()
        answer = self._complete or {}
        if answer.get("sha256") != sha256:
            raise TransferError("checksum", "the receiver reports another SHA-256", "send it again")
        return str(answer.get("path", ""))

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _first_error(self) -> TransferError:
        return self._error or TransferError("internal", "the transfer ended without a reason")
