# SPDX-License-Identifier: Apache-2.0
"""Secrets are references: resolved at the moment of use, never stored, and cut out of whatever is written.

env:NAME              a variable of the controller's environment
file:PATH             the first line of a file that only its owner can read
keyring:SERVICE/USER  the desktop's keyring, where the `keyring` package is installed
"""

from __future__ import annotations

import logging
import os
import re
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tether_hw.errors import SecretError

if TYPE_CHECKING:
    from types import TracebackType

REFERENCE = re.compile(r"(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|keyring:[^/]+/.+)\Z", re.DOTALL)
REDACTED = "[redacted]"
_SHORTEST = 4  # shorter values would blank out ordinary words

_lock = threading.Lock()
_known: set[str] = set()


def is_reference(text: str) -> bool:
    return REFERENCE.match(text) is not None


def resolve(reference: str, base: Path | None = None) -> str:
    """The secret behind a reference; from now on `redact` knows it. Relative files are below `base`."""
    kind, _, rest = reference.partition(":")
    if kind == "env":
        value = os.environ.get(rest)
        if value is None:
            raise SecretError(f"environment variable {rest} is not set", hint=f"set it, or change {reference!r}")
    elif kind == "file":
        value = _from_file((base or Path()) / Path(rest).expanduser())
    elif kind == "keyring":
        value = _from_keyring(rest)
    else:
        raise SecretError("a secret must be a reference", hint="write env:NAME, file:PATH or keyring:SERVICE/USER")
    if not value:
        raise SecretError(f"the secret behind {reference!r} is empty")
    remember(value)
    return value


def _from_file(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH):
            raise SecretError(f"{path} can be read by others", hint=f"chmod 600 {path}")
        with path.open(encoding="utf-8") as file:
            return file.readline(65536).rstrip("\r\n")
    except OSError as error:
        raise SecretError(f"cannot read the secret in {path}: {error.strerror}") from None


def _from_keyring(rest: str) -> str:
    service, _, user = rest.partition("/")
    try:
        import keyring  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise SecretError("the Python package 'keyring' is not installed", hint="pip install keyring") from None
    value: str | None = keyring.get_password(service, user)
    if value is None:
        raise SecretError(f"the keyring has no password for {user} at {service}")
    return value


def remember(value: str) -> None:
    """Make a value known to `redact`."""
    if len(value) >= _SHORTEST:
        with _lock:
            _known.add(value)


def redact(text: str) -> str:
    """The text without any secret that was resolved in this process."""
    with _lock:
        known = sorted(_known, key=len, reverse=True)
    for value in known:
        text = text.replace(value, REDACTED)
    return text


def redact_all(document: Any) -> Any:
    """The same JSON value without secrets, keys included."""
    if isinstance(document, str):
        return redact(document)
    if isinstance(document, dict):
        return {redact(str(key)): redact_all(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [redact_all(value) for value in document]
    return document


class RedactingFilter(logging.Filter):
    """Put on the root handlers: a record leaves without secrets, its traceback too."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = None
        if record.exc_info:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True


def redacted_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> str:
    """A traceback for people, without secrets."""
    import traceback

    return redact("".join(traceback.format_exception(kind, error, trace)))
