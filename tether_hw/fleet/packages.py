# SPDX-License-Identifier: Apache-2.0
"""Reads the parser packages that an inventory refers to, once, for the planner and for the hosts that get them."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tether_hw.data import data_path
from tether_hw.fleet.parser_source import read_profile, source_of
from tether_hw.nic.e810.model import Ddp, E810Nic
from tether_hw.nic.e810.package import PackageFile, judge, unreadable

if TYPE_CHECKING:
    from tether_hw.fleet.inventory import Inventory

_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Packages:
    """What each reference is, and the bytes that travel by their SHA-256."""

    files: Mapping[Ddp, PackageFile] = field(default_factory=dict)
    content: Mapping[str, bytes] = field(default_factory=dict)

    def of(self, asked: Ddp) -> PackageFile:
        """What a reference is; one that was not read is refused."""
        return self.files.get(asked) or unreadable(asked, "was not read")


def path_of(inventory: Inventory, asked: Ddp) -> Path:
    """Where the file of a reference is."""
    return inventory.path.parent / Path(asked.package).expanduser()


def load(inventory: Inventory) -> Packages:
    """Read every package that a NIC of the inventory refers to. What is wrong with one is in its refusals."""
    files: dict[Ddp, PackageFile] = {}
    content: dict[str, bytes] = {}
    for host in inventory.hosts.values():
        for nic in host.nics.values():
            if not isinstance(nic, E810Nic) or nic.ddp is None or nic.ddp in files:
                continue
            path = path_of(inventory, nic.ddp)
            try:
                if not stat.S_ISREG(path.stat().st_mode):
                    files[nic.ddp] = unreadable(nic.ddp, "is no regular file")
                    continue
                with path.open("rb") as opened:
                    data = opened.read(_MOST_BYTES + 1)
            except OSError as error:
                files[nic.ddp] = unreadable(nic.ddp, error.strerror or "cannot be read")
                continue
            if len(data) > _MOST_BYTES:
                files[nic.ddp] = unreadable(nic.ddp, f"is larger than {_MOST_BYTES >> 20} MiB")
                continue
            file, data = judge(nic.ddp, data, _overlay() if nic.ddp.extend else "")
            files[nic.ddp] = file
            if not file.refusals:
                content[file.sha256] = data
    return Packages(files, content)


def _overlay() -> str:
    """The Tether part, as this suite lays it over a package."""
    return source_of(read_profile(data_path("profiles") / "e810" / "tether.yaml"), overlay=True)
