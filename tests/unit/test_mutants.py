# SPDX-License-Identifier: Apache-2.0
"""The catalogue of broken requirements fits the tree, and what its runner takes for a proof is one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tools import mutants, requirements

ENTRY = """
- id: T-ABC-1
  breaks: it says two
  file: one.c
  find: return 1;
  put: 'return %s;'
  test: test_one one
"""


@cache
def catalogue() -> list[mutants.Mutant]:
    return mutants.load(mutants.ROOT / mutants.CATALOGUE)


@cache
def found() -> requirements.Found:
    return requirements.scan()


def test_the_catalogue_is_large_enough_to_choose_from() -> None:
    assert len(catalogue()) >= 60


@pytest.mark.parametrize("mutant", catalogue(), ids=lambda mutant: mutant.id)
def test_every_entry_still_fits(mutant: mutants.Mutant) -> None:
    """Its id is a MUST, its text is there exactly once, and its test names the id."""
    assert mutant.id in {item.id for item in found().requirements if item.level == "MUST"}
    text = (mutants.ROOT / mutants.CORE / "src" / mutant.file).read_text(encoding="utf-8")
    assert mutants.changed(text, mutant) != text
    name = mutant.test.replace("test_vectors ", "vectors ")
    assert name in found().tests[mutant.id]


def test_a_text_that_moved_is_an_error() -> None:
    mutant = mutants.Mutant("T-ABC-1", "", "one.c", "return 1;", "return 2;", "test_one", "one")
    assert mutants.changed("return 1; }", mutant) == "return 2; }"
    for text in ("return 3;", "return 1; return 1;"):
        with pytest.raises(mutants.CatalogueError):
            mutants.changed(text, mutant)


def test_a_seed_always_chooses_the_same() -> None:
    first = mutants.choose(catalogue(), 40, 7)
    assert first == mutants.choose(catalogue(), 40, 7)
    assert first != mutants.choose(catalogue(), 40, 8)
    assert len({mutant.id for mutant in first}) == 40


@pytest.mark.parametrize(
    ("code", "killed"), [(1, True), (-6, True), (0, False), (None, False), (mutants.SKIPPED, False), (2, False)]
)
def test_what_is_a_proof(code: int | None, killed: bool) -> None:
    mutant = mutants.Mutant("T-ABC-1", "", "one.c", "a", "b", "test_one", "one")
    assert mutants.Outcome(mutant, mutants.verdict(code), 0.1).killed == killed


@pytest.mark.parametrize(
    ("put", "said"), [("2", "killed"), ("1 + 0", "survived"), ("no", "no verdict: does not compile")]
)
def test_one_change_is_made_tried_and_taken_back(tmp_path: Path, put: str, said: str) -> None:
    """On a core of one function."""
    core = tmp_path / mutants.CORE
    for name, text in {
        "src/one.c": "int one(void)\n{\n    return 1;\n}\n",
        "tests/test_one.c": "int one(void);\nint main(void)\n{\n    return one() != 1;\n}\n",
        "include/none.h": "",
    }.items():
        (core / name).parent.mkdir(parents=True, exist_ok=True)
        (core / name).write_text(text)
    (tmp_path / "catalogue").mkdir()
    (tmp_path / "catalogue" / "one.yaml").write_text(ENTRY % put)
    (mutant,) = mutants.load(tmp_path / "catalogue")
    workshop = mutants.Workshop(tmp_path, tmp_path / "build")
    assert workshop.base({"test_one"}) == ""
    program, _said = workshop.program("test_one", [])
    assert workshop.run(program, "one") == 0
    outcome = workshop.attempt(mutant)
    assert outcome.said.startswith(said)
    assert "return 1;" in (workshop.source / "src" / "one.c").read_text()
    text = mutants.record([outcome], 5, "abc", "cc", 1)
    assert "MUTANTS_SEED=5" in text
    assert f"| {outcome.said} |" in text
