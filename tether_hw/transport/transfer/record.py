# SPDX-License-Identifier: Apache-2.0
"""The receiver's durable record: which chunks of a part file are on disk, so that a broken transfer can go on.

A text file beside the part file. First line: JSON with schema, peer, name, size, chunk size and fingerprint, behind its
CRC. Every further line: "crc first count", appended only after the part file was synced, then synced itself. A line
whose CRC does not fit (the power failed while it was written) ends the record; what follows it is cut off.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from typing import Any

from ..errors import TransferError
from .chunks import ChunkMap
from .offer import Offer

SCHEMA = "tether.engine.record/1"
RECORD_BYTES_MAX = 1 << 28
RESERVE_BYTES = 1 << 16  # room for lines that must still be written when the disk is full


def _line(text: str) -> bytes:
    return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()


def _unline(line: bytes) -> str | None:
    try:
        crc, text = line.decode().split(" ", 1)
        return text if int(crc, 16) == zlib.crc32(text.encode()) else None
    except ValueError:
        return None


def head_of(peer: str, offer: Offer) -> dict[str, Any]:
    """What identifies the file that a record is about."""
    return {
        "schema": SCHEMA,
        "peer": peer,
        "name": offer.name,
        "size": offer.size,
        "chunk_bytes": offer.chunk_bytes,
        "fingerprint": offer.fingerprint,
    }


class Record:
    """The record behind an open descriptor (readable and writable). The owner keeps and closes the descriptor."""

    def __init__(self, fd: int, part_fd: int) -> None:
        self._fd = fd
        self._part_fd = part_fd
        self._end = 0

    def begin(self, peer: str, offer: Offer, chunks: ChunkMap) -> bool:
        """Take up a record of this very file into `chunks`, or start a new one; True when it was taken up.

        Raises TransferError (disk) when the record cannot be written.
        """
        head = json.dumps(head_of(peer, offer), sort_keys=True)
        resumed = self._take_up(head, chunks)
        if not resumed:
            try:
                os.ftruncate(self._part_fd, 0)
                os.ftruncate(self._fd, 0)
                self._end = 0
                self._append(_line(head))
            except OSError as error:
                raise TransferError("disk", f"the record cannot be written: {error.strerror}") from None
        with contextlib.suppress(OSError):
            os.posix_fallocate(self._fd, self._end, RESERVE_BYTES)
        return resumed

    def note(self, ranges: list[tuple[int, int]]) -> None:
        """Make chunks durable: sync the part file, then append and sync. Raises OSError."""
        os.fdatasync(self._part_fd)
        self._append(b"".join(_line(f"{first} {count}") for first, count in ranges))

    def forget(self) -> None:
        """Drop everything, so that the next transfer starts anew."""
        os.ftruncate(self._fd, 0)
        os.ftruncate(self._part_fd, 0)
        self._end = 0

    def _append(self, data: bytes) -> None:
        position = self._end
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, position)
            position += written
            view = view[written:]
        os.fdatasync(self._fd)
        self._end = position

    def _take_up(self, head: str, chunks: ChunkMap) -> bool:
        size = os.fstat(self._fd).st_size
        if not 0 < size <= RECORD_BYTES_MAX:
            return False
        data = b""
        while len(data) < size:
            piece = os.pread(self._fd, size - len(data), len(data))
            if not piece:
                break
            data += piece
        lines = data.rstrip(b"\0").split(b"\n")[:-1]
        if not lines or _unline(lines[0]) != head:
            return False
        part_bytes = os.fstat(self._part_fd).st_size
        end = len(lines[0]) + 1
        for line in lines[1:]:
            text = _unline(line)
            if text is None:
                break
            first, count = (int(word) for word in text.split())
            if count < 1 or first < 0 or first + count > chunks.count:
                break
            offset, length = chunks.extent(first + count - 1)
            if offset + length > part_bytes:
                break  # the part file was cut by somebody else: nothing from here on is believed
            chunks.add_ranges([(first, count)])
            end += len(line) + 1
        os.ftruncate(self._fd, end)
        self._end = end
        return True
