# SPDX-License-Identifier: Apache-2.0
"""The two machines of one card: the Arm on it, and the host that it is plugged into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tests.drivers.bluefield.card import PRE_INIT, Embedded, Outer
from tests.drivers.bluefield.chip import NIC, Chip, Share
from tests.drivers.common.machine import Main
from tests.drivers.common.rules import bite
from tests.drivers.mlx5.card import DRIVER, Function
from tests.drivers.mlx5.machine import Machine

if TYPE_CHECKING:
    from tests.drivers.bluefield.sysfs import SysFs

TOOLS = ("mlxprivhost",)


@dataclass
class Side(Machine):
    """One of them."""

    tools: ClassVar[tuple[str, ...]] = (*Machine.tools, *TOOLS)
    stand_ins: ClassVar[tuple[str, ...]] = (*Machine.stand_ins, *TOOLS)

    @property
    def share(self) -> Share:
        return self.cards[0]  # type: ignore[return-value]

    @property
    def chip(self) -> Chip:
        return self.share.chip

    def programs(self) -> dict[str, Main]:
        from tests.drivers.bluefield.programs import privhost

        return {**super().programs(), "mlxprivhost": privhost.main}

    def sysfs(self) -> SysFs:
        from tests.drivers.bluefield.sysfs import SysFs

        return SysFs(self)

    def wiped(self) -> None:
        if any(one.mode != "legacy" or one.vfs or one.table.flows for one in self.functions):
            bite("boot-wipes")


@dataclass
class Arm(Side):
    """release: of its own kernel."""

    @property
    def ports(self) -> list[Embedded]:
        return self.share.functions  # type: ignore[return-value]

    @property
    def functions(self) -> list[Function]:
        """In NIC mode the Arm has nothing of the card."""
        if self.chip.mode == NIC:
            bite("arm-without-card")
            return []
        return list(self.share.functions)

    def boot(self) -> None:
        self.settle()
        self.wiped()
        self.start()
        self.settle()

    def start(self) -> None:
        """Its system comes up, with nothing of what was set before."""
        for port in self.ports:
            port.end()
            port.autoprobe, port.made = True, 0
        self.boots += 1
        if self.share.firmware.current != self.share.firmware.next:
            bite("reboot-keeps-firmware")
        for port in self.ports if self.chip.mode != NIC else []:
            if port.driver == DRIVER:
                port.begin()
        self.settle()
        self.at_boot()


@dataclass
class Server(Side):
    """The host."""

    @property
    def ports(self) -> list[Outer]:
        return self.share.functions  # type: ignore[return-value]

    def boot(self) -> None:
        self.settle()
        self.wiped()
        self.down()
        self.chip.server_boots()
        self.start()
        self.settle()

    def down(self) -> list[Outer]:
        """Drivers go; which had one."""
        bound = [port for port in self.ports if port.driver == DRIVER]
        for port in bound:
            port.end()
        return bound

    def start(self) -> None:
        """Its system comes up, and probes every function."""
        self.boots += 1
        for port in self.ports:
            port.autoprobe, port.made = True, 0
        self.up(self.ports)
        self.settle()
        self.at_boot()

    def up(self, ports: list[Outer]) -> None:
        """Drivers try; a function whose Arm is not ready stays without one."""
        for port in ports:
            port.driver = None
            missing = port.missing()
            if missing is None:
                port.bind()
            else:
                port.log(PRE_INIT)
                bite(missing)
