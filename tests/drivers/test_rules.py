# SPDX-License-Identifier: Apache-2.0
"""Every rule of the model is listed, comes from somewhere, and bites when it should."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from tests.drivers.common import rules
from tests.drivers.common.rules import Refused, UnlistedRuleError, bite, seen
from tests.drivers.ice.triggers import all_triggers

TRIGGERS = all_triggers()
HERE = Path(__file__).parent


@pytest.mark.parametrize("rule", sorted(rules.rules("ice")))
def test_it_bites(rule: str, tmp_path: Path) -> None:
    assert rule in TRIGGERS, f"nothing sets off {rule}"
    with seen() as bites:
        TRIGGERS[rule](tmp_path)
    assert bites[rule] > 0


def test_nothing_is_set_off_that_is_not_listed() -> None:
    assert sorted(TRIGGERS) == sorted(rules.rules("ice"))


def named_in(folder: Path) -> set[str]:
    """Every rule that the code of a folder names."""
    named: set[str] = set()
    for path in folder.glob("**/*.py"):
        if path.name != "rules.py" and not path.name.startswith("triggers"):
            named |= set(re.findall(r'(?:Refused|bite|later|forget)\(\s*"([a-z0-9-]+)"', path.read_text()))
            named |= set(re.findall(r'"(ddp-[a-z-]+)"', path.read_text()))
    return named


def test_the_model_knows_no_other_rule() -> None:
    own, common = named_in(HERE / "ice"), named_in(HERE / "common")
    assert own - set(rules.rules("ice")) == set()
    assert set(rules.rules("ice")) - own - common == set()
    assert common - rules.listed() == set()


def test_an_unlisted_refusal_is_a_fault_of_the_model() -> None:
    with pytest.raises(UnlistedRuleError):
        Refused("made-up", errno.EPERM)
    with pytest.raises(UnlistedRuleError):
        bite("made-up")


def test_every_rule_says_where_it_is_from() -> None:
    places = (r"(switchdev|e810-ddp)\.md:\d+", r"ice_\w+\.c \w+", r"linux [a-z/_.]+( \w+)?", r"\w+ 6\.1, run")
    for rule in rules.rules("ice").values():
        assert any(re.fullmatch(place, rule.source) for place in places), rule.source
        assert rule.text
        assert re.match(r"[a-z-]+\Z", rule.mutant)
