# SPDX-License-Identifier: Apache-2.0
"""Files that somebody names to us: what is no regular file never blocks or fills the one who opens it."""

from __future__ import annotations

import errno
import os
import stat


def open_regular(path: str | os.PathLike[str]) -> int:
    """A descriptor to read a regular file by. Raises OSError: of open(2), or EINVAL, ENXIO for what is none."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd
    os.close(fd)
    code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    raise OSError(code, "is a directory" if stat.S_ISDIR(mode) else "is no regular file", str(path))


def read_regular(path: str | os.PathLike[str], most_bytes: int) -> bytes:
    """The content of a regular file. Raises OSError, EFBIG for more than `most_bytes`."""
    with os.fdopen(open_regular(path), "rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"is larger than {most_bytes >> 20} MiB", str(path))
    return content
