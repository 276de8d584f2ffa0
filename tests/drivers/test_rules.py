# SPDX-License-Identifier: Apache-2.0
"""Every rule of the model is listed, comes from somewhere, and bites when it should."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from tests.drivers.bluefield.triggers import all_triggers as bluefield_triggers
from tests.drivers.common import rules
from tests.drivers.common.rules import Refused, UnlistedRuleError, bite, seen
from tests.drivers.ice.triggers import all_triggers as ice_triggers
from tests.drivers.mlx5.triggers import all_triggers as mlx5_triggers

TRIGGERS = {"bluefield": bluefield_triggers(), "ice": ice_triggers(), "mlx5": mlx5_triggers()}
HERE = Path(__file__).parent


LISTED = [(model, rule) for model in sorted(TRIGGERS) for rule in sorted(rules.rules(model))]


@pytest.mark.parametrize(("model", "rule"), LISTED)
def test_it_bites(model: str, rule: str, tmp_path: Path) -> None:
    assert rule in TRIGGERS[model], f"nothing sets off {rule}"
    with seen() as bites:
        TRIGGERS[model][rule](tmp_path)
    assert bites[rule] > 0
    assert set(bites) <= set(rules.known(model))


@pytest.mark.parametrize("model", sorted(TRIGGERS))
def test_nothing_is_set_off_that_is_not_listed(model: str) -> None:
    assert sorted(TRIGGERS[model]) == sorted(rules.rules(model))


def named_in(folder: Path) -> set[str]:
    """Every rule that the code of a folder names."""
    named: set[str] = set()
    for path in folder.glob("**/*.py"):
        if path.name != "rules.py" and not path.name.startswith("triggers"):
            named |= set(re.findall(r'(?:Refused|bite|later|forget)\(\s*"([a-z0-9-]+)"', path.read_text()))
            named |= set(re.findall(r'"(ddp-[a-z-]+|host-[a-z-]+)"', path.read_text()))
    return named


@pytest.mark.parametrize("model", sorted(TRIGGERS))
def test_the_model_knows_no_other_rule(model: str) -> None:
    own, common = named_in(HERE / model), named_in(HERE / "common")
    assert own - set(rules.known(model)) == set()
    assert set(rules.rules(model)) - own - common == set()
    assert common - rules.listed() == set()


def test_an_unlisted_refusal_is_a_fault_of_the_model() -> None:
    with pytest.raises(UnlistedRuleError):
        Refused("made-up", errno.EPERM)
    with pytest.raises(UnlistedRuleError):
        bite("made-up")


PLACES = (
    r"(switchdev|e810-ddp)\.md:\d+",
    r"(ice_\w+|e[ns]w?\w*|esw/qos|eswitch\w*|fs_core)\.c \w+",
    r"linux [a-z0-9/_.-]+( \w+)?",
    r"\w+ 6\.1, run",
)


@pytest.mark.parametrize(("model", "rule"), LISTED)
def test_every_rule_says_where_it_is_from(model: str, rule: str) -> None:
    found = rules.rules(model)[rule]
    assert any(re.fullmatch(place, found.source) for place in PLACES), found.source
    assert found.text
    assert re.match(r"[a-z0-9-]+\Z", found.mutant)
