# SPDX-License-Identifier: Apache-2.0
"""Labs for the tests of this tier: one shared by a session, and as many of their own as a test wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.labs import Lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two hosts, a and b (b behind the bastion), with two queues each; whoever breaks something heals it again."""
    made = Lab(tmp_path_factory.mktemp("lab") / "state")
    made.up(hosts=2, queues=2)
    yield made
    made.down()


@pytest.fixture
def new_lab(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """Makes labs of the test's own: ``new_lab(hosts=3, queues=4)``."""
    made: list[Lab] = []

    def make(hosts: int = 2, queues: int = 2) -> Lab:
        one = Lab(tmp_path / f"lab{len(made)}")
        made.append(one)
        one.up(hosts, queues)
        return one

    yield make
    for one in made:
        one.down()
