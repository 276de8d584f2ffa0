# SPDX-License-Identifier: Apache-2.0
"""For each rule of the models a planner or an agent that is wrong in one way, which the model must notice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.drivers.common.law import Family
from tests.drivers.common.mutants import Mutant, judge
from tests.drivers.common.rules import rules
from tests.drivers.ice import draws as ice_draws
from tests.drivers.ice import mutants_list as ice_list
from tests.drivers.mlx5 import draws as mlx5_draws
from tests.drivers.mlx5 import mutants_list as mlx5_list

LISTS: dict[str, tuple[Family, Mapping[str, Mutant]]] = {
    "ice": (ice_draws.FAMILY, ice_list.MUTANTS),
    "mlx5": (mlx5_draws.FAMILY, mlx5_list.MUTANTS),
}
ALL = [(model, rule) for model, (_, mutants) in sorted(LISTS.items()) for rule in sorted(mutants)]


@pytest.mark.parametrize("model", sorted(LISTS))
def test_every_rule_has_one(model: str) -> None:
    planned = [rule.id for rule in rules(model).values() if rule.mutant != "not-planned"]
    assert sorted(LISTS[model][1]) == sorted(planned)


@pytest.mark.parametrize(("model", "rule"), ALL)
def test_it_is_caught(model: str, rule: str, tmp_path: Path) -> None:
    family, mutants = LISTS[model]
    mutant = mutants[rule]
    right = judge(family, tmp_path / "right", mutant, mutated=False)
    assert right.outcome == mutant.unmoved, right.why
    wrong = judge(family, tmp_path / "wrong", mutant, mutated=True)
    assert wrong.outcome in ("fails", "wrong"), wrong.why
    assert wrong.bites[rule] > 0, wrong.why
