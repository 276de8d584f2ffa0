# SPDX-License-Identifier: Apache-2.0
"""The first look at a host, run from memory before anything of ours is there."""

from __future__ import annotations

import hashlib
import os
import platform
import pwd
import stat
from pathlib import Path
from typing import Any, Optional

from tether_hw.plan.bundle import content_digest
from tether_hw.plan.paths import HostPaths


def bare(request: dict[str, Any]) -> dict[str, Any]:
    """{"root", "digest"} -> {"arch", "python", "root", "user", "is_root", "bundle": digest of what lies there}."""
    home = pwd.getpwuid(os.geteuid()).pw_dir
    root = request["root"]
    if root == "~" or root.startswith("~/"):
        root = (home + root[1:]).rstrip("/")
    folder = Path(HostPaths(root).bundle(request["digest"])) if request["digest"] else None
    return {
        "arch": platform.machine(),
        "python": platform.python_version(),
        "root": root,
        "user": pwd.getpwuid(os.geteuid()).pw_name,
        "is_root": os.geteuid() == 0,
        "bundle": digest_of(folder) if folder is not None else None,
    }


def digest_of(folder: Path) -> Optional[str]:
    """The content digest of an unpacked bundle; None when there is none."""
    if not folder.is_dir():
        return None
    entries = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = Path(where) / name
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                content = "not a file"
            entries.append((path.relative_to(folder).as_posix(), stat.S_IMODE(status.st_mode), content))
    return content_digest(entries)
