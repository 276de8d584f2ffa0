#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packs what runs on a managed host into build/bundles/tether-ARCH.tar, the same bytes from the same sources.

Usage: .venv/bin/python tools/bundle.py [ARCH...]     after the library of each was built (see `make bundle`)
"""

from __future__ import annotations

import ast
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
from tether_hw.plan.bundle import MANIFEST, SCHEMA  # noqa: E402

# build folder of the library and the tool that strips it
LIBRARIES = {
    "x86_64": ("build/native/libtether.so", "strip"),
    "aarch64": ("build/aarch64/libtether.so", "aarch64-linux-gnu-strip"),
}
CARRIERS = ["af_packet", "af_xdp", "udp"]
# Reproducible: every file carries this time, 2024-01-01T00:00:00Z.
TIME_S = 1704067200

LAUNCHER = '''#!/usr/bin/env -S python3 -I -B
# SPDX-License-Identifier: Apache-2.0
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "lib", "python"))

from {module} import main

if __name__ == "__main__":
    sys.exit(main())
'''
LAUNCHERS = {"bin/tether-agent": "tether_hw.agent.main", "bin/tether-engine": "tether_hw.transport.commands"}


def nic_modules() -> set[Path]:
    """The readers of the NIC families and the grammar of steering batches, with what they import of nic/."""
    nic = ROOT / "tether_hw" / "nic"
    found: set[Path] = set()
    waiting = {*nic.glob("*/read.py"), *nic.glob("steering/grammar.py")}
    while waiting:
        path = waiting.pop()
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tether_hw.nic"):
                base = ROOT.joinpath(*str(node.module).split("."))
                names = {base.with_suffix(".py"), *((base / alias.name).with_suffix(".py") for alias in node.names)}
                waiting |= {name for name in names if name.is_file()} - found
    return found


def host_modules() -> list[Path]:
    """The files of the package that run on a host, below ROOT."""
    package = ROOT / "tether_hw"
    chosen = {package / "__init__.py"}
    for room in ("plan", "agent"):
        chosen |= set((package / room).rglob("*.py"))
    away = [package / "transport" / name for name in ("protocol", "core", "sim")]
    chosen |= {
        path for path in (package / "transport").rglob("*.py") if not any(path.is_relative_to(room) for room in away)
    }
    for path in nic_modules():
        chosen |= {path, path.parent / "__init__.py", package / "nic" / "__init__.py"}
    return sorted(chosen)


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
    files = {f"lib/python/{path.relative_to(ROOT).as_posix()}": path.read_bytes() for path in host_modules()}
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
