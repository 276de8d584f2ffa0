# SPDX-License-Identifier: Apache-2.0
"""Receives one file: stripes write chunks where they belong, a recorder makes them durable, a hash follows."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Optional

from ..errors import EngineError, TimedOut, TransferError
from ..flow import Flow
from .chunks import ChunkMap, runs
from .hashing import FollowingHash
from .offer import CHUNK_HEAD, RANGES_MAX, Offer, error_message, hear, say
from .record import Record

SLICE_S = 0.5
REASON_S = 3.0
WORKING_EVERY_S = 2.0
RECORD_EVERY_S = 1.0
RECORD_EVERY_BYTES = 64 << 20
ROOM_HINT = "make room there and send the file again: it goes on where it stopped"


@dataclass(frozen=True)
class Received:
    """How a transfer went. Bytes of the file; seconds from the acceptance to the placed file."""

    id: str
    peer: str
    name: str
    size: int
    received_bytes: int
    resumed_bytes: int
    seconds: float
    sha256: str
    path: str

    @property
    def goodput_bps(self) -> float:
        """Bits of the file per second, without what was there already."""
        return self.received_bytes * 8 / self.seconds if self.seconds > 0 else 0.0


def disk_error(error: OSError, doing: str) -> TransferError:
    """The error of the receiver's disk in words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TransferError("disk-full", f"the receiver's disk is full: {doing}", ROOM_HINT)
    return TransferError("disk", f"{doing}: {error.strerror or error}")


