# SPDX-License-Identifier: Apache-2.0
"""This controller's own records of runs. A convenience: the truth about a host is the host's journal."""

from __future__ import annotations

import getpass
import json
import os
import secrets
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tether_hw.fleet.secrets import redact_all
from tether_hw.fleet.whole_file import write_whole

if TYPE_CHECKING:
    from tether_hw.fleet.inventory import Inventory

SCHEMA = "tether.run/1"


def folder(inventory: Inventory) -> Path:
    """TETHER_STATE, the inventory's `state`, or the user's XDG state folder."""
    named = os.environ.get("TETHER_STATE")
    if named:
        return Path(named).expanduser()
    if inventory.state is not None:
        return inventory.state
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "tether"


def new_run() -> str:
    """A name for a run: its time in UTC, so that names sort, and a few random digits."""
    return time.strftime("r%Y%m%d-%H%M%S-", time.gmtime()) + secrets.token_hex(3)


def holder() -> str:
    """Who we are, as the lock of a host says it to others."""
    return f"{getpass.getuser()}@{socket.gethostname()} (pid {os.getpid()})"


def save(inventory: Inventory, run: str, record: dict[str, Any]) -> Path:
    """Write the record of a run, whole or not at all, readable by its owner only."""
    runs = folder(inventory) / "runs"
    runs.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = runs / f"{run}.json"
    document = redact_all({"schema": SCHEMA, "run": run, **record})
    write_whole(path, json.dumps(document, indent=1).encode(), 0o600)
    return path


def load(inventory: Inventory, run: str) -> dict[str, Any] | None:
    """The record of a run, if this controller made one."""
    try:
        document = json.loads((folder(inventory) / "runs" / f"{run}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and document.get("schema") == SCHEMA else None


def known(inventory: Inventory) -> list[dict[str, Any]]:
    """The records of this controller, oldest first."""
    runs = folder(inventory) / "runs"
    names = sorted(path.stem for path in runs.glob("r*.json")) if runs.is_dir() else []
    records = (load(inventory, name) for name in names)
    return [record for record in records if record is not None]
