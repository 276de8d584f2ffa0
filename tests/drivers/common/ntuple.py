# SPDX-License-Identifier: Apache-2.0
"""Filters as ethtool's flow classification knows them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

ONES, ZEROS = "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"


@dataclass(frozen=True)
class Flow:
    """One filter. Masks are the kernel's: ones count. queue: -1 drops. other: what a flow of another type matches."""

    location: int
    kind: str  # ether, or a type that only others use: tcp4, udp4
    queue: int
    source: tuple[str, str] = (ZEROS, ZEROS)
    destination: tuple[str, str] = (ZEROS, ZEROS)
    protocol: tuple[int, int] = (0, 0)
    vlan_type: tuple[int, int] = (0, 0)
    vlan: tuple[int, int] = (0, 0)
    other: str = ""

    @property
    def input_set(self) -> tuple[object, ...]:
        """The fields that it looks at: one set for all filters of a type on a function."""
        masks = (self.source[1], self.destination[1], self.protocol[1], self.vlan_type[1], self.vlan[1])
        return (*masks, self.other.split(" ")[0])

    def same(self, other: Flow) -> bool:
        """What the driver takes for the same filter: it looks at addresses and EtherType, not at tags."""
        if self.kind == "ether":
            mine = (self.source[0], self.destination[0], self.protocol[0])
            return mine == (other.source[0], other.destination[0], other.protocol[0])
        return self.other == other.other


@dataclass
class Classifier(ABC):
    """The filters of one function; a driver says what it takes."""

    log: Callable[[str], None]
    size: int
    on: bool
    flows: dict[int, Flow] = field(default_factory=dict)

    @property
    def shows_vlan(self) -> bool:
        """Whether the driver gives the VLAN of a filter back."""
        return True

    def switch(self, on: bool) -> None:
        """ethtool -K ntuple."""
        self.on = on

    @abstractmethod
    def add(self, flow: Flow, queues: int) -> None:
        """Insert or replace at its location."""

    @abstractmethod
    def delete(self, location: int) -> None:
        """Take one away."""
