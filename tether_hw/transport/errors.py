# SPDX-License-Identifier: Apache-2.0
"""What can go wrong in the engine, as exceptions that carry words for people and, where there is one, the next step."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from collections.abc import Sequence


class TransportError(Exception):
    """Base of everything that this package raises on purpose. `hint` is the next step, or empty."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


@dataclass(frozen=True)
class Problem:
    """One mistake in a file: where it is, what is wrong, what to do. Line 0 = only the field says where."""

    file: str
    field: str
    message: str
    hint: str = ""
    line: int = 0
    col: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.col}" if self.line else self.file
        where = f"{place}: {self.field}" if self.field else place
        return f"{where}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class ConfigError(TransportError):
    """Everything that is wrong with one file, at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class LibraryError(TransportError):
    """libtether is missing, or is not the one that this package was written for."""


class EngineError(TransportError):
    """A call of the C engine failed. `code` is its negative return value."""

    def __init__(self, message: str, code: int = 0, hint: str = "") -> None:
        super().__init__(message, hint)
        self.code = code


class TimedOut(EngineError):
    """Nothing happened within the time that the caller gave."""


class EarlyUnavailable(EngineError):
    """No early data is possible: no channel has ended within the hour, or the peer takes none. Connect instead."""


class EarlyRefused(EngineError):
    """The peer has not taken the early data: it had no room, or could not tell it from a repetition."""


class ChannelDown(EngineError):
    """The channel ended: closed, replaced, or no longer allowed by the roster."""


class FlowClosed(EngineError):
    """The flow ended and everything in it was read, or it can take nothing more."""


class MessageTooLarge(EngineError):
    """The message is above what the flow or the peer's Manifest allows; larger things travel in a byte flow."""


class TransferError(TransportError):
    """A file could not be carried. `reason` is one word of a fixed set, for programs."""

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.reason = reason


class ControlError(TransportError):
    """The engine daemon refused a request or cannot be reached. `reason` is one word, for programs."""

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.reason = reason


_BY_ERRNO = {
    errno.EAGAIN: TimedOut,
    errno.ETIMEDOUT: TimedOut,
    errno.EPIPE: FlowClosed,
    errno.EMSGSIZE: MessageTooLarge,
    errno.ENOTCONN: ChannelDown,
    errno.ECONNRESET: ChannelDown,
    errno.ECONNABORTED: ChannelDown,
    errno.ESHUTDOWN: ChannelDown,
}


def engine_error(code: int, doing: str, words: str, hint: Optional[str] = None) -> EngineError:
    """The exception for a negative return value `code` of the C engine; `words` is its text, `doing` what was tried."""
    kind = _BY_ERRNO.get(-code, EngineError)
    return kind(f"{doing}: {words}", code, hint or "")
