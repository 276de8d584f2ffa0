# SPDX-License-Identifier: Apache-2.0
"""Random machines with a ConnectX-7 and wishes: the real planner and agent against the model of mlx5."""

from __future__ import annotations

import itertools
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from tests.drivers.common.law import Account, hold
from tests.drivers.mlx5.draws import FAMILY, Begin, Wish, begins, wishes

EXAMPLES = 25


def test_the_law(tmp_path: Path) -> None:
    account = Account()
    numbers = itertools.count()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(begin=begins(), first=wishes(), second=wishes())
    def check(begin: Begin, first: Wish, second: Wish) -> None:
        hold(FAMILY, tmp_path / str(next(numbers)), begin, [first, second], account)

    check()
    assert account.applied >= EXAMPLES // 5, account
