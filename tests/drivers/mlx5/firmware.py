# SPDX-License-Identifier: Apache-2.0
"""The settings in a card's memory: what they are unless set, what the firmware runs with, what it starts with next."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

from tests.drivers.common.rules import Refused, bite

BOOLEAN = {"0": "False(0)", "1": "True(1)"}
LINK = {"1": "IB(1)", "2": "ETH(2)", "3": "VPI(3)"}


@dataclass(frozen=True)
class Kind:
    """What a setting takes: numbers up to `most`, or one of `names` (number -> as it is shown)."""

    default: str
    most: int = 0
    names: dict[str, str] = field(default_factory=dict)

    def number(self, text: str) -> str | None:
        """A value as it is kept; None for what it does not take."""
        for number, shown in self.names.items():
            if text.lower() in (number, shown.partition("(")[0].lower(), shown.lower()):
                return number
        return text if not self.names and text.isdigit() and int(text) <= self.most else None

    def shown(self, number: str) -> str:
        return self.names.get(number, number)


KINDS = {
    "SRIOV_EN": Kind("0", names=BOOLEAN),
    "NUM_OF_VFS": Kind("0", most=127),
    "PF_BAR2_ENABLE": Kind("0", names=BOOLEAN),
    "PER_PF_NUM_SF": Kind("0", names=BOOLEAN),
    "PF_TOTAL_SF": Kind("0", most=1024),
    "PF_SF_BAR_SIZE": Kind("0", most=16),
    "LINK_TYPE_P1": Kind("2", names=LINK),
    "FLEX_PARSER_PROFILE_ENABLE": Kind("0", most=10),
    "PROG_PARSE_GRAPH": Kind("0", names=BOOLEAN),
    "UCTX_EN": Kind("1", names=BOOLEAN),
    "NUM_PF_MSIX_VALID": Kind("1", names=BOOLEAN),
}
#: What the lab's cards run with when a test begins.
FACTORY = {"SRIOV_EN": "1", "NUM_OF_VFS": "16", "PER_PF_NUM_SF": "1", "PF_BAR2_ENABLE": "0", "PF_TOTAL_SF": "8"}


@dataclass
class Firmware:
    """The firmware of one card; every function sees the same settings. levels, syncs: of reset, that it offers."""

    current: dict[str, str] = field(
        default_factory=lambda: {name: FACTORY.get(name, kind.default) for name, kind in KINDS.items()}
    )
    next: dict[str, str] = field(default_factory=dict)
    version: str = "28.39.1002"
    levels: tuple[int, ...] = (4,)
    syncs: tuple[int, ...] = (0,)
    locked: bool = False  # the kernel is in lockdown
    resetting: bool = False
    kinds: dict[str, Kind] = field(default_factory=lambda: KINDS)

    def __post_init__(self) -> None:
        for name in [name for name in self.kinds if self.place(name, 1) != name]:
            self.current.setdefault(self.place(name, 1), self.current[name])
        self.next = {**self.current, **self.next}

    def place(self, name: str, port: int) -> str:
        """Where a setting lies: those of PF_ each function has for itself."""
        return f"{name}@{port}" if port and name.startswith("PF_") else name

    def set(self, name: str, text: str, port: int = 0) -> None:
        """mlxconfig set: for the next start."""
        if self.locked:
            raise Refused("nv-lockdown", errno.EPERM, "-E- Failed to open device: Operation not permitted")
        if name not in self.kinds:
            raise Refused("nv-unknown", errno.EINVAL, f"-E- The Device doesn't support {name} parameter")
        number = self.kinds[name].number(text)
        if number is None:
            raise Refused("nv-value", errno.EINVAL, f"-E- Failed to set parameter {name}: Invalid value {text}")
        place = self.place(name, port)
        if number != self.current[place]:
            bite("nv-next-boot")
        self.next[place] = number

    def start(self) -> None:
        """It starts: what was next is now."""
        self.current = dict(self.next)
        self.resetting = False

    @property
    def sync(self) -> int:
        """Who brings drivers down for a reset, unless somebody says another."""
        return 0

    @property
    def total_vfs(self) -> int:
        return int(self.current["NUM_OF_VFS"]) if self.current["SRIOV_EN"] == "1" else 0

    def total_sfs(self, port: int) -> int:
        own = self.current[self.place("PF_TOTAL_SF", port)]
        return int(own) if self.current["PER_PF_NUM_SF"] == "1" else 0
