# SPDX-License-Identifier: Apache-2.0
"""What can be broken on purpose."""

from __future__ import annotations

from tether_hw.lab.errors import LabError

WRONG_QUEUE, CUT_LINK, CUT_SSH, POWER_CUT = "wrong-queue", "cut-link", "cut-ssh", "power-cut"
FAULTS = {
    WRONG_QUEUE: "the switch sends each lane of the host to the queue of its next lane",
    CUT_LINK: "the host's data link loses its carrier",
    CUT_SSH: "no SSH session to the host any more",
    POWER_CUT: "everything on the host ends at once and stays off until heal or reboot",
}
SSH_ALL, SSH_LISTENER, SSH_SILENT = "all", "listener", "silent"
CUTS = (SSH_ALL, SSH_LISTENER, SSH_SILENT)


def need_root(what: str, why: str) -> LabError:
    return LabError(f"{what} needs root: {why}", hint="tether lab down, then tether lab up as root")
