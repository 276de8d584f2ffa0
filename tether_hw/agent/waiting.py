# SPDX-License-Identifier: Apache-2.0
"""Waiting for what the kernel does in its own time."""

from __future__ import annotations

import time
from typing import Callable, Optional

from tether_hw.agent.errors import AgentError

_PAUSE_S = 0.05


def until(missing: Callable[[], Optional[str]], timeout_s: float) -> None:
    """Wait until nothing is missing. Raises AgentError with what still is when the time is over."""
    limit = time.monotonic() + timeout_s
    while True:
        words = missing()
        if words is None:
            return
        if time.monotonic() > limit:
            raise AgentError("%s after %g s" % (words, timeout_s))
        time.sleep(_PAUSE_S)
