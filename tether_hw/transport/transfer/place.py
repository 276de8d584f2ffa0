# SPDX-License-Identifier: Apache-2.0
"""Where a received file goes: part file and record beside the final name, which is never overwritten unasked."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from typing import Optional

from ..errors import TransferError
from .offer import safe_name

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Place:
    """The place of one file: `path` is its final name. open() makes or takes up part file and record."""

    def __init__(self, path: Path, overwrite: bool) -> None:
        self.path = path
        self.overwrite = overwrite
        self.part = path.with_name(f".{path.name}.tether-part")
        self.record = path.with_name(f".{path.name}.tether-record")
        self.part_fd = -1
        self.record_fd = -1

    @classmethod
    def choose(cls, name: str, into: Optional[Path], to: Optional[Path], overwrite: bool) -> Place:
        """`to` is the file's path itself, `into` a folder that keeps the offered name. Raises TransferError."""
        if to is not None:
            return cls(to, overwrite)
        if safe_name(name) is None:
            raise TransferError("name", f"{name!r} is not a plain file name", "receive it with --to PATH")
        return cls((into or Path(".")) / name, overwrite)

    def open(self) -> None:
        """Open part file and record, locked. Raises TransferError: exists, busy or disk."""
        if self.path.is_dir():
            raise TransferError(
                "exists", f"{self.path} is a folder", "name a file with --to, or the folder with --into"
            )
        if not self.overwrite and (self.path.exists() or self.path.is_symlink()):
            raise TransferError("exists", f"{self.path} exists already", "receive with --overwrite to replace it")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self.part_fd = os.open(self.part, flags, 0o600)
            fcntl.flock(self.part_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.record_fd = os.open(self.record, flags, 0o600)
            self._sync_folder()
        except BlockingIOError:
            self.close()
            raise TransferError("busy", f"another transfer writes {self.path} now", "wait for it") from None
        except OSError as error:
            self.close()
            raise TransferError("disk", f"{self.part} cannot be opened: {error.strerror}") from None

    def finish(self, mode: int) -> None:
        """Give the complete part file its name. Raises TransferError when that exists by now, or the disk fails."""
        mask = os.umask(0)
        os.umask(mask)
        try:
            os.fchmod(self.part_fd, mode & 0o777 & ~mask)
            if self.overwrite:
                os.replace(self.part, self.path)
            else:
                self._place_new()
            self._sync_folder()
            self.record.unlink()
        except FileExistsError:
            raise TransferError(
                "exists", f"{self.path} was made by somebody else meanwhile", "receive with --overwrite to replace it"
            ) from None
        except OSError as error:
            raise TransferError("disk", f"{self.path} cannot be placed: {error.strerror}") from None

    def close(self) -> None:
        """Close the descriptors; part file and record stay for the next attempt. An empty pair is removed."""
        if self.part_fd >= 0 and self.record_fd >= 0:
            with contextlib.suppress(OSError):
                if os.fstat(self.record_fd).st_size == 0 and os.fstat(self.part_fd).st_nlink == 1:
                    self.record.unlink()
                    self.part.unlink()
        for fd in (self.part_fd, self.record_fd):
            if fd >= 0:
                os.close(fd)
        self.part_fd = self.record_fd = -1

    def _place_new(self) -> None:
        try:
            os.link(self.part, self.path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # A file system without hard links: claim the name first, then replace our own empty file.
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            os.replace(self.part, self.path)
        else:
            self.part.unlink()

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
