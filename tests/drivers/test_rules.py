# SPDX-License-Identifier: Apache-2.0
"""Every rule of the model is listed, comes from somewhere, and bites when it should."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from tests.drivers.ice import rules
from tests.drivers.ice.rules import Refused, UnlistedRuleError, bite, seen
from tests.drivers.ice.triggers import all_triggers

TRIGGERS = all_triggers()
MODEL = Path(__file__).with_name("ice")


@pytest.mark.parametrize("rule", sorted(rules.rules()))
def test_it_bites(rule: str, tmp_path: Path) -> None:
    assert rule in TRIGGERS, f"nothing sets off {rule}"
    with seen() as bites:
        TRIGGERS[rule](tmp_path)
    assert bites[rule] > 0


def test_nothing_is_set_off_that_is_not_listed() -> None:
    assert sorted(TRIGGERS) == sorted(rules.rules())


def test_the_model_knows_no_other_rule() -> None:
    named: set[str] = set()
    for path in MODEL.glob("**/*.py"):
        if path.name != "rules.py" and not path.name.startswith("triggers"):
            named |= set(re.findall(r'(?:Refused|bite|later|forget)\(\s*"([a-z0-9-]+)"', path.read_text()))
            named |= set(re.findall(r'"(ddp-[a-z-]+)"', path.read_text()))
    assert named == set(rules.rules())


def test_an_unlisted_refusal_is_a_fault_of_the_model() -> None:
    with pytest.raises(UnlistedRuleError):
        Refused("made-up", errno.EPERM)
    with pytest.raises(UnlistedRuleError):
        bite("made-up")


def test_every_rule_says_where_it_is_from() -> None:
    places = (r"(switchdev|e810-ddp)\.md:\d+", r"ice_\w+\.c \w+", r"linux [a-z/_.]+( \w+)?", r"\w+ 6\.1, run")
    for rule in rules.rules().values():
        assert any(re.fullmatch(place, rule.source) for place in places), rule.source
        assert rule.text
        assert re.match(r"[a-z-]+\Z", rule.mutant)
