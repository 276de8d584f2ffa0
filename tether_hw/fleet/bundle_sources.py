# SPDX-License-Identifier: Apache-2.0
"""What bundles are made of in a checkout, and whether those that were built still hold that."""

from __future__ import annotations

import ast
import hashlib
import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from tether_hw.data import installed
from tether_hw.plan.bundle import MANIFEST

if TYPE_CHECKING:
    from tether_hw.fleet.bundle import Bundle

_PACKAGE = Path(__file__).resolve().parent.parent
_ROOT = _PACKAGE.parent
_CORE = _PACKAGE / "transport" / "core"
_PYTHON = "lib/python/"  # where the package lies in a bundle
_MOST_NAMED = 3


def nic_modules() -> set[Path]:
    """The readers of the NIC families and the grammar of steering batches, with what they import of nic/."""
    nic = _PACKAGE / "nic"
    found: set[Path] = set()
    waiting = {*nic.glob("*/read.py"), *nic.glob("steering/grammar.py")}
    while waiting:
        path = waiting.pop()
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tether_hw.nic"):
                base = _ROOT.joinpath(*str(node.module).split("."))
                names = {base.with_suffix(".py"), *((base / alias.name).with_suffix(".py") for alias in node.names)}
                waiting |= {name for name in names if name.is_file()} - found
    return found


def modules(*rooms: str) -> list[Path]:
    """The package itself, these rooms whole, and what reads NICs."""
    chosen = {_PACKAGE / "__init__.py"}
    for room in rooms:
        chosen |= set((_PACKAGE / room).rglob("*.py"))
    for path in nic_modules():
        chosen |= {path, path.parent / "__init__.py", _PACKAGE / "nic" / "__init__.py"}
    return sorted(chosen)


def host_modules() -> list[Path]:
    """The files of the package that run on a host."""
    away = [_PACKAGE / "transport" / name for name in ("protocol", "core", "sim")]
    return [
        path for path in modules("plan", "agent", "transport") if not any(path.is_relative_to(room) for room in away)
    ]


def name_in_bundle(path: Path) -> str:
    """Where a file of the package lies in a bundle."""
    return _PYTHON + path.relative_to(_ROOT).as_posix()


def core_digest() -> str:
    """SHA-256 of the C library's sources: a bundle's manifest says which ones its library was built from."""
    lines = []
    for room in ("include", "src"):
        for path in sorted((_CORE / room).rglob("*.[ch]")):
            lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.relative_to(_CORE).as_posix()}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def stale(bundle: Bundle) -> str | None:
    """How a bundle differs from the sources of this checkout, in words; None when it does not, and in a wheel."""
    if installed():
        return None
    with tarfile.open(bundle.path, "r:") as tar:
        source = tar.extractfile(MANIFEST)
        manifest = json.loads(source.read()) if source else {}
    held = {name: digest for name, digest in manifest["files"].items() if name.startswith(f"{_PYTHON}tether_hw/")}
    here = {name_in_bundle(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in host_modules()}
    changed = sorted(name for name in {*held, *here} if held.get(name) != here.get(name))
    words = [name.removeprefix(_PYTHON) for name in changed]
    if manifest.get("core_sha256") != core_digest():
        words.append("the C library")
    if not words:
        return None
    more = f" and {len(words) - _MOST_NAMED} more" if len(words) > _MOST_NAMED else ""
    return f"older than the sources: {', '.join(words[:_MOST_NAMED])}{more}"
