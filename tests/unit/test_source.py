# SPDX-License-Identifier: Apache-2.0
"""YAML with places: what it reads, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tether_hw.errors import InputErrors, Problem
from tether_hw.fleet.source import Tree, parse


def read(text: str | bytes) -> tuple[Tree, list[Problem]]:
    problems: list[Problem] = []
    tree = parse(text.encode() if isinstance(text, str) else text, "file", problems)
    return tree, problems


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("NO", "NO"),
        ("true", True),
        ("False", False),
        ("12:34:56:12:34:56", "12:34:56:12:34:56"),
        ("2001-01-01", "2001-01-01"),
        ("0x10", 16),
        ("0o17", 15),
        ("017", 17),
        ("-3", -3),
        ("1.5", 1.5),
        ("~", None),
        ("", None),
        ("'12'", "12"),
        ('"true"', "true"),
        ("1" * 65, "1" * 65),
        (".inf", ".inf"),
        ("=", "="),
    ],
)
def test_scalars(text: str, value: object) -> None:
    tree, problems = read(f"k: {text}\n")
    assert not problems
    assert tree.plain() == {"k": value}
    assert type(tree.plain()["k"]) is type(value)


def test_words_of_yaml_11_are_names_too() -> None:
    tree, problems = read("on: 1\nno: 2\n3: x\n")
    assert not problems
    assert tree.plain() == {"on": 1, "no": 2, "3": "x"}


def test_places() -> None:
    tree, _ = read("a:\n  b: [1, {c: 2}]\n")
    assert (tree.find(("a", "b", 1, "c")).line, tree.find(("a", "b", 1, "c")).col) == (2, 14)
    assert tree.find(("a", "b"), key=True).col == 3
    assert tree.find(("a", "none", "further")).line == 2


def test_several_mistakes_at_once() -> None:
    _, problems = read("a: 1\na: 2\nb: !secret x\n<<: {}\n[1]: 2\n")
    assert [problem.line for problem in problems] == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"a: \xff", "not UTF-8"),
        (b"a: [", "not YAML"),
        (b"a: 1\n---\nb: 2\n", "not YAML"),
        (b"a: *nobody", "not YAML"),
        (b"a: \x01", "not YAML"),
        (b"[" * 10_000, "nested deeper"),
        (b"{a: " * 40, "nested deeper"),
    ],
)
def test_no_yaml(text: bytes, words: str) -> None:
    with pytest.raises(InputErrors) as caught:
        read(text)
    assert words in caught.value.problems[0].message


def test_a_control_character_has_a_place() -> None:
    with pytest.raises(InputErrors) as caught:
        read(b"a: 1\nb: \xc3\xa4\x00\n")
    (problem,) = caught.value.problems
    assert (problem.line, problem.col) == (2, 5)


def test_aliases_are_bounded() -> None:
    tree, problems = read("a: &x {k: 1}\nb: *x\n")
    assert (tree.plain()["b"], problems) == ({"k": 1}, [])
    bomb = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    with pytest.raises(InputErrors) as caught:
        read(bomb)
    assert "aliases stand for more than" in caught.value.problems[0].message
    _, problems = read("a: &a [*a]\n")
    assert "contains itself" in problems[0].message


TEXT = st.text("abnoy019äß€ .:,#&*!|>-{}[]'\"\\%@`~<=", max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_json_is_yaml(value: dict[str, Any]) -> None:
    tree, problems = read(json.dumps(value, ensure_ascii=False))
    assert not problems
    assert tree.plain() == value


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_tree_or_a_problem(raw: bytes) -> None:
    try:
        tree, _ = read(raw)
    except InputErrors as errors:
        assert errors.problems
    else:
        tree.plain()
