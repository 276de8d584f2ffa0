# SPDX-License-Identifier: Apache-2.0
"""The kernel's simulated NIC, built from Debian's source: as it is, and with an edit that takes flower rules."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tether_hw.lab.errors import LabError
from tether_hw.lab.vm.packages import call

DRIVER = "drivers/net/netdevsim"
BUILD_S = 900.0
CALLBACK = re.compile(r"(\bnsim_setup_tc_block_cb\([^)]*\)\s*\{\n)")
ACCEPT = "\tif (type == TC_SETUP_CLSFLOWER)\n\t\treturn 0; /* taken, as a card would; no frame ever meets it */\n"


def extract(source_package: Path, series: str, into: Path) -> Path:
    """The driver's folder out of the package with the whole source."""
    call(["dpkg-deb", "-x", str(source_package), str(into)])
    archive = into / f"usr/src/linux-source-{series}.tar.xz"
    call(["tar", "-xJf", str(archive), "-C", str(into), f"linux-source-{series}/{DRIVER}"], BUILD_S)
    archive.unlink()
    return into / f"linux-source-{series}" / DRIVER


def accept_flower(folder: Path) -> None:
    """Edits the source: the driver says yes to every flower rule. Raises LabError when the place is not there."""
    file = folder / "netdev.c"
    text, count = CALLBACK.subn(rf"\1{ACCEPT}", file.read_text(encoding="utf-8"))
    if count != 1:
        raise LabError("the source of netdevsim is not as expected: no place for the flower edit")
    file.write_text(text, encoding="utf-8")


def build(folder: Path, headers: Path, target: Path) -> None:
    """The module, without what only a debugger reads."""
    call(
        ["make", "-s", "-C", str(headers), f"M={folder}", "CONFIG_NETDEVSIM=m", "CONFIG_PSAMPLE=m", "modules"],
        BUILD_S,
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    call(["strip", "--strip-debug", "-o", str(target), str(folder / "netdevsim.ko")])


def both(folder: Path, headers: Path, stock: Path, flower: Path) -> None:
    """Both modules, each from a copy of the source."""
    edited = folder.with_name("netdevsim-flower")
    shutil.copytree(folder, edited)
    accept_flower(edited)
    build(folder, headers, stock)
    build(edited, headers, flower)
