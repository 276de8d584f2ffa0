# SPDX-License-Identifier: Apache-2.0
"""What came of faults: one row for each, as lines of JSON between the programs that make them and the page."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CONFIGURED = "configured"
AS_BEFORE = "as before"


@dataclass(frozen=True)
class Row:
    """machine: what the host was. point: where it struck. then: who went on with the run. end: CONFIGURED, AS_BEFORE,
    or what the host was between. id: what repeats it."""

    tier: str
    machine: str
    fault: str
    point: str
    then: str
    end: str
    ok: bool
    seconds: float
    id: str = ""

    def line(self) -> str:
        return json.dumps({**asdict(self), "seconds": round(self.seconds, 1)}, sort_keys=True) + "\n"


def head_line(tier: str, head: dict[str, Any]) -> str:
    """The first line of a file of rows."""
    return json.dumps({"tier": tier, **head}, sort_keys=True) + "\n"


def read(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """The head (commit, begun, seed, how) and the rows of the newest run in a file; both empty where there is none."""
    head: dict[str, Any] = {}
    rows: list[Row] = []
    if not path.exists():
        return head, rows
    for line in path.read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        if "fault" not in found:
            head, rows = found, []
        else:
            rows.append(Row(**{"then": "", "id": "", **found}))
    return head, rows
