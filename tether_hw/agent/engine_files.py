# SPDX-License-Identifier: Apache-2.0
"""The engine's files on this host: written whole, removed, kept in a run's snapshot and put back from it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from tether_hw.agent import durable
from tether_hw.agent.errors import AgentError
from tether_hw.plan.canonical import file_text

if TYPE_CHECKING:
    from tether_hw.plan.kinds.engine_file import EngineFile
    from tether_hw.plan.paths import HostPaths


def kept_files(paths: HostPaths) -> dict[str, Path]:
    """The files that a snapshot keeps byte by byte, by their name in it."""
    return {
        "engine.json": Path(paths.engine_config),
        "roster.json": Path(paths.roster),
        "engine.service": Path(paths.unit),
    }


def keep(paths: HostPaths, folder: Path) -> dict[str, Optional[str]]:
    """Copy the files into a snapshot; their digests by name, None where there is no file."""
    digests: dict[str, Optional[str]] = {}
    for name, path in kept_files(paths).items():
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            digests[name] = None
            continue
        durable.write(folder / name, content)
        digests[name] = hashlib.sha256(content).hexdigest()
    return digests


def kept(folder: Path, name: str, sha256: str) -> bytes:
    """The bytes that a snapshot keeps, checked; AgentError when they are not there or not those."""
    try:
        content = (folder / name).read_bytes()
    except FileNotFoundError:
        raise AgentError("the snapshot has no %s" % name) from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise AgentError("%s in the snapshot is not the file of digest %s" % (name, sha256[:12]))
    return content


def carry_out(data: EngineFile, paths: HostPaths, snapshot: Path) -> None:
    """Make the file what the step says."""
    path = Path(data.path(paths))
    if data.action == "remove":
        if path.exists():
            durable.remove(path)
        return
    if data.action == "write":
        content = file_text(data.content).encode()
    else:
        assert data.sha256 is not None
        content = kept(snapshot, data.name + ".json", data.sha256)
    make_folder(path.parent)
    durable.write(path, content, 0o644)


def make_folder(folder: Path) -> None:
    """Our folder below etc: everybody may look, only the owner may write."""
    if not folder.is_dir():
        folder.mkdir(parents=True, mode=0o755)
        folder.chmod(0o755)
