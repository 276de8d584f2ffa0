# SPDX-License-Identifier: Apache-2.0
"""The node's identity: an X25519 secret in a file that only its owner reads. Made once, never overwritten."""

from __future__ import annotations

import ctypes
import os
import re
import secrets
import stat
from pathlib import Path

from .errors import TransportError
from .library import load
from .regular import open_regular

SECRET_BYTES = 32
_HEX = re.compile(r"[0-9a-f]{64}\n?")


def public_key(secret: bytes) -> str:
    """The public key of a secret, hex."""
    if len(secret) != SECRET_BYTES:
        raise ValueError("a static secret has 32 bytes")
    public = (ctypes.c_uint8 * SECRET_BYTES)()
    code = load().tether_public_key((ctypes.c_uint8 * SECRET_BYTES)(*secret), public)
    if code != 0:
        raise TransportError(f"no public key can be computed ({code})")
    return bytes(public).hex()


def make(path: str) -> str:
    """Make an identity file, 0600, and return its public key. Raises TransportError when the file exists."""
    secret = secrets.token_bytes(SECRET_BYTES)
    public = public_key(secret)
    target = Path(path)
    # Written under another name first: whoever sees the file sees it whole.
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, secret.hex().encode() + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
        try:
            os.link(part, target)
        finally:
            part.unlink()
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError:
        raise TransportError(
            f"{path} exists already and is never overwritten", "identity --public prints its key"
        ) from None
    except OSError as error:
        raise TransportError(f"{path} cannot be made: {error.strerror}") from None
    return public


def read(path: str) -> bytes:
    """The secret of an identity file. Raises TransportError when others could read it, or it is malformed."""
    try:
        fd = open_regular(path)
        try:
            mode = os.fstat(fd).st_mode
            text = os.read(fd, 256).decode("ascii", errors="replace")
        finally:
            os.close(fd)
    except OSError as error:
        raise TransportError(
            f"the identity {path} cannot be read: {error.strerror}", "`identity --make` makes one"
        ) from None
    if stat.S_IMODE(mode) & 0o077:
        raise TransportError(f"others may read the identity {path}", f"chmod 600 {path}")
    if not _HEX.fullmatch(text):
        raise TransportError(f"{path} is not an identity: 64 hex digits and a line end are expected")
    return bytes.fromhex(text.strip())
