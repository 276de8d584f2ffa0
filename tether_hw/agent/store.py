# SPDX-License-Identifier: Apache-2.0
"""Receiving a file of the user's that plans name by its digest: kept once, whole, never overwritten."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO, Iterable

from tether_hw.agent import durable, storage
from tether_hw.agent.package_files import MOST_BYTES, digest
from tether_hw.plan.paths import HostPaths

_PART_BYTES = 1 << 20


def bare(request: dict[str, Any]) -> dict[str, Any]:
    """{"root", "wanted": [digest]} -> {"missing": [digest]}, those of them that are not here, or not whole.

    {"root", "sha256", "size_bytes"} and the file on standard input -> {"made": whether it was written now}, or
    {"trouble": words} where the file system says no.
    """
    paths = HostPaths(request["root"])
    if "wanted" in request:
        return {"missing": missing(paths, request["wanted"])}
    size = int(request["size_bytes"])
    try:
        return {"made": receive(sys.stdin.buffer, paths, request["sha256"], size)}
    except OSError as error:
        return {"trouble": storage.trouble(error, paths.file(request["sha256"]), size)}


def missing(paths: HostPaths, wanted: Iterable[str]) -> list[str]:
    """Those of these files that are not here, or not whole."""
    return [sha256 for sha256 in sorted(set(wanted)) if digest(Path(paths.file(sha256))) != sha256]


def receive(stream: BinaryIO, paths: HostPaths, sha256: str, size: int) -> bool:
    """Keep a file; False when it is there already. Raises ValueError when what arrives is not the file of `sha256`."""
    if size > MOST_BYTES:
        raise ValueError("larger than %d bytes" % MOST_BYTES)
    os.umask(0o022)
    content = bytearray()
    while len(content) < size:
        part = stream.read(min(_PART_BYTES, size - len(content)))
        if not part:
            break
        content += part
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError("the file that arrived is %s, not %s" % (found, sha256))
    place = Path(paths.file(sha256))
    if digest(place) == sha256:
        return False
    durable.write(place, bytes(content), 0o644)
    return True
