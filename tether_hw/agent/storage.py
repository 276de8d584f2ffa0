# SPDX-License-Identifier: Apache-2.0
"""What the disks of this host say no with, in words that name the path, what was needed and what to do."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Optional

_FULL = (errno.ENOSPC, errno.EDQUOT)
STAGE_BYTES = 1 << 20  # a run: its plan, its journal, its snapshot


def trouble(error: OSError, path: Optional[str] = None, needed: int = STAGE_BYTES) -> str:
    """The words for an error of the file system. path: what was written, where the error does not say it."""
    where = str(error.filename or path or "")
    words = error.strerror or type(error).__name__
    if not where:
        return words
    text = "%s: %s" % (where, words)
    if error.errno in _FULL:
        return "%s: %s there, about %s needed; make room and say it again" % (text, _free(where), _kib(needed))
    if error.errno == errno.EROFS:
        return "%s: about %s needed; mount it writable and say it again" % (text, _kib(needed))
    return text


def is_full(error: OSError) -> bool:
    """Whether room is all that was missing."""
    return error.errno in _FULL


def _free(where: str) -> str:
    place = Path(where)
    while not place.exists() and place != place.parent:
        place = place.parent
    state = os.statvfs(place)
    if state.f_files and not state.f_favail:
        return "no inode is free"
    return "%s free" % _kib(shutil.disk_usage(place).free)


def _kib(size: int) -> str:
    return "%d KiB" % (size // 1024) if size < 1 << 20 else "%.1f MiB" % (size / (1 << 20))
