# SPDX-License-Identifier: Apache-2.0
"""What a package that cannot be read is refused with."""

from __future__ import annotations


class DdpError(ValueError):
    """A package, or an edit of one, that does not hold together.

    `offset` is the byte in the file where it shows, -1 when there is no one place; `where` names the segment, buffer
    and section; `hint` says what to do next.
    """

    def __init__(self, message: str, *, offset: int = -1, where: str = "", hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"byte {self.offset:#x}: " if self.offset >= 0 else ""
        return f"{place}{self.where + ': ' if self.where else ''}{self.message}"
