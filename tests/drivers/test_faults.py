# SPDX-License-Identifier: Apache-2.0
"""A few of the faults of `make faults` on random machines of each model: every one ends as wished or as before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import models

SEED = 1  # the same each time: what they take of the tier's minutes is known
POINTS = 1


@pytest.mark.parametrize("model", list(models.MODELS))
def test_faults_at_a_few_points(model: str, tmp_path: Path) -> None:
    rows = list(models.rows(model, SEED, tmp_path, POINTS))
    wrong = [f"{row.id} {row.point}, {row.then}: {row.end}" for row in rows if not row.ok]
    assert not wrong, "\n".join(wrong)
    assert {row.fault for row in rows} == set(models.FAULTS)
