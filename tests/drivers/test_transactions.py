# SPDX-License-Identifier: Apache-2.0
"""Random machines and wishes: the real planner and agent against the model. `make driver-models` runs many more."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.drivers.common.law import Account, hold
from tests.drivers.ice.draws import FAMILY, Begin, Want, Wish, begins, wishes

EXAMPLES = 25


@pytest.mark.pain(11)
def test_the_law(tmp_path: Path) -> None:
    account = Account()
    numbers = itertools.count()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(begin=begins(), first=wishes(), second=wishes())
    def check(begin: Begin, first: Wish, second: Wish) -> None:
        hold(FAMILY, tmp_path / str(next(numbers)), begin, [first, second], account)

    check()
    assert account.applied >= EXAMPLES // 5, account


def test_rules_that_came_with_the_package_stay_where_they_are(tmp_path: Path) -> None:
    """In safe mode nobody knows the size of the table, by which rules find their places."""
    one = Want(package="1.3.43.0", rules=((12, "drop", 3),))
    two = Want(package="1.3.43.0", rules=((12, "drop", 3), (15, "queue", 0)))
    account = Account()
    hold(FAMILY, tmp_path / "host", Begin(package=None), [Wish((one, None)), Wish((two, None))], account)
    assert account.applied == 2
