# SPDX-License-Identifier: Apache-2.0
"""Hosts for the tests of this tier that go over SSH: one lab of a session, a machine of the model inside its host."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.drivers.common.server import can_run
from tests.support.labs import Lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One host, a, reached over SSH."""
    missing = can_run()
    if missing:
        pytest.skip(f"needs {missing}")
    assert threading.current_thread() is threading.main_thread()
    made = Lab(tmp_path_factory.mktemp("lab") / "state")
    made.up(hosts=2, queues=2)
    yield made
    made.down()
