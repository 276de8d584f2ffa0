# SPDX-License-Identifier: Apache-2.0
"""The package files of a card on this host, where the kernel looks for them and in which order."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Optional, Protocol

_FOLDER = "intel/ice/ddp"
_SUFFIXES = ("", ".zst", ".xz")  # a packed file is looked for when no plain one is anywhere


class _Sysfs(Protocol):
    def read(self, path: str) -> Optional[str]: ...


def packages(sysfs: _Sysfs, root: str, release: str, card: str) -> tuple[dict[str, Optional[str]], list[str]]:
    """({path: SHA-256 or None}, paths in the kernel's order): the places that are of use, and all where a file lies.

    release: of the kernel, whose own folders come before the common ones.
    """
    base = Path(root) / "lib/firmware"
    usual = [base / "updates", base]
    places = [base / "updates" / release, base / "updates", base / release, base]
    extra = sysfs.read("module/firmware_class/parameters/path")
    if extra and extra.startswith("/"):
        places.insert(0, Path(root) / extra.lstrip("/"))
        usual.insert(0, places[0])
    files: dict[str, Optional[str]] = {}
    for name in (f"ice-{card}.pkg", "ice.pkg"):
        for suffix in _SUFFIXES:
            for place in places:
                path = place / _FOLDER / (name + suffix)
                digest = _digest(path)
                if digest is not None or (not suffix and place in usual):
                    files.setdefault(str(path), digest)
    return files, list(files)


def _digest(path: Path) -> Optional[str]:
    try:
        if not path.is_file():
            return None
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
