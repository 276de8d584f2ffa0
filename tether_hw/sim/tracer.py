# SPDX-License-Identifier: Apache-2.0
"""What the endpoints of a simulation do, as a tether.trace/1 file."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import IO, Any

from tether_hw.errors import TetherError
from tether_hw.sim import native

LINE = 512
HEAD = '{"schema":"tether.trace/1","clock":"virtual"}\n'


class Tracer:
    """A new file that a run writes its events to. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        try:
            self._file: IO[bytes] = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb")
        except FileExistsError:
            raise TetherError(f"{path}: exists", hint="a trace is never written over") from None
        except OSError as error:
            raise TetherError(f"{path}: {error.strerror}") from None
        self._file.write(HEAD.encode())
        self._callback: Any = None

    def __enter__(self) -> Tracer:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def listen(self, library: Any, names: list[str]) -> Any:
        """The callback for a simulation whose vertices have these names."""
        encoded = [name.encode("ascii", "replace") for name in names]
        line = ctypes.create_string_buffer(LINE)
        write = self._file.write

        def take(_context: object, vertex: int, event: Any) -> None:
            length = library.tether_trace_line(event, encoded[vertex], line, LINE)
            if length > 0:
                write(line.raw[:length])

        self._callback = native.TRACE(take)  # kept: the simulation holds no reference
        return self._callback
