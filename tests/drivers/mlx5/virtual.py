# SPDX-License-Identifier: Apache-2.0
"""Virtual functions and subfunctions of one physical function: addresses, rates, and what their drivers found."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

from tests.drivers.common.netdev import NetDev
from tests.drivers.common.rules import Refused

NO_ADDRESS = "00:00:00:00:00:00"
MBIT = 125_000  # bytes a second


@dataclass
class Target:
    """What a port stands for. Rates are bytes a second; 0: none. found: the address that its driver found."""

    number: int
    address: str = NO_ADDRESS
    tx_max: int = 0
    tx_share: int = 0
    found: str | None = None
    representor: NetDev | None = None
    device: NetDev | None = None

    def set_address(self, address: str) -> None:
        """By a port, or by the netdev of the physical function."""
        if int(address[:2], 16) & 1:
            raise Refused("address-multicast", errno.EINVAL)
        self.address = address.lower()

    def set_rate(self, name: str, value: int, link: int) -> None:
        """devlink's leaf. link: bytes a second."""
        if value % MBIT:
            words = "mlx5_core: TX rate value not in link speed units of 1Mbps"
            raise Refused("rate-units", errno.EINVAL, words)
        if value > link:
            raise Refused("rate-beyond-link", errno.EINVAL, "mlx5_core: TX rate value exceed link maximum speed")
        setattr(self, name, value)


@dataclass
class Vf(Target):
    """driver: mlx5_core, vfio-pci, or None."""

    driver: str | None = None


@dataclass
class Sf(Target):
    """A subfunction: state is what was asked for, attached what its driver came to."""

    active: bool = False
    attached: bool = False
    eth: bool = True  # whether its driver makes a network device
    eth_next: bool = True
    index: int = field(default=0)  # of its hardware function: the port's index, and the auxiliary device's number
