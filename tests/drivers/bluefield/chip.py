# SPDX-License-Identifier: Apache-2.0
"""What both machines of a BlueField share: firmware, mode, who may set what, the VFs of the host, and resets."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.drivers.common.rules import Refused, bite
from tests.drivers.mlx5.card import Card
from tests.drivers.mlx5.firmware import FACTORY, KINDS, Firmware, Kind
from tests.drivers.mlx5.virtual import Vf

if TYPE_CHECKING:
    from tests.drivers.bluefield.card import Outer
    from tests.drivers.bluefield.machine import Arm, Server

SERIAL, PSID = "MT2334X00456", "MT_0000000884"
ABOUT = ("BlueField3", "900-9D3B6-00CV-A_Ax", "NVIDIA BlueField-3 B3220 P-Series FHHL DPU; 200GbE")
DPU, NIC, ZERO_TRUST = "dpu", "nic", "zero-trust"
ENGINE = "INTERNAL_CPU_OFFLOAD_ENGINE"
TOOL, OWN_DRIVER = 0, 1


class BlueFirmware(Firmware):
    """Drivers bring themselves down for a reset, or nobody does."""

    @property
    def sync(self) -> int:
        return OWN_DRIVER


def firmware(mode: str) -> BlueFirmware:
    """As it runs in this mode."""
    kinds = KINDS | {ENGINE: Kind("0", names={"0": "ENABLED(0)", "1": "DISABLED(1)"})}
    current = {name: FACTORY.get(name, kind.default) for name, kind in kinds.items()}
    current[ENGINE] = "1" if mode == NIC else "0"
    return BlueFirmware(current=current, kinds=kinds, version="32.39.1002", levels=(3, 4), syncs=(OWN_DRIVER,))


@dataclass
class Chip:
    """The card itself. restricted: what mlxprivhost said. rshim: whether the host has one, now and after a power cycle.

    warm_works: whether the reboot of the host, once level 4 was asked for, makes the firmware start.
    arm_is_up: what happens at the Arm after its start and before the host's, as its boot plan. arm_went_down: what a
    reset ends with, where the process that asked for it went down with the Arm; it may raise, and `finish` follows.
    """

    firmware: BlueFirmware
    restricted: bool = False
    rshim: tuple[bool, bool] = (True, True)
    warm_works: bool = True
    armed: bool = False  # level 4 was asked for
    virtuals: dict[int, list[Vf]] = field(default_factory=lambda: {0: [], 1: []})
    sides: list[Arm | Server] = field(default_factory=list)
    arm_is_up: Callable[[], None] = lambda: None
    arm_went_down: Callable[[], None] = lambda: None
    left: list[Outer] = field(default_factory=list)  # functions of the host that a reset took the driver from

    @property
    def mode(self) -> str:
        if self.firmware.current[ENGINE] == "1":
            return NIC
        return ZERO_TRUST if self.restricted else DPU

    @property
    def arm(self) -> Arm:
        return self.sides[0]  # type: ignore[return-value]

    @property
    def server(self) -> Server:
        return self.sides[1]  # type: ignore[return-value]

    def reset(self) -> None:
        """The whole chip starts anew: the Arm boots, the host's drivers begin again."""
        bite("reset-reboots-arm")
        self.armed = False
        self.left = self.server.down()
        self.firmware.start()
        self.arm.start()
        self.arm_went_down()
        self.finish()

    def finish(self) -> None:
        """The Arm is up again, and the host's drivers begin."""
        self.arm_is_up()
        self.arm.settle()
        left, self.left = self.left, []
        self.server.up(left)

    def settle(self) -> None:
        for side in self.sides:
            side.settle()

    def _arm_boots(self) -> None:
        self.arm.start()
        self.arm_is_up()
        self.arm.settle()

    def server_boots(self) -> None:
        """The host starts again; what the card makes of that."""
        if self.mode == NIC or (self.armed and self.warm_works):
            self.firmware.start()
            self.armed = False
            self._arm_boots()
        elif self.firmware.current != self.firmware.next:
            if self.armed:
                bite("warm-reboot-keeps")
            else:
                bite("reboot-keeps-firmware")
            self.armed = False

    def power_cycle(self) -> None:
        """Both machines lose power."""
        self.rshim = (self.rshim[1], self.rshim[1])
        self.server.down()
        self.firmware.start()
        self.armed = False
        self._arm_boots()
        self.server.start()


@dataclass
class Share(Card):
    """The card as one of its machines sees it."""

    chip: Chip = field(default_factory=lambda: Chip(firmware(DPU)))

    def may_set(self) -> None:
        if self.chip.mode == ZERO_TRUST and self.machine is self.chip.server:
            raise Refused("restricted-host", errno.EPERM, "-E- Failed to set configuration: Operation not permitted")

    def check_reset(self, level: int, sync: int | None) -> None:
        if self.chip.mode == ZERO_TRUST and self.machine is self.chip.server:
            raise Refused("restricted-host", errno.EPERM, "-E- Failed to send reset command: Operation not permitted")
        if sync == TOOL and level == 3:
            words = "-E- fsm sync timed out"  # after "Waiting for mlxfwreset to run on all other hosts"
            raise Refused("reset-sync-both", errno.ETIMEDOUT, words)
        super().check_reset(level, sync)

    def reset(self) -> None:
        self.chip.reset()

    def at_reboot(self) -> None:
        self.chip.armed = True
