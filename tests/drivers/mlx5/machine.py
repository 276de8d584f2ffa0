# SPDX-License-Identifier: Apache-2.0
"""A host with cards of the mlx5 family, and what its kernel was built with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from tests.drivers.common.machine import Host, Main
from tests.drivers.common.rules import bite
from tests.drivers.mlx5.card import DRIVER, Card, Function

if TYPE_CHECKING:
    from tests.drivers.mlx5.sysfs import SysFs


@dataclass
class Machine(Host):
    """has_flower: MLX5_CLS_ACT. sf_built: MLX5_SF. switchdev_built: NET_SWITCHDEV."""

    module_name: ClassVar[str] = DRIVER
    mtu_max: ClassVar[int] = 9978
    tools: ClassVar[tuple[str, ...]] = (
        "ip",
        "ethtool",
        "devlink",
        "tc",
        "modprobe",
        "mlxconfig",
        "mlxfwreset",
        "dmesg",
    )
    stand_ins: ClassVar[tuple[str, ...]] = ("ethtool", "devlink", "tc", "modprobe", "mlxconfig", "mlxfwreset", "dmesg")
    places: ClassVar[tuple[str, ...]] = ("bus/pci", "class/net", "module")

    release: str = "6.1.0-56-amd64"
    has_flower: bool = True
    sf_built: bool = True
    switchdev_built: bool = True
    sf_eth: bool = True  # whether SFs come with a network device
    cards: list[Card] = field(default_factory=list)
    at_boot: Callable[[], None] = lambda: None  # what somebody else's scripts set at every boot
    on_leave: Callable[[], None] | None = None  # what goes down with it; may raise

    @property
    def functions(self) -> list[Function]:
        return [function for card in self.cards for function in card.functions]

    @property
    def tc_takes(self) -> bool:
        return self.has_flower

    def card(self, serial: str) -> Card:
        made = Card(self, serial)
        self.cards.append(made)
        return made

    def config(self) -> str:
        """The kernel's, as /boot has it."""
        words = {"MLX5_CLS_ACT": self.has_flower, "MLX5_SF": self.sf_built, "NET_SWITCHDEV": self.switchdev_built}
        words |= {"NET_TC_SKB_EXT": self.has_flower or self.kernel < (6, 12)}
        lines = [f"CONFIG_{name}=y" if on else f"# CONFIG_{name} is not set" for name, on in words.items()]
        return "\n".join(["CONFIG_MLX5_CORE=m", *lines]) + "\n"

    def boot(self) -> None:
        """It starts again: the firmware takes what was set for it, and nothing else outlasts this."""
        self.settle()
        if any(one.mode != "legacy" or one.vfs or one.table.flows for one in self.functions):
            bite("boot-wipes")
        for function in self.functions:
            function.end()
            function.autoprobe = True
            function.made = 0
        for card in self.cards:
            card.firmware.start()
        self.boots += 1
        for function in self.functions:
            if function.driver == DRIVER:
                function.begin()
        self.settle()
        self.at_boot()

    def leave(self) -> None:
        """Somebody runs `reboot`."""
        if self.on_leave is not None:
            self.on_leave()
        self.boot()

    def programs(self) -> dict[str, Main]:
        from tests.drivers.common.programs import ethtool, others, tc
        from tests.drivers.mlx5.programs import devlink, firmware_tools, ip

        tools = {"mlxconfig": firmware_tools.config, "mstconfig": firmware_tools.config}
        tools |= {"mlxfwreset": firmware_tools.reset, "mstfwreset": firmware_tools.reset}
        own: dict[str, Main] = {"devlink": devlink.main, "tc": tc.main, "ethtool": ethtool.main, **tools}
        return {**others.MAINS, **own, "ip": ip.main}

    def sysfs(self) -> SysFs:
        from tests.drivers.mlx5.sysfs import SysFs

        return SysFs(self)
