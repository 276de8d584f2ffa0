# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or absent, also after a power cut."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Optional


def sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary(path: Path, content: bytes, mode: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix="." + path.name + ".", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        os.unlink(name)
        raise named(error, path) from None
    except BaseException:
        os.unlink(name)
        raise
    return name


def named(error: OSError, path: Path) -> OSError:
    """The error with the path that it is about: the kernel's answer to a write does not say it."""
    return error if error.filename else OSError(error.errno, error.strerror, str(path))


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `content`; a reader sees the old file or the new one."""
    name = _temporary(path, content, mode)
    os.replace(name, path)
    sync_directory(path.parent)


def create(path: Path, content: bytes, mode: int = 0o600) -> bool:
    """Make `path` if nobody has; False when it is there already. Exactly one caller gets True."""
    name = _temporary(path, content, mode)
    try:
        os.link(name, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(name)
    sync_directory(path.parent)
    return True


def remove(path: Path) -> bool:
    """Remove `path`; False when it was not there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    sync_directory(path.parent)
    return True


def write_json(path: Path, document: Any, mode: int = 0o600) -> None:
    write(path, json.dumps(document, sort_keys=True, indent=1).encode() + b"\n", mode)


def create_json(path: Path, document: Any) -> bool:
    return create(path, json.dumps(document, sort_keys=True, indent=1).encode() + b"\n")


def read_json(path: Path) -> Optional[Any]:
    """The document in `path`; None when there is no file."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
