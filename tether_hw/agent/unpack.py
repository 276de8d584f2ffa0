# SPDX-License-Identifier: Apache-2.0
"""Receiving a bundle: unpacked beside, checked, then renamed to its digest; one that is there is never overwritten."""

from __future__ import annotations

import compileall
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from tether_hw.agent import durable, storage
from tether_hw.agent.host import Host
from tether_hw.agent.probe import digest_of
from tether_hw.plan.paths import HostPaths

_MOST_FILES = 10_000
_MOST_BYTES = 512 * 1024 * 1024
_COMPILED = 1.5  # with the modules that are compiled on the host, beside the tar's own size


def bare(request: dict[str, Any]) -> dict[str, Any]:
    """{"root", "digest", "size_bytes"} and the tar on standard input -> {"made": whether it was unpacked now}.

    {"trouble": words} where the file system says no.
    """
    host = Host(HostPaths(request["root"]))
    needed = int(request["size_bytes"] * _COMPILED)
    try:
        made = unpack(sys.stdin.buffer, host.paths, request["digest"])
        needed = storage.STAGE_BYTES
        host.make_state()
        host.owned.place(request["digest"], None)
    except OSError as error:
        return {"trouble": storage.trouble(error, host.paths.bundle(request["digest"]), needed)}
    return {"made": made}


def unpack(stream: Any, paths: HostPaths, digest: str) -> bool:
    """Unpack a bundle to its place; False when it is there. Raises ValueError when it is not the bundle of `digest`."""
    os.umask(0o022)
    target = Path(paths.bundle(digest))
    if digest_of(target) == digest:
        return False
    if target.exists():
        # Never overwritten, but one that rotted must not stay under this name either.
        target.rename(target.with_name(digest + ".broken-%d" % os.getpid()))
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    try:
        _extract(stream, folder)
        found = digest_of(folder)
        if found != digest:
            raise ValueError("the bundle that arrived is %s, not %s" % (found, digest))
        folder.chmod(0o755)
        # Every verb is a new process: compiled once here, each starts in half the time. The digest leaves these out.
        compileall.compile_dir(str(folder / "lib" / "python" / "tether_hw"), quiet=2)
        os.sync()
        try:
            folder.rename(target)
        except OSError:
            if digest_of(target) == digest:  # another session was first
                return False
            raise
        durable.sync_directory(target.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if not any(target.parent.iterdir()):
            target.parent.rmdir()  # nothing came of it: as it was
    return True


def _extract(stream: Any, folder: Path) -> None:
    """Regular files only, below `folder` only, bounded in number and size."""
    size = 0
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for number, member in enumerate(tar):
            path = PurePosixPath(member.name)
            if not member.isreg() or path.is_absolute() or ".." in path.parts or number >= _MOST_FILES:
                raise ValueError("%r does not belong in a bundle" % member.name)
            size += member.size
            if size > _MOST_BYTES:
                raise ValueError("larger than %d bytes" % _MOST_BYTES)
            place = folder.joinpath(*path.parts)
            place.parent.mkdir(parents=True, exist_ok=True)
            source = tar.extractfile(member)
            assert source is not None
            try:
                with place.open("xb") as file:
                    shutil.copyfileobj(source, file)
            except OSError as error:
                raise durable.named(error, place) from None
            place.chmod(member.mode & 0o755)
