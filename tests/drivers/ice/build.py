# SPDX-License-Identifier: Apache-2.0
"""Machines of the model as tests begin with them."""

from __future__ import annotations

from pathlib import Path

from tests.drivers.ice import sign
from tests.drivers.ice.card import Card, Function
from tests.drivers.ice.machine import Machine
from tests.support.e810_variants import variant

DSN = 0x0001_02FF_FF03_0405
PF0, PF1 = "0000:17:00.0", "0000:17:00.1"
PACKAGE = sign.signed(variant())
FILE = "lib/firmware/intel/ice/ddp/ice.pkg"


def put(root: Path, content: bytes, name: str = FILE) -> Path:
    """A file of the host."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def machine(
    root: Path,
    package: bytes | None = PACKAGE,
    bound: bool = True,
    names: tuple[str, str] = ("data0", "data1"),
    **more: object,
) -> Machine:
    """A host with one card of two functions, called `names`; with a package file, bound to ice."""
    made = Machine(root)
    for key, value in more.items():
        setattr(made, key, value)
    if package is not None:
        put(root, package)
    card = made.card(DSN)
    card.add(PF0, names[0], "02:e8:10:00:00:01")
    card.add(PF1, names[1], "02:e8:10:00:00:02")
    if bound:
        late, made.late = made.late, 0
        for function in card.functions:
            function.bind()
        made.late = late
    return made


def first(host: Machine) -> tuple[Card, Function]:
    """The card and its first function."""
    return host.cards[0], host.cards[0].functions[0]