class FileReceiver:
    """One offered file. `run` blocks until it is placed; stripes are handed to stripe() by other threads.

    The descriptors stay the owner's. `place(sha256)` moves the finished part file to its name and returns the path;
    it may raise TransferError. `progress(done_bytes, size)` is called from the stripes' threads.
    """

    def __init__(
        self,
        control: Flow,
        peer: str,
        offer: Offer,
        part_fd: int,
        record_fd: int,
        place: Callable[[str], str],
        progress: Optional[Callable[[int, int], None]] = None,
        stall_s: float = 30.0,
    ) -> None:
        self.offer = offer
        self.peer = peer
        self._control = control
        self._part_fd = part_fd
        self._place = place
        self._progress = progress
        self._stall_s = stall_s
        self._record = Record(record_fd, part_fd)
        self._chunks = ChunkMap(offer.size, offer.chunk_bytes)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._pending: list[int] = []
        self._error: Optional[TransferError] = None
        self._expected: Optional[str] = None
        self._ended = False
        self._moved = time.monotonic()
        self._flows: list[Flow] = []
        self._resumed = 0
        self._hash: Optional[FollowingHash] = None

    def abort(self, error: TransferError) -> None:
        """End the transfer with an error; the first one counts."""
        with self._changed:
            if self._error is None and not self._ended:
                self._error = error
            flows = list(self._flows)
            self._changed.notify_all()
        for flow in flows:
            with contextlib.suppress(EngineError):
                flow.close()

    def run(self) -> Received:
        """Answer the offer, take the file, check it, place it. Raises TransferError after telling the sender."""
        recorder: Optional[threading.Thread] = None
        begun = time.monotonic()
        try:
            self._record.begin(self.peer, self.offer, self._chunks)
            self._resumed = self._chunks.done_bytes
            self._check_room()
            self._hash = FollowingHash(self._part_fd, self.offer.size)
            self._hash.advance(self._chunks.frontier_bytes())
            recorder = threading.Thread(target=self._run_recorder, name="tether-record", daemon=True)
            recorder.start()
            say(self._control, {"accept": True, "have": self._chunks.ranges(RANGES_MAX)}, self._stall_s)
            threading.Thread(target=self._watch, name="tether-receive-watch", daemon=True).start()
            self._await_chunks()
            path, sha256 = self._finish()
            say(self._control, {"complete": True, "sha256": sha256, "path": path}, self._stall_s)
            received = self.offer.size - self._resumed
            seconds = time.monotonic() - begun
            with contextlib.suppress(EngineError):
                self._control.drain(self._stall_s)
            return Received(
                self.offer.id,
                self.peer,
                self.offer.name,
                self.offer.size,
                received,
                self._resumed,
                seconds,
                sha256,
                path,
            )
        except EngineError as error:
            self.abort(TransferError("channel", str(error), "the sender can send the file again"))
            raise self._first_error() from None
        except TransferError as error:
            self.abort(error)
            with contextlib.suppress(EngineError):
                say(self._control, error_message(self._first_error()), 1.0)
                self._control.drain(2.0)
            raise self._first_error() from None
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            if recorder is not None:
                recorder.join()
            if self._hash is not None:
                self._hash.stop()
            for flow in [*self._flows, self._control]:
                with contextlib.suppress(EngineError):
                    flow.close()

    def stripe(self, flow: Flow) -> None:
        """Read one stripe whose head was read already, until its end."""
        with self._lock:
            if self._ended or self._error is not None or len(self._flows) >= self.offer.stripes:
                refused = True
            else:
                self._flows.append(flow)
                refused = False
        if refused:
            flow.close()
            return
        head = bytearray(CHUNK_HEAD.size)
        view = memoryview(bytearray(self.offer.chunk_bytes))
        try:
            while self._take(flow, memoryview(head), True):
                chunk, length, _ = CHUNK_HEAD.unpack(head)
                if chunk >= self._chunks.count or self._chunks.extent(chunk)[1] != length:
                    raise TransferError("protocol", f"the sender sent chunk {chunk} of {length} bytes")
                self._take(flow, view[:length], False)
                self._store(chunk, view[:length])
        except TransferError as error:
            self.abort(error)
        except EngineError as error:
            # The sender closes its stripes when it gives up: its reason is on its way on the control flow.
            with self._changed:
                self._changed.wait_for(lambda: self._error is not None or self._ended, REASON_S)
            self.abort(TransferError("channel", str(error), "the sender can send the file again"))

    def _take(self, flow: Flow, view: memoryview, may_end: bool) -> bool:
        done = 0
        while done < len(view):
            try:
                got = flow.readinto(view[done:], SLICE_S)
            except TimedOut:
                if self._error is not None:
                    raise self._error from None
                if time.monotonic() - self._moved > self._stall_s:
                    raise TransferError("stalled", f"nothing came from {self.peer} for {self._stall_s:g} s") from None
                continue
            if got == 0:
                if may_end and done == 0:
                    return False
                raise TransferError("protocol", "a stripe ended inside a chunk")
            done += got
            self._moved = time.monotonic()
        return True

    def _store(self, chunk: int, view: memoryview) -> None:
        offset, length = self._chunks.extent(chunk)
        done = 0
        while done < length:
            try:
                done += os.pwrite(self._part_fd, view[done:], offset + done)
            except OSError as error:
                doing = f"{self._chunks.done_bytes} of {self.offer.size} bytes of {self.offer.name} are written"
                raise disk_error(error, doing) from None
        with self._changed:
            if self._chunks.add(chunk):
                self._pending.append(chunk)
            frontier = self._chunks.frontier_bytes()
            done_bytes = self._chunks.done_bytes
            if self._chunks.complete or len(self._pending) * self.offer.chunk_bytes >= RECORD_EVERY_BYTES:
                self._changed.notify_all()
        if self._hash is not None:
            self._hash.advance(frontier)
        if self._progress is not None:
            self._progress(done_bytes, self.offer.size)

    def _check_room(self) -> None:
        status = os.fstat(self._part_fd)
        system = os.fstatvfs(self._part_fd)
        free = system.f_bavail * system.f_frsize
        needed = self.offer.size - status.st_blocks * 512
        if needed > free:
            message = f"the receiver's disk has {free} bytes free, {self.offer.name} needs {needed} more"
            raise TransferError("disk-full", message, ROOM_HINT)

    def _await_chunks(self) -> None:
        with self._changed:
            while self._error is None and not (self._chunks.complete and self._expected is not None):
                self._changed.wait(SLICE_S)
                if time.monotonic() - self._moved > 2 * self._stall_s:
                    raise TransferError("stalled", f"nothing came from {self.peer} for {2 * self._stall_s:g} s")
        if self._error is not None:
            raise self._error

    def _finish(self) -> tuple[str, str]:
        assert self._hash is not None
        with _Working(self._control):
            try:
                sha256 = self._hash.result(self._raise_error)
                os.fsync(self._part_fd)
            except OSError as error:
                raise disk_error(error, f"{self.offer.name} cannot be read back or synced") from None
            if sha256 != self._expected:
                with contextlib.suppress(OSError):
                    self._record.forget()
                raise TransferError(
                    "checksum",
                    f"the SHA-256 of {self.offer.name} is not the sender's; the part file was dropped",
                    "send it again",
                )
            return self._place(sha256), sha256

    def _watch(self) -> None:
        try:
            while not self._ended and self._error is None:
                try:
                    word = hear(self._control, SLICE_S)
                except TimedOut:
                    continue
                if word.get("finished") is True:
                    with self._changed:
                        self._expected = str(word.get("sha256"))
                        self._moved = time.monotonic()
                        self._changed.notify_all()
        except TransferError as error:
            self.abort(error)
        except EngineError as error:
            self.abort(TransferError("channel", str(error), "the sender can send the file again"))

    def _run_recorder(self) -> None:
        while True:
            with self._changed:
                if not self._ended:
                    self._changed.wait(RECORD_EVERY_S)
                ended = self._ended
                pending, self._pending = self._pending, []
            if pending:
                try:
                    self._record.note(runs(pending))
                except OSError as error:
                    self.abort(disk_error(error, f"the record of {self.offer.name} cannot be written"))
            if ended:
                return

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _first_error(self) -> TransferError:
        return self._error or TransferError("internal", "the transfer ended without a reason")


class _Working:
    """Says "working" on the control flow every two seconds, so that the sender knows that we live."""

    def __init__(self, control: Flow) -> None:
        self._control = control
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tether-working", daemon=True)

    def __enter__(self) -> _Working:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(WORKING_EVERY_S):
            try:
                say(self._control, {"working": True}, WORKING_EVERY_S)
            except EngineError:
                return
