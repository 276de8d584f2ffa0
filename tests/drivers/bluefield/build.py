# SPDX-License-Identifier: Apache-2.0
"""A card and its two machines as tests begin with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.drivers.bluefield.card import Embedded, Outer, Port
from tests.drivers.bluefield.chip import ABOUT, DPU, NIC, PSID, SERIAL, ZERO_TRUST, Chip, Share, firmware
from tests.drivers.bluefield.machine import Arm, Server, Side

ARM0, ARM1 = "0000:03:00.0", "0000:03:00.1"
HOST0, HOST1 = "0000:17:00.0", "0000:17:00.1"
ARM_MAC, HOST_MAC = "02:bf:30:00:00:0{}", "02:bf:31:00:00:0{}"


def chip(
    arm: Path,
    host: Path,
    mode: str = DPU,
    bound: bool = True,
    names: tuple[str, str, str, str] = ("p0", "p1", "data0", "data1"),
    **more: Any,
) -> Chip:
    """One card; arm, host: the roots of its machines. bound: the Arm in switchdev on both ports, the host's drivers on.

    more: of both machines, as `late`.
    """
    made = Chip(firmware(mode), restricted=mode == ZERO_TRUST)
    for side, kind, place in ((Arm(arm), Embedded, 0), (Server(host), Outer, 2)):
        _side(made, side, kind, names[place : place + 2])
        made.sides.append(side)
    for one in made.sides:
        for key, value in more.items():
            setattr(one, key, value)
    if bound:
        start(made)
    return made


def _side(chip: Chip, side: Side, kind: type[Port], names: tuple[str, ...]) -> None:
    share = Share(side, SERIAL, PSID, ABOUT, firmware=chip.firmware, chip=chip)
    bdfs, mac = ((ARM0, ARM1), ARM_MAC) if kind is Embedded else ((HOST0, HOST1), HOST_MAC)
    for port, (bdf, name) in enumerate(zip(bdfs, names, strict=True)):
        share.functions.append(kind(share, bdf, port, name, mac.format(port + 1)))
    side.cards.append(share)


def start(made: Chip, switchdev: bool = True) -> None:
    """Drivers on, everything else as it comes; nothing of it shows late."""
    late = [side.late for side in made.sides]
    for side in made.sides:
        side.late = 0
    for function in made.arm.functions:
        function.bind()
    if made.mode != NIC and switchdev:
        for port in made.arm.ports:
            port.set_eswitch("switchdev", None, None)
    for outer in made.server.ports:
        outer.bind()
    for side, value in zip(made.sides, late, strict=True):
        side.late = value
