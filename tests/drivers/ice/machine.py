# SPDX-License-Identifier: Apache-2.0
"""A host with cards of the ice family."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from tests.drivers.common.machine import Done, Host, Main, numbers
from tests.drivers.ice.card import Card, Function
from tests.drivers.ice.driver import Search

if TYPE_CHECKING:
    from tests.drivers.ice.sysfs import SysFs

__all__ = ["Done", "Machine"]


@dataclass
class Machine(Host):
    """What ice needs besides: where firmware is looked for."""

    module_name: ClassVar[str] = "ice"
    mtu_max: ClassVar[int] = 9702
    tools: ClassVar[tuple[str, ...]] = ("ip", "ethtool", "devlink", "tc", "modprobe", "update-initramfs", "dmesg")
    stand_ins: ClassVar[tuple[str, ...]] = ("devlink", "tc", "ethtool", "modprobe", "update-initramfs", "dmesg")

    firmware_path: str = ""
    compressed: bool = False
    cards: list[Card] = field(default_factory=list)

    @property
    def search(self) -> Search:
        return Search(self.root, self.release, self.firmware_path, self.compressed)

    @property
    def has_ether_flows(self) -> bool:
        """flow-type ether came with Linux 6.10, and with 1.15.4 of the driver outside the tree."""
        if self.driver_version:
            return numbers(self.driver_version) >= (1, 15, 4)
        return self.kernel >= (6, 10)

    @property
    def functions(self) -> list[Function]:
        return [function for card in self.cards for function in card.functions]

    def card(self, dsn: int) -> Card:
        made = Card(self, dsn)
        self.cards.append(made)
        return made

    def boot(self) -> None:
        """It starts again: what was set is gone, and every function is probed anew."""
        self.settle()
        for function in self.functions:
            if function.driver is not None:
                function.unbind()
        self.boots += 1
        self.module = True
        for function in self.functions:
            function.bind()

    def programs(self) -> dict[str, Main]:
        from tests.drivers.common.programs import ethtool, others, tc
        from tests.drivers.ice.programs import devlink

        return {"devlink": devlink.main, "tc": tc.main, "ethtool": ethtool.main, **others.MAINS}

    def sysfs(self) -> SysFs:
        from tests.drivers.ice.sysfs import SysFs

        return SysFs(self)
