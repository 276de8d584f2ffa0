# SPDX-License-Identifier: Apache-2.0
"""A host of the model: cards, network devices, kernel release and log, files under a root folder, and its programs.

Nothing here waits: what a real machine shows late shows here after a number of looks (`late`), a look being any call of
a program and any access to sysfs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.drivers.ice.card import Card, Function
from tests.drivers.ice.driver import Search
from tests.drivers.ice.netdev import Filter, NetDev, Tc
from tests.drivers.ice.rules import bite


@dataclass(frozen=True)
class Done:
    """How a program ended."""

    code: int
    out: str = ""
    err: str = ""


@dataclass
class Machine:
    """root: the host's files. release: of its kernel. late: looks until something new shows."""

    root: Path
    release: str = "6.12.95+deb12-amd64"
    firmware_path: str = ""
    compressed: bool = False
    late: int = 0
    driver_version: str = ""  # of an out-of-tree ice; empty for the kernel's own
    cards: list[Card] = field(default_factory=list)
    devices: list[NetDev] = field(default_factory=list)
    module: bool = True
    kernel_log: list[str] = field(default_factory=list)
    initramfs: int = 0  # how often it was made anew
    hooks: dict[str, Callable[[NetDev], None]] = field(default_factory=dict)  # plug, unplug, rename: for real devices
    _waiting: list[tuple[int, str, Callable[[], None]]] = field(default_factory=list)
    _looks: int = 0
    _names: int = 0

    @property
    def tc(self) -> Tc:
        return Tc(self._offload)

    @property
    def search(self) -> Search:
        return Search(self.root, self.release, self.firmware_path, self.compressed)

    @property
    def has_ether_flows(self) -> bool:
        """flow-type ether came with Linux 6.10, and with 1.15.4 of the driver outside the tree."""
        if self.driver_version:
            return _numbers(self.driver_version) >= (1, 15, 4)
        return _numbers(self.release) >= (6, 10)

    # Time

    def look(self) -> None:
        """Somebody looks at this machine; what is due happens before he sees anything."""
        self._looks += 1
        due = [item for item in self._waiting if item[0] <= self._looks]
        self._waiting = [item for item in self._waiting if item[0] > self._looks]
        for _, rule, act in due:
            bite(rule)
            act()

    def later(self, rule: str, act: Callable[[], None]) -> None:
        """Do it after `late` more looks; now when there are none."""
        if self.late:
            self._waiting.append((self._looks + self.late, rule, act))
        else:
            act()

    def settle(self) -> None:
        """Let everything that is due happen."""
        while self._waiting:
            self.look()

    def forget(self, rule: str, function: Function) -> None:
        """VFs that went before they showed do not show any more."""
        names = {rule, "representors-late"}
        self._waiting = [
            item for item in self._waiting if not (item[1] in names and getattr(item[2], "__self__", None) is function)
        ]

    # Devices

    @property
    def functions(self) -> list[Function]:
        return [function for card in self.cards for function in card.functions]

    def function(self, bdf: str) -> Function | None:
        return next((function for function in self.functions if function.bdf == bdf), None)

    def card(self, dsn: int) -> Card:
        made = Card(self, dsn)
        self.cards.append(made)
        return made

    def device(self, name: str) -> NetDev | None:
        return next((device for device in self.devices if device.name == name), None)

    def function_of(self, device: NetDev) -> Function | None:
        return self.function(device.function) if device.function is not None else None

    def free_name(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}{self._names + 90}"

    def plug(self, device: NetDev) -> None:
        self.devices.append(device)
        self._hook("plug", device)

    def unplug(self, device: NetDev) -> None:
        """It goes; rules that point at it stay where they are."""
        device.there = False
        device.filters.clear()
        self.devices.remove(device)
        self._hook("unplug", device)

    def rename(self, device: NetDev, name: str) -> None:
        if device.there and self.device(name) is None:
            device.name = name
            self._hook("rename", device)

    def _hook(self, what: str, device: NetDev) -> None:
        if what in self.hooks:
            self.hooks[what](device)

    def _offload(self, device: NetDev, new: Filter) -> None:
        function = self.function_of(device)
        assert function is not None, f"{device.name} is no device of a card"
        function.offload(device, new)

    # The kernel

    def say(self, line: str) -> None:
        """A line of the kernel's log."""
        self.kernel_log.append(line)

    def load_module(self) -> None:
        """modprobe ice: every function without a driver is probed."""
        if self.module:
            return
        self.module = True
        for function in self.functions:
            if function.driver is None:
                function.bind()

    def unload_module(self) -> None:
        """modprobe -r ice."""
        if not self.module:
            return
        for function in self.functions:
            if function.driver == "ice":
                function.unbind()
        self.module = False

    def run(self, argv: Sequence[str], stdin: str = "") -> Done:
        """A program of this machine."""
        from tests.drivers.ice.programs import devlink, ethtool, others, tc

        mains = {"devlink": devlink.main, "tc": tc.main, "ethtool": ethtool.main, **others.MAINS}
        self.look()
        name = argv[0].rpartition("/")[2]
        if name not in mains:
            raise FileNotFoundError(2, "No such file or directory", argv[0])
        return mains[name](self, list(argv[1:]), stdin)


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
