# SPDX-License-Identifier: Apache-2.0
"""What a host was before a run touched it, by read-back: the config facts and the bytes of the files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

from tether_hw.agent import durable, engine_files, package_files
from tether_hw.agent.process import boot_id

if TYPE_CHECKING:
    from tether_hw.agent.run import Run
    from tether_hw.plan.paths import HostPaths
    from tether_hw.plan.step import Step

_NAME = "snapshot.json"
#: What the boot that a run asked for left: from there on that is what its steps find.
_BOOTED = "booted.json"


def folder(run: Run) -> Path:
    return run.folder / "snapshot"


def config(place: Path) -> dict[str, Any]:
    """The config that is kept beside a run's snapshot folder; empty where nothing is kept yet."""
    document = durable.read_json(place.parent / _BOOTED) or durable.read_json(place.parent / _NAME) or {}
    found: dict[str, Any] = document.get("config", {})
    return found


def after_boot(run: Run, config: dict[str, Any]) -> None:
    """Keep what the last boot of a run left; its steps after that find another host than it was before the run."""
    record = {"boot": boot_id(), "config": config}
    former = durable.read_json(run.folder / _BOOTED)
    if former is None or former["boot"] != record["boot"]:
        durable.write_json(run.folder / _BOOTED, record)


def at_boot(run: Run, config: dict[str, Any]) -> Path:
    """A snapshot folder for the boot plan that a run left, with what it finds at this boot."""
    place = run.folder / "boot"
    shutil.rmtree(place, ignore_errors=True)
    (place / "snapshot").mkdir(mode=0o700, parents=True)
    durable.write_json(place / _NAME, {"config": config})
    return place / "snapshot"


def take(run: Run, paths: HostPaths, config: dict[str, Any], steps: Sequence[Step]) -> None:
    """Keep `config` and the files; a snapshot that is there already stays, it is older and so the right one."""
    if run.snapshot() is not None:
        return
    folder(run).mkdir(mode=0o700, exist_ok=True)
    files = engine_files.keep(paths, folder(run))
    packages = package_files.keep(steps, folder(run))
    document = {"config": config, "files": files, "packages": packages}
    durable.write_json(run.folder / _NAME, document)
