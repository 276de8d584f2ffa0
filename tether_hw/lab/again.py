# SPDX-License-Identifier: Apache-2.0
"""Waits for the end of a host and powers it on again if the host itself asked for a reboot.

Run as ``python -m tether_hw.lab.again STATE NAME PID``, one for each power on of each host; it carries the lab's mark.
"""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

from tether_hw.lab.control import power_on_again, state_folder


def main() -> None:
    state, name, pid = sys.argv[1], sys.argv[2], int(sys.argv[3])
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        pass
    else:
        select.select([descriptor], [], [])
    power_on_again(state_folder(Path(state)), name)


if __name__ == "__main__":
    main()
