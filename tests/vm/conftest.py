# SPDX-License-Identifier: Apache-2.0
"""Two virtual machines for the session; a test that changes them finds them back at their snapshot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fleets import Fleet
from tests.support.guests import Guests, guests


@pytest.fixture(scope="session")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guests]:
    """Two enrolled hosts, as they are before anything was applied, each with a snapshot of that."""
    with guests(tmp_path_factory.mktemp("vm"), 2) as made:
        yield made


@pytest.fixture
def fresh(machines: Guests) -> Guests:
    """Both hosts back at their snapshot."""
    machines.back()
    return machines


@pytest.fixture
def fleet(fresh: Guests) -> Iterator[Fleet]:
    """Hands on both hosts, whose agents stop where a test asks them to."""
    one = fresh.fleet(stopping=True)
    yield one
    one.close()
