# SPDX-License-Identifier: Apache-2.0
"""What this host's init and its timers call, never a session: the boot check, the dead-man, a run that goes on."""

from __future__ import annotations

import os
import sys
from typing import Sequence

from tether_hw.plan.paths import HostPaths

_USAGE = 64
#: Word -> how many words come after it.
WORDS = {"boot": 1, "deadman": 2, "continue": 2}


def main(words: Sequence[str]) -> int:
    """`boot ROOT`, `deadman ROOT RUN` or `continue ROOT RUN`."""
    from tether_hw.agent.host import Host

    if len(words) != 1 + WORDS[words[0]]:
        sys.stderr.write("usage: tether-agent boot ROOT | deadman ROOT RUN | continue ROOT RUN\n")
        return _USAGE
    os.umask(0o022)
    host = Host(HostPaths(words[1]))
    if words[0] == "boot":
        from tether_hw.agent import boot

        boot.check(host)
        return 0
    run = host.run(words[2])
    if words[0] == "deadman":
        from tether_hw.agent import take_back

        take_back.deadman(host, run)
        return 0
    from tether_hw.agent import execute

    execute.continued(host, run)
    return 0
