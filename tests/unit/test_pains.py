# SPDX-License-Identifier: Apache-2.0
"""The list of pains is whole, its page is up to date, and each has a test or a word about what is deferred."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import pains

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.unit


def test_every_pain_has_a_test_or_says_what_is_deferred() -> None:
    found = pains.scan()
    assert found.errors == []
    assert sorted(found.pains) == list(range(1, pains.COUNT + 1))
    assert found.gaps() == []
    assert len(found.tests) >= pains.LEAST_TESTED
    assert (ROOT / pains.PAGE).read_text(encoding="utf-8") == pains.page(found), "run: python3 tools/pains.py"


TEXT = """
import pytest

@pytest.mark.pain(1, 3)
def test_a(): ...

@pytest.mark.pain("x")
def test_b(): ...

@pytest.mark.pain(2)
def helper(): ...
"""


def test_marks_are_read() -> None:
    found, errors = pains.marks(TEXT, "test_x.py")
    assert found[:2] == [("test_a", 1), ("test_a", 3)]
    assert errors == ["test_x.py:7: pain takes numbers, on a test", "test_x.py:10: pain takes numbers, on a test"]


def test_a_gap_and_a_name_that_leads_nowhere_are_told(tmp_path: Path) -> None:
    (tmp_path / "tests/cases").mkdir(parents=True)
    entry = "{where: a b 1, pain: it hurts, answer: it does not}"
    (tmp_path / "tests/pains.yaml").write_text(f"1: {entry}\n2: {entry}\n3: {entry[:-1]}, deferred: later}}\n4: {{}}\n")
    (tmp_path / "tests/test_x.py").write_text("@pytest.mark.pain(1, 9)\ndef test_a(): ...\n")
    (tmp_path / "tests/cases/one.yaml").write_text("about: x\npains: [1]\n")
    found = pains.scan(tmp_path)
    assert found.tests == {1: ["test_x.py::test_a", "cases/one.yaml"]}
    assert found.errors[1:] == ["test_x.py::test_a: there is no pain 9"] and "4: expected" in found.errors[0]
    assert found.gaps() == [2, 4]
    del found.pains[4]
    assert "| 3 | a b 1 | it hurts | it does not | deferred: later |" in pains.page(found)
