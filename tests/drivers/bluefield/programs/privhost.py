# SPDX-License-Identifier: Apache-2.0
"""mlxprivhost: what a host may do to the card that it carries."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from tests.drivers.common.machine import Done
from tests.drivers.common.rules import Refused, bite

if TYPE_CHECKING:
    from tests.drivers.bluefield.chip import Chip
    from tests.drivers.bluefield.machine import Side

FLAGS = ("disable_rshim", "disable_tracer", "disable_port_owner", "disable_counter_rd")


def main(machine: Side, words: list[str], stdin: str) -> Done:
    """mlxprivhost -d X q; r [--disable_...]; p."""
    name = words[words.index("-d") + 1] if "-d" in words[:-1] else ""
    if machine.function(name) is None:
        return Done(1, "", f"-E- Failed to open device: {name}\n")
    verb = [word for word in words if word != name and not word.startswith("-")]
    chip = machine.chip
    if verb in (["q"], ["query"]):
        return Done(0, _told(chip))
    if verb not in (["r"], ["restrict"], ["p"], ["privilege"]):
        return Done(1, "", "-E- Invalid command\n")
    try:
        _set(machine, verb[0].startswith("r"), "--disable_rshim" in words)
    except Refused as refused:
        return Done(1, "", f"{refused.words}\n")
    return Done(0, "All host configurations were set successfully\n")


def _set(machine: Side, restricted: bool, no_rshim: bool) -> None:
    chip = machine.chip
    if machine is chip.server:
        raise Refused("privhost-from-host", errno.EPERM, "-E- Restriction is set from the embedded CPU only")
    chip.restricted = restricted
    if chip.rshim[1] == (restricted and no_rshim):
        chip.rshim = (chip.rshim[0], not chip.rshim[1])
        bite("rshim-next-power")


def _told(chip: Chip) -> str:
    line = "-------------------------------\n"
    text = f"Host configurations\n{line}{'level':<30}: {'RESTRICTED' if chip.restricted else 'PRIVILEGED'}\n\n"
    flags = dict.fromkeys(FLAGS, chip.restricted) | {"disable_rshim": not chip.rshim[1]}
    text += f"Port functions status:\n{line}"
    return text + "".join(f"{name:<30}: {str(on).upper()}\n" for name, on in flags.items())
