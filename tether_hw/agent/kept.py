# SPDX-License-Identifier: Apache-2.0
"""What the last closed run left here: the config that this host shall still have, and when that was."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from tether_hw.agent import durable
from tether_hw.agent.process import boot_id, boottime_ns

if TYPE_CHECKING:
    from tether_hw.agent.host import Host
    from tether_hw.agent.staged import Staged

SCHEMA = "tether.kept/1"
_BY_NAME = ("nics", "functions", "cards")


def read(host: Host) -> Optional[dict[str, Any]]:
    """{"schema", "run", "state", "host", "at", "boot", "up_ns", "config"}; None before the first run was closed."""
    document = durable.read_json(Path(host.paths.kept))
    return document if isinstance(document, dict) and document.get("schema") == SCHEMA else None


def write(host: Host, run: str, staged: Staged, state: str, config: dict[str, Any]) -> None:
    """Keep `config`; devices that this run did not look at stay as the runs before it left them."""
    before = read(host)
    whole = dict(config)
    for table in _BY_NAME:
        old = {} if before is None else before["config"].get(table, {})
        whole[table] = {**old, **config.get(table, {})}
    document = {
        "schema": SCHEMA,
        "run": run,
        "state": state,
        "host": staged.host,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "boot": boot_id(),
        "up_ns": boottime_ns(),
        "config": whole,
    }
    durable.write_json(Path(host.paths.kept), document, 0o600)
