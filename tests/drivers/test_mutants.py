# SPDX-License-Identifier: Apache-2.0
"""For each rule of the model a planner or an agent that is wrong in one way, which the model must notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drivers.common.rules import rules
from tests.drivers.ice.mutants import judge
from tests.drivers.ice.mutants_list import MUTANTS


def test_every_rule_has_one() -> None:
    assert sorted(MUTANTS) == sorted(rules("ice"))


@pytest.mark.parametrize("rule", sorted(MUTANTS))
def test_it_is_caught(rule: str, tmp_path: Path) -> None:
    mutant = MUTANTS[rule]
    right = judge(tmp_path / "right", mutant, mutated=False)
    assert right.outcome == mutant.unmoved, right.why
    wrong = judge(tmp_path / "wrong", mutant, mutated=True)
    assert wrong.outcome in ("fails", "wrong"), wrong.why
    assert wrong.bites[rule] > 0, wrong.why
