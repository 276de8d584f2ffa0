# SPDX-License-Identifier: Apache-2.0
"""One lab of two virtual machines for the session; a test that changes them puts them back to their snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import Lab


@pytest.fixture(scope="session")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two hosts with two queues each, as after power on, each with a snapshot of that."""
    made = Lab(tmp_path_factory.mktemp("vm") / "state")
    made.run("up", "--tier", "vm", "--hosts", "2", "--queues", "2")
    try:
        for host in ("a", "b"):
            made.run("snapshot", host)
        yield made
    finally:
        made.down()


@pytest.fixture
def fresh(machines: Lab) -> Lab:
    """Both hosts back at their snapshot, and nothing of ours in the files beside the inventory."""
    for host in ("a", "b"):
        machines.run("restore", host)
    (Path(machines.state) / "lab.keys.yaml").unlink(missing_ok=True)
    return machines
