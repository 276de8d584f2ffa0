# SPDX-License-Identifier: Apache-2.0
"""Where a card's package goes, what it replaces, and whether the driver must leave the card for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tether_hw.nic.e810.package import PackageFile
from tether_hw.nic.e810.steer import Port
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.ddp_package import INITRAMFS, DdpPackage

OVER_ALL = "/lib/firmware/updates/intel/ice/ddp/ice-{}.pkg"


@dataclass
class Placement:
    """`files`: what is put and taken away. `package` and `safe_mode`: what the card has afterwards."""

    package: dict[str, Any] | None
    safe_mode: bool
    reload: bool = False
    files: list[StepData] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def place(
    serial: str,
    ports: Sequence[Port],
    config: dict[str, Any],
    status: Mapping[str, Any],
    packages: Mapping[str, PackageFile],
    functions: Sequence[str],
) -> Placement:
    """The package of a card. packages: NIC -> the file that it refers to."""
    card = config["cards"][serial]
    placement = Placement(card["package"], card["safe_mode"])
    asking = [port for port in ports if port.nic.ddp is not None]
    if not asking:
        _put_back(placement, serial, config, status, functions)
        return placement
    first = asking[0]
    for port in asking[1:]:
        if port.nic.ddp != first.nic.ddp:
            placement.refusals.append(
                f"NIC {port.name}: its card {serial} is that of NIC {first.name}, which asks for another package"
            )
            return placement
    file = packages[first.name]
    placement.refusals.extend(f"NIC {first.name}: {reason}" for reason in file.refusals)
    placement.notes.extend(f"NIC {first.name}: {note}" for note in file.notes)
    if placement.refusals:
        return placement
    _ask(placement, serial, file, config, status, [port for port in ports if port.nic.mode == "kernel"])
    return placement


def _ask(
    placement: Placement,
    serial: str,
    file: PackageFile,
    config: dict[str, Any],
    status: Mapping[str, Any],
    kernel: Sequence[Port],
) -> None:
    card = config["cards"][serial]
    search = status["cards"][serial]["search"]
    effective = next((card["files"][path] for path in search if card["files"][path] is not None), None)
    there = effective == file.sha256
    works = card["package"] == file.shown and not card["safe_mode"]
    if there and (works or not kernel):
        return
    named = [path for path in search if path.endswith(f"/ice-{serial}.pkg")]
    path = next((path for path in named if path.endswith(OVER_ALL.format(serial))), named[0] if named else None)
    if path is None:
        placement.refusals.append(f"card {serial}: the host does not say where its driver looks for ice-{serial}.pkg")
        return
    before = search[: search.index(path)]
    hiding = next((other for other in before if card["files"][other] is not None), None)
    if hiding is not None and not there:
        placement.refusals.append(f"card {serial}: {hiding} is found before {path}, and is not ours")
        return
    if not there and card["files"][path] != file.sha256:
        placement.files.append(DdpPackage(serial, path, file.sha256, initramfs(status)))
    if works and kernel:
        placement.notes.append(
            f"card {serial} works with {file.name} {file.version} already: the driver takes it for the same package "
            "and loads the file at the next start"
        )
    elif kernel:
        placement.reload = True
        placement.package, placement.safe_mode = dict(file.shown), False


def _put_back(
    placement: Placement, serial: str, config: dict[str, Any], status: Mapping[str, Any], functions: Sequence[str]
) -> None:
    """The file that we placed and nobody asks for any more goes, and the driver loads what is there then."""
    card = config["cards"][serial]
    owned = {tuple(entry["path"]): entry for entry in status["owned"]}
    for path in status["cards"][serial]["search"]:
        entry = owned.get(("cards", serial, "files", path))
        if entry is None or card["files"][path] == entry["before"]:
            continue
        if card["files"][path] != entry["set"]:
            placement.notes.append(f"{path} is no longer what we set; it is left as it is")
            continue
        placement.files.append(DdpPackage(serial, path, entry["before"], initramfs(status)))
    worked = any(config["functions"][name]["driver"] == "ice" for name in functions)
    package = owned.get(("cards", serial, "package"))
    safe = owned.get(("cards", serial, "safe_mode"))
    if placement.files and worked and (package is not None or safe is not None):
        placement.reload = True
        placement.package = placement.package if package is None else package["before"]
        placement.safe_mode = placement.safe_mode if safe is None else bool(safe["before"])


def initramfs(status: Mapping[str, Any]) -> str | None:
    """The program of this host that makes its boot image, in which the driver's package lies."""
    return next((name for name in INITRAMFS if status["tools"].get(name) is not None), None)
