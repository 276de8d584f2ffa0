# SPDX-License-Identifier: Apache-2.0
"""SSH keys of the lab: one for who works on it, one for each host."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_key(file: Path, comment: str) -> None:
    """An ed25519 key pair, whole or not at all; one that is there already stays."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".partial")
    for old in (partial, Path(f"{partial}.pub")):
        old.unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(partial)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    Path(f"{partial}.pub").rename(f"{file}.pub")
    partial.rename(file)


def public_key(file: Path) -> str:
    """Type and key, without the comment."""
    return " ".join(Path(f"{file}.pub").read_text(encoding="ascii").split()[:2])


def known_hosts_line(address: str, port: int, key: str) -> str:
    place = address if port == 22 else f"[{address}]:{port}"
    return f"{place} {key}\n"
