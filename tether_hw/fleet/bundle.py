# SPDX-License-Identifier: Apache-2.0
"""The bundles that this controller can ship: one tar per architecture, from the wheel's data or from build/."""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tether_hw.data import data_path, installed
from tether_hw.errors import TetherError
from tether_hw.plan.bundle import MANIFEST, SCHEMA, content_digest

ARCHITECTURES = ("x86_64", "aarch64")


class BundleError(TetherError):
    """A bundle that is missing or that is not what it says."""


@dataclass(frozen=True)
class Bundle:
    """One bundle. `digest` names its folder on a host; `carriers` are those its engine was built with."""

    arch: str
    digest: str
    version: str
    carriers: tuple[str, ...]
    path: Path
    size_bytes: int


def bundle_path(arch: str) -> Path:
    """Where the tar for `arch`, as `uname -m` says it, lies or would lie. Raises BundleError for an unknown one."""
    if arch not in ARCHITECTURES:
        raise BundleError(f"no bundle is built for architecture {arch!r}; there are {', '.join(ARCHITECTURES)}")
    return data_path("bundles") / f"tether-{arch}.tar"


def find(arch: str) -> Bundle:
    """The bundle for `arch`, read and checked against its own manifest. Raises BundleError."""
    path = bundle_path(arch)
    try:
        status = path.stat()
    except FileNotFoundError:
        hint = "this wheel was built without it" if installed() else "make bundle"
        raise BundleError(f"{path}: there is no bundle for {arch}", hint=hint) from None
    return _read(path, arch, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _read(path: Path, arch: str, _changed_ns: int, size_bytes: int) -> Bundle:
    entries: list[tuple[str, int, str]] = []
    manifest: dict[str, object] | None = None
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isfile():
                    raise BundleError(f"{path}: {member.name} is no regular file")
                source = tar.extractfile(member)
                content = source.read() if source else b""
                entries.append((member.name, member.mode, hashlib.sha256(content).hexdigest()))
                if member.name == MANIFEST:
                    manifest = json.loads(content)
    except (tarfile.TarError, OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read as a bundle: {error}") from error
    if manifest is None or manifest.get("schema") != SCHEMA or manifest.get("arch") != arch:
        raise BundleError(f"{path}: its {MANIFEST} does not say {SCHEMA} for {arch}")
    found = {name: sha256 for name, _, sha256 in entries if name != MANIFEST}
    if manifest.get("files") != found:
        raise BundleError(f"{path}: its files are not those that its {MANIFEST} lists")
    carriers = manifest["carriers"]
    return Bundle(
        arch=arch,
        digest=content_digest(entries),
        version=str(manifest["version"]),
        carriers=tuple(str(name) for name in carriers) if isinstance(carriers, list) else (),
        path=path,
        size_bytes=size_bytes,
    )
