# SPDX-License-Identifier: Apache-2.0
"""The dead-man: a process of its own that takes a run back when nobody confirmed it in time.

It is armed before the first step, belongs to no session, and its deadline is a moment on the boot clock, so neither the
loss of SSH, nor the death of the process that executes, nor a clock that is set changes what it does.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Callable, Optional

from tether_hw.agent import durable
from tether_hw.agent.process import ProcessId, boot_id, boottime_ns, detach
from tether_hw.agent.run import DEADMAN, REVERTED

if TYPE_CHECKING:
    from tether_hw.agent.run import Run

_LOOK_S = 0.2  # how late it may notice a decision or a deadline that was moved


def arm(run: Run, window_s: float) -> int:
    """Set the deadline `window_s` seconds from now; returns it in ns of the boot clock. A live dead-man sees it."""
    deadline_ns = boottime_ns() + int(window_s * 1e9)
    durable.write_json(run.folder / "armed.json", {"deadline_ns": deadline_ns, "boot": boot_id()})
    return deadline_ns


def deadline_ns(run: Run) -> Optional[int]:
    """The armed deadline; None when there is none in this boot."""
    record = durable.read_json(run.folder / "armed.json")
    if record is None or record["boot"] != boot_id():
        return None
    return int(record["deadline_ns"])


def left_s(run: Run) -> Optional[float]:
    """Seconds until the run is taken back; None when no dead-man watches it."""
    moment = deadline_ns(run)
    if moment is None or run.process(DEADMAN) is None:
        return None
    return max(0.0, (moment - boottime_ns()) / 1e9)


def launch(run: Run, take_back: Callable[[str], None]) -> ProcessId:
    """Start the dead-man of an armed run, unless one lives; `take_back(why)` runs in it when the deadline comes."""
    living = run.process(DEADMAN)
    if living is not None:
        return living
    process = detach("tether-deadman", run.log, lambda: _watch(run, take_back))
    run.remember(DEADMAN, process)
    return process


def _watch(run: Run, take_back: Callable[[str], None]) -> None:
    while True:
        if run.outcome() is not None:
            return
        moment = deadline_ns(run)
        if moment is None:
            return
        left = (moment - boottime_ns()) / 1e9
        if left <= 0:
            break
        time.sleep(min(_LOOK_S, left))
    if run.decide(REVERTED, "dead-man"):
        take_back("not confirmed in time")


def dismiss(run: Run) -> None:
    """End the dead-man of a decided run; it would go by itself, this only waits for it."""
    process = run.process(DEADMAN)
    if process is not None and not process.wait(4 * _LOOK_S):
        process.end(1.0)
