# SPDX-License-Identifier: Apache-2.0
"""The digest that names a bundle: on the controller from the tar, on a host from the unpacked files, the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

MANIFEST = "manifest.json"
SCHEMA = "tether.bundle/1"


def content_digest(entries: Iterable[tuple[str, int, str]]) -> str:
    """SHA-256, in hex, of the content listing.

    An entry is (path below the bundle's root with "/", permission bits, SHA-256 of the content in hex). Order does not
    matter; the listing has one line `<sha256> <mode in octal> <path>` per file, sorted by path. Folders do not count.
    """
    lines = [f"{sha256} {mode:04o} {path}\n" for path, mode, sha256 in sorted(entries)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
