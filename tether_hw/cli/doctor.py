# SPDX-License-Identifier: Apache-2.0
"""`tether doctor`: what this machine has and lacks for being a controller and for the lab, and the next step."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tether_hw.cli import output
from tether_hw.cli.common import add_inventory, add_json
from tether_hw.cli.exits import Exit

OK, LACKS, NOTE = "ok", "lacks", "note"

#: Program -> Debian's package, for a lab without root.
USER_LAB_PROGRAMS = {"sshd": "openssh-server", "ssh-keygen": "openssh-client"}
LIBRARIES = ("jinja2", "paramiko", "pydantic", "pyyaml", "rich")


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `needed_for`: controller or lab; `next` is the command that mends it."""

    check: str
    result: str
    found: str
    needed_for: str
    next: str | None = None


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("doctor", help="check this machine", description=__doc__.split(": ", 1)[1])
    add_inventory(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the verb: 1 when the controller lacks something, 0 otherwise."""
    findings = [*_python(), *_library(), *_bundles(), *_ssh(), *_lab(), *_inventory(Path(args.inventory))]
    if args.json:
        output.emit_json({"schema": "tether.doctor/1", "checks": [asdict(finding) for finding in findings]})
    lines = []
    for finding in findings:
        lines.append(f"{finding.result:<6} {finding.check:<22} {finding.found}")
        if finding.next:
            lines.append(f"{'':<29} next: {finding.next}")
    output.result("\n".join(lines), as_json=args.json)
    lacking = any(finding.result == LACKS and finding.needed_for == "controller" for finding in findings)
    return Exit.ERROR if lacking else Exit.DONE


def _python() -> Iterator[Finding]:
    from tether_hw import __version__

    yield Finding("tether", OK, __version__, "controller")
    good = sys.version_info >= (3, 11)
    yield Finding(
        "python", OK if good else LACKS, platform.python_version(), "controller", None if good else "3.11 or newer"
    )
    for name in LIBRARIES:
        try:
            yield Finding(name, OK, metadata.version(name), "controller")
        except metadata.PackageNotFoundError:
            yield Finding(name, LACKS, "not installed", "controller", f"pip install {name}")


def _library() -> Iterator[Finding]:
    from tether_hw.transport.errors import LibraryError
    from tether_hw.transport.library import find

    try:
        yield Finding("transport library", OK, str(find()), "controller")
    except LibraryError as error:
        yield Finding("transport library", LACKS, str(error).splitlines()[0], "controller", "make setup")


def _bundles() -> Iterator[Finding]:
    from tether_hw.fleet import bundle, bundle_sources

    for arch in bundle.ARCHITECTURES:
        try:
            found = bundle.find(arch)
        except bundle.BundleError:
            yield Finding(f"bundle {arch}", LACKS, "not built", "controller", "make bundle")
        else:
            text = f"{found.digest[:12]}, {found.size_bytes // 1024} KiB, carriers {', '.join(found.carriers)}"
            old = bundle_sources.stale(found)
            if old is None:
                yield Finding(f"bundle {arch}", OK, text, "controller")
            else:
                yield Finding(f"bundle {arch}", NOTE, f"{text}; {old}", "controller", "make bundle")


def _ssh() -> Iterator[Finding]:
    socket = os.environ.get("SSH_AUTH_SOCK")
    if socket and Path(socket).is_socket():
        yield Finding("ssh agent", OK, socket, "controller")
    else:
        found = "none: identity_file or the usual files in ~/.ssh are used"
        yield Finding("ssh agent", NOTE, found, "controller")


def _lab() -> Iterator[Finding]:
    if not sys.platform.startswith("linux"):
        yield Finding("lab", NOTE, f"needs Linux, this is {sys.platform}", "lab", "a Linux virtual machine")
        return
    from tether_hw.lab.netlab import TOOLS

    as_root = os.geteuid() == 0
    programs = {**TOOLS, "mmdebstrap": "mmdebstrap"} if as_root else USER_LAB_PROGRAMS
    search = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    missing = {package for program, package in programs.items() if shutil.which(program, path=search) is None}
    kind = "namespaces" if as_root else "user processes"
    if missing:
        command = f"apt-get install {' '.join(sorted(missing))}"
        yield Finding(f"lab ({kind})", LACKS, f"packages: {', '.join(sorted(missing))}", "lab", command)
    else:
        yield Finding(f"lab ({kind})", OK, "all programs are there", "lab", "tether lab up")


def _inventory(path: Path) -> Iterator[Finding]:
    from tether_hw.errors import TetherError
    from tether_hw.fleet.inventory import load

    if not path.exists():
        yield Finding("inventory", NOTE, f"{path} is not there", "controller", "tether init")
        return
    try:
        inventory = load(path)
    except TetherError as error:
        yield Finding("inventory", LACKS, getattr(error, "summary", error.message), "controller", "tether validate")
        return
    unmade = sorted(name for name in inventory.hosts if inventory.lanes[name] and name not in inventory.keys)
    step = f"tether key enroll --limit {','.join(unmade[:4])}" if unmade else "tether plan"
    yield Finding(
        "inventory", OK, f"{path}: {len(inventory.hosts)} hosts, {len(unmade)} without key", "controller", step
    )
