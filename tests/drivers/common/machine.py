# SPDX-License-Identifier: Apache-2.0
"""A host of a model: network devices, kernel release and log, files under a root folder, and its programs.

Nothing here waits: what a real machine shows late shows here after a number of looks (`late`), a look being any call of
a program and any access to sysfs.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tests.drivers.common.netdev import Filter, NetDev, Tc
from tests.drivers.common.rules import bite

if TYPE_CHECKING:
    from tests.drivers.common.sysfs import SysFs


@dataclass(frozen=True)
class Done:
    """How a program ended."""

    code: int
    out: str = ""
    err: str = ""


Main = Callable[[Any, list[str], str], Done]


@dataclass
class Host(ABC):
    """root: the host's files. release: of its kernel. late: looks until something new shows."""

    module_name: ClassVar[str]
    mtu_max: ClassVar[int]
    tools: ClassVar[tuple[str, ...]]  # on the path
    stand_ins: ClassVar[tuple[str, ...]]  # those that a host over SSH gets in place of its own
    places: ClassVar[tuple[str, ...]] = ("bus/pci", "class/net", "module")  # of /sys that are the model's

    root: Path
    release: str = "6.12.95+deb12-amd64"
    late: int = 0
    driver_version: str = ""  # of a driver from outside the tree; empty for the kernel's own
    devices: list[NetDev] = field(default_factory=list)
    module: bool = True
    kernel_log: list[str] = field(default_factory=list)
    boots: int = 0  # how often it began anew
    initramfs: int = 0  # how often it was made anew
    hooks: dict[str, Callable[[NetDev], None]] = field(default_factory=dict)  # plug, unplug, rename: for real devices
    _waiting: list[tuple[int, str, Callable[[], None]]] = field(default_factory=list)
    _looks: int = 0
    _names: int = 0

    # What a model brings

    @property
    @abstractmethod
    def functions(self) -> list[Any]:
        """Its physical functions."""

    @abstractmethod
    def programs(self) -> dict[str, Main]:
        """name -> what answers."""

    @abstractmethod
    def sysfs(self) -> SysFs:
        """Its part of /sys."""

    def config(self) -> str | None:
        """How its kernel was built; None where that does not matter."""
        return None

    def load_module(self) -> None:
        """modprobe: every function without a driver is probed."""
        if self.module:
            return
        self.module = True
        for function in self.functions:
            if function.driver is None:
                function.bind()

    def unload_module(self) -> None:
        """modprobe -r."""
        if not self.module:
            return
        for function in self.functions:
            if function.driver == self.module_name:
                function.unbind()
        self.module = False

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

    def forget(self, rules: set[str], owner: object) -> None:
        """What went before it showed does not show any more."""
        self._waiting = [
            item for item in self._waiting if not (item[1] in rules and getattr(item[2], "__self__", None) is owner)
        ]

    # Devices

    @property
    def tc(self) -> Tc:
        return Tc(self._offload, self.tc_takes, self.kernel < (6, 2))

    @property
    def tc_takes(self) -> bool:
        """Whether a driver of this kernel is asked about rules at all."""
        return True

    @property
    def kernel(self) -> tuple[int, ...]:
        return numbers(self.release)

    def function(self, bdf: str) -> Any:
        return next((function for function in self.functions if function.bdf == bdf), None)

    def device(self, name: str) -> NetDev | None:
        return next((device for device in self.devices if device.name == name), None)

    def function_of(self, device: NetDev) -> Any:
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

    def run(self, argv: Sequence[str], stdin: str = "") -> Done:
        """A program of this machine."""
        mains = self.programs()
        self.look()
        name = argv[0].rpartition("/")[2]
        if name not in mains:
            raise FileNotFoundError(2, "No such file or directory", argv[0])
        return mains[name](self, list(argv[1:]), stdin)


def numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
