# SPDX-License-Identifier: Apache-2.0
"""Programs of this machine that the lab needs."""

from __future__ import annotations

import os
import shutil

from tether_hw.lab.errors import LabError


def sbin_path() -> str:
    """PATH with the folders of system programs, which an ordinary user's often lacks."""
    folders = os.environ.get("PATH", "").split(":")
    return ":".join([folder for folder in folders if folder] + ["/usr/local/sbin", "/usr/sbin", "/sbin"])


def need_tools(tools: dict[str, str]) -> None:
    """Raises LabError that names the package of every program that is missing."""
    missing = sorted({package for tool, package in tools.items() if shutil.which(tool, path=sbin_path()) is None})
    if missing:
        raise LabError(f"missing system packages: {' '.join(missing)}", hint=f"apt-get install {' '.join(missing)}")
