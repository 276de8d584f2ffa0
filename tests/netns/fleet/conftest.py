# SPDX-License-Identifier: Apache-2.0
"""The fleet that these tests are run on: here a lab; the tests themselves know only the inventory and the faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fleets import Fleet
from tests.support.gated import gated
from tests.support.labs import Lab


@pytest.fixture(scope="session")
def fleet(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two enrolled hosts without anything applied, and an agent with a gate around its journal."""
    folder = tmp_path_factory.mktemp("fleet")
    one = Fleet(
        inventory_file=own_inventory(lab, folder),
        bundle=gated(folder),
        reboot=lab.reboot,
        fault=lab.fault,
        heal=lab.heal,
    )
    one.enroll()
    yield one
    one.close()


def own_inventory(lab: Lab, folder: Path, more: str = "") -> Path:
    """The lab's inventory with a keys file of our own."""
    lines = [line for line in lab.inventory.read_text().splitlines() if not line.startswith("keys_file:")]
    path = folder / "fleet.yaml"
    path.write_text("\n".join(lines) + f"\nstate: {folder}/state\n{more}")
    return path
