#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packs what runs on a managed host into build/bundles/tether-ARCH.tar, the same bytes from the same sources.

Usage: .venv/bin/python tools/bundle.py [ARCH...]     after the library of each was built (see `make bundle`)
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tether_hw import __version__  # noqa: E402
from tether_hw.fleet.bundle import ARCHITECTURES, bundle_path, find  # noqa: E402
from tether_hw.fleet.bundle_sources import core_digest, host_modules, name_in_bundle  # noqa: E402
from tether_hw.plan.bundle import MANIFEST, SCHEMA  # noqa: E402

# build folder of the library and the tool that strips it
LIBRARIES = {
    "x86_64": ("build/native/libtether.so", "strip"),
    "aarch64": ("build/aarch64/libtether.so", "aarch64-linux-gnu-strip"),
}
CARRIERS = ["af_packet", "af_xdp", "udp"]
# Reproducible: every file carries this time, 2024-01-01T00:00:00Z.
TIME_S = 1704067200

LAUNCHER = """#!/usr/bin/env -S python3 -I -B
# SPDX-License-Identifier: Apache-2.0
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "lib", "python"))

from {module} import main

if __name__ == "__main__":
    sys.exit(main())
"""
LAUNCHERS = {"bin/tether-agent": "tether_hw.agent.main", "bin/tether-engine": "tether_hw.transport.commands"}


def library(arch: str) -> bytes:
    """The stripped libtether.so of one architecture."""
    path, strip = LIBRARIES[arch]
    source = ROOT / path
    if not source.is_file():
        sys.exit(f"bundle: {path} is not built; make bundle builds it")
    with tempfile.TemporaryDirectory(prefix="tether-bundle-") as folder:
        target = Path(folder) / "libtether.so"
        subprocess.run([strip, "--strip-unneeded", "-o", target, source], check=True)
        return target.read_bytes()


def netlink_library() -> dict[str, bytes]:
    """pyroute2 as installed from the lock, with its licences."""
    files = {}
    distribution = importlib.metadata.distribution("pyroute2")
    for entry in distribution.files or []:
        source = Path(str(distribution.locate_file(entry)))
        if entry.parts[0] == "pyroute2" and entry.suffix in (".py", ".typed"):
            files["lib/python/" + entry.as_posix()] = source.read_bytes()
        elif entry.name.startswith("LICENSE"):
            files[f"licenses/pyroute2/{entry.name}"] = source.read_bytes()
    if not files:
        sys.exit("bundle: pyroute2 is not in this environment; run the tool with .venv/bin/python")
    return files


def contents(arch: str) -> dict[str, bytes]:
    """Every file of the bundle by its path, without the manifest."""
    files = {name_in_bundle(path): path.read_bytes() for path in host_modules()}
    files.update(netlink_library())
    files["lib/libtether.so"] = library(arch)
    files["licenses/LICENSE"] = (ROOT / "LICENSE").read_bytes()
    for path, module in LAUNCHERS.items():
        if importlib.util.find_spec(module) is not None:
            files[path] = LAUNCHER.format(module=module).encode()
    return files


def write(arch: str) -> Path:
    files = contents(arch)
    manifest = {
        "schema": SCHEMA,
        "version": __version__,
        "arch": arch,
        "carriers": CARRIERS,
        "core_sha256": core_digest(),
        "files": {path: hashlib.sha256(content).hexdigest() for path, content in sorted(files.items())},
    }
    files[MANIFEST] = (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()
    target = bundle_path(arch)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
        for path, content in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size = len(content)
            member.mtime = TIME_S
            member.mode = 0o755 if path.startswith("bin/") else 0o644
            member.uname = member.gname = "root"
            tar.addfile(member, io.BytesIO(content))
    part.replace(target)
    return target


def main() -> int:
    for arch in sys.argv[1:] or ARCHITECTURES:
        target = write(arch)
        made = find(arch)
        print(f"bundle: {target.relative_to(ROOT)} {made.size_bytes / 1e6:.1f} MB, {made.digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
