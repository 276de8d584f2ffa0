# SPDX-License-Identifier: Apache-2.0
"""Following a run: its journal as it grows, until it rests."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, TextIO

from tether_hw.agent.state import RESTING, state

if TYPE_CHECKING:
    from tether_hw.agent.run import Run

_LOOK_S = 0.03
_HEARTBEAT_S = 2.0


def follow(run: Run, after: int, out: TextIO) -> None:
    """Print the records after number `after`, one a line, and an empty line as a sign of life; returns at rest."""
    said = time.monotonic()
    while True:
        # The state is read first: a record that is written in between is printed in this turn, never lost.
        resting = state(run) in RESTING
        fresh = [record for record in run.journal.records() if record["n"] > after]
        for record in fresh:
            out.write(json.dumps(record, sort_keys=True, separators=(",", ":")) + "\n")
            after = record["n"]
        now = time.monotonic()
        if fresh or now - said > _HEARTBEAT_S:
            if not fresh:
                out.write("\n")
            out.flush()
            said = now
        if resting:
            return
        time.sleep(_LOOK_S)
