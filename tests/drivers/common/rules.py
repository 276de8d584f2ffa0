# SPDX-License-Identifier: Apache-2.0
"""The refusals and traps of the models, each listed in its rules.yaml with the line of research that it stands for.

A model must not invent refusals: one that is not listed is an error of the model, whatever the test wanted.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

MODELS = Path(__file__).parent.parent


class UnlistedRuleError(AssertionError):
    """The model refused something by a rule that rules.yaml does not have."""


@dataclass(frozen=True)
class Rule:
    """One rule: where research has it, what it says, and the planner's mistake that it must catch."""

    id: str
    source: str
    text: str
    mutant: str


@cache
def rules(model: str) -> dict[str, Rule]:
    """All rules of a model by their id."""
    found = {}
    for item in yaml.safe_load((MODELS / model / "rules.yaml").read_text(encoding="utf-8")):
        rule = Rule(**item)
        assert rule.id not in found, f"{rule.id} is listed twice"
        found[rule.id] = rule
    return found


#: A model that is made of another has its rules too.
MADE_OF = {"bluefield": ("mlx5",)}


def known(model: str) -> dict[str, Rule]:
    """All rules that may bite on a machine of a model."""
    return {rule: one for name in (*MADE_OF.get(model, ()), model) for rule, one in rules(name).items()}


@cache
def listed() -> frozenset[str]:
    """The ids of all rules of all models."""
    return frozenset(rule for place in MODELS.glob("*/rules.yaml") for rule in rules(place.parent.name))


#: How often each rule has bitten in this process, and how often it did so by saying no.
bitten: Counter[str] = Counter()
denied: Counter[str] = Counter()


def bite(rule: str) -> None:
    """A trap closed: something was done silently that its doer may not expect."""
    if rule not in listed():
        raise UnlistedRuleError(f"{rule} is in no list of rules")
    bitten[rule] += 1


class Refused(Exception):
    """The kernel, the driver or the firmware says no: an errno and, where they have any, words."""

    def __init__(self, rule: str, number: int, words: str = "") -> None:
        bite(rule)
        denied[rule] += 1
        super().__init__(f"{rule}: {errno.errorcode[number]} {words}")
        self.rule = rule
        self.number = number
        self.words = words

    @property
    def answer(self) -> str:
        """What libc calls the errno."""
        return os.strerror(self.number)


@contextmanager
def seen(counted: Counter[str] = bitten) -> Iterator[Counter[str]]:
    """What bites inside the block, and only that; with `denied` what says no."""
    before = Counter(counted)
    found: Counter[str] = Counter()
    try:
        yield found
    finally:
        found.update(counted - before)
