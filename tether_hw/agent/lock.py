# SPDX-License-Identifier: Apache-2.0
"""The host's lock: one pending run at a time, whoever the controllers are.

The lock is a record, not a process's flock: a pending run outlives sessions, controllers and reboots.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Optional

from tether_hw.agent import durable
from tether_hw.agent.errors import Locked


class HostLock:
    def __init__(self, path: Path) -> None:
        self.path = path

    def holder(self) -> Optional[dict[str, Any]]:
        """{"run", "holder", "since", "for"} of the pending run; None when the host is free."""
        record = durable.read_json(self.path)
        return record if isinstance(record, dict) else None

    def take(self, run: str, holder: str, purpose: str) -> None:
        """Make `run` the pending one. Taking it again for the same run is fine; Locked when another has it."""
        record = {
            "run": run,
            "holder": holder,
            "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "for": purpose,
        }
        if durable.create_json(self.path, record):
            return
        current = self.holder()
        if current is None:
            # Released between the two looks: the next controller may be first, so compete once more.
            if durable.create_json(self.path, record):
                return
            current = self.holder() or record
        if current["run"] != run:
            raise Locked(
                "run %s of %s is pending here since %s" % (current["run"], current["holder"], current["since"]),
                run=current["run"],
                holder=current["holder"],
                since=current["since"],
            )

    def release(self, run: str) -> bool:
        """Free the host if `run` holds it."""
        current = self.holder()
        if current is None or current["run"] != run:
            return False
        return durable.remove(self.path)
