# SPDX-License-Identifier: Apache-2.0
"""Machines of the model as tests begin with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.drivers.mlx5.card import Card, Function
from tests.drivers.mlx5.machine import Machine

SERIAL = "MT2243X00123"
PF0, PF1 = "0000:08:00.0", "0000:08:00.1"
NO_FLOWER = "6.12.95+deb12-amd64"  # Debian's own kernels from 6.12 on


def machine(root: Path, bound: bool = True, names: tuple[str, str] = ("data0", "data1"), **more: Any) -> Machine:
    """A host with one card of two functions, called `names`, bound to mlx5_core."""
    made = Machine(root)
    for key, value in more.items():
        setattr(made, key, value)
    card = made.card(SERIAL)
    card.add(PF0, names[0], "02:c7:10:00:00:01")
    card.add(PF1, names[1], "02:c7:10:00:00:02")
    if bound:
        late, made.late = made.late, 0
        for function in card.functions:
            function.bind()
        made.late = late
    return made


def first(host: Machine) -> tuple[Card, Function]:
    """The card and its first function."""
    return host.cards[0], host.cards[0].functions[0]
