# SPDX-License-Identifier: Apache-2.0
"""Package files of this host: placed whole from the store of files, kept in a run's snapshot and put back from it."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, Optional

from tether_hw.agent import command, durable, sysfs
from tether_hw.agent.errors import AgentError
from tether_hw.nic.e810.read import packages
from tether_hw.plan.kinds.ddp_package import INITRAMFS, DdpPackage
from tether_hw.plan.kinds.registry import parse_data

if TYPE_CHECKING:
    from tether_hw.plan.paths import HostPaths
    from tether_hw.plan.step import Step

MOST_BYTES = 64 << 20


def digest(path: Path) -> Optional[str]:
    """SHA-256 of a file; None when there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def steps_of(steps: Iterable[Step]) -> list[DdpPackage]:
    """The package files that a plan touches."""
    found = (parse_data(step.kind, step.data, step.id) for step in steps if step.kind == DdpPackage.kind)
    return [data for data in found if isinstance(data, DdpPackage)]


def keep(steps: Iterable[Step], folder: Path) -> dict[str, Any]:
    """Copy the files that a plan replaces into a snapshot: path -> {"sha256", "link": what it links to, or null}."""
    kept: dict[str, Any] = {}
    for data in steps_of(steps):
        path = Path(data.path)
        sha256 = digest(path)
        if sha256 is not None:
            durable.write(folder / _name(sha256), path.read_bytes())
            kept[data.path] = {"sha256": sha256, "link": os.readlink(path) if path.is_symlink() else None}
    return kept


def _name(sha256: str) -> str:
    return "package-%s" % sha256


def missing(steps: Iterable[Step], paths: HostPaths) -> list[str]:
    """The digests of files that a plan needs and this host does not hold."""
    wanted = {data.sha256 for data in steps_of(steps) if data.sha256 is not None}
    return sorted(sha256 for sha256 in wanted if digest(Path(paths.file(sha256))) != sha256)


def carry_out(data: DdpPackage, paths: HostPaths, snapshot: Path, timeout_s: float) -> None:
    """Make the file what the step says, and the boot image after it."""
    path = Path(data.path)
    files, _ = packages(sysfs.SYSFS, paths.root, platform.release(), data.card)
    if data.path not in files:
        raise AgentError("%s is no place where the driver looks for a package of card %s" % (data.path, data.card))
    keep_in_store(path, paths)
    if data.sha256 is None:
        durable.remove(path)
    elif not _linked(data, snapshot):
        durable.write(path, _content(data.sha256, paths, snapshot), 0o644)
    if data.initramfs is not None:
        command.checked(INITRAMFS[data.initramfs], timeout_s)


def keep_in_store(path: Path, paths: HostPaths) -> None:
    """What a file was is kept with the files that plans name, so that a later run can put it back as well."""
    sha256 = digest(path)
    if sha256 is not None and digest(Path(paths.file(sha256))) != sha256:
        durable.write(Path(paths.file(sha256)), path.read_bytes(), 0o644)


def _linked(data: DdpPackage, snapshot: Path) -> bool:
    """Put a symbolic link back that the file was before us, where it still leads to the same bytes."""
    record = durable.read_json(snapshot.parent / "snapshot.json") or {}
    kept = record.get("packages", {}).get(data.path)
    if kept is None or kept["link"] is None or kept["sha256"] != data.sha256:
        return False
    path = Path(data.path)
    if digest(path.parent / kept["link"]) != data.sha256:
        return False
    beside = path.with_name(".%s.%d" % (path.name, os.getpid()))
    os.symlink(kept["link"], beside)
    os.replace(beside, path)
    durable.sync_directory(path.parent)
    return True


def _content(sha256: str, paths: HostPaths, snapshot: Path) -> bytes:
    for place in (Path(paths.file(sha256)), snapshot / _name(sha256)):
        try:
            content = place.read_bytes()
        except FileNotFoundError:
            continue
        if hashlib.sha256(content).hexdigest() == sha256:
            return content
    raise AgentError("no file of digest %s is on this host" % sha256[:12])
