#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What hurts with other tools (tests/pains.yaml) and the tests here that name it; writes docs/proof/pains.md.

A test names a pain by @pytest.mark.pain(N), a golden case by `pains: [N]`. Ends in 1 where a pain has neither a test
nor a word about what is deferred, and where a name leads nowhere. Run: python3 tools/pains.py
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PAINS = Path("tests/pains.yaml")
PAGE = Path("docs/proof/pains.md")
COUNT = 28
LEAST_TESTED = 22
FIELDS = {"where", "pain", "answer", "deferred"}


@dataclass
class Found:
    """The pains by number, the tests that name each, and what is wrong."""

    pains: dict[int, dict[str, str]] = field(default_factory=dict)
    tests: dict[int, list[str]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def note(self, where: str, number: Any) -> None:
        if number not in self.pains:
            self.errors.append(f"{where}: there is no pain {number!r}")
        elif where not in self.tests.setdefault(number, []):
            self.tests[number].append(where)

    def gaps(self) -> list[int]:
        """Pains that nothing answers for."""
        return [number for number in self.pains if number not in self.tests and not self.pains[number].get("deferred")]


def marks(text: str, name: str) -> tuple[list[tuple[str, int]], list[str]]:
    """(test, number) of a pytest file, and what is wrong with its marks."""
    found: list[tuple[str, int]] = []
    errors: list[str] = []
    if "mark.pain" not in text:
        return found, errors
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef):
            continue
        for mark in node.decorator_list:
            if not (isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.pain"):
                continue
            numbers = [arg.value for arg in mark.args if isinstance(arg, ast.Constant) and isinstance(arg.value, int)]
            if not numbers or len(numbers) != len(mark.args) or not node.name.startswith("test_"):
                errors.append(f"{name}:{mark.lineno}: pain takes numbers, on a test")
            found += [(node.name, number) for number in numbers]
    return found, errors


def scan(root: Path = ROOT) -> Found:
    """Everything that the tree says of pains."""
    found = Found(yaml.safe_load((root / PAINS).read_text(encoding="utf-8")))
    for number, entry in found.pains.items():
        if not isinstance(number, int) or not {"where", "pain", "answer"} <= set(entry) <= FIELDS:
            found.errors.append(f"{PAINS}: {number}: expected where, pain, answer and perhaps deferred")
    for path in sorted((root / "tests").rglob("test_*.py")):
        name = path.relative_to(root / "tests").as_posix()
        named, errors = marks(path.read_text(encoding="utf-8"), name)
        found.errors += errors
        for test, number in named:
            found.note(f"{name}::{test}", number)
    for path in sorted((root / "tests" / "cases").glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        for number in document.get("pains", []):
            found.note(f"cases/{path.name}", number)
    return found


def page(found: Found) -> str:
    """The table, as Markdown."""
    rows = []
    for number, entry in sorted(found.pains.items()):
        tests = [f"`{test}`" for test in found.tests.get(number, [])]
        deferred = [f"deferred: {entry['deferred']}"] if entry.get("deferred") else []
        cells = (str(number), entry["where"], entry["pain"], entry["answer"], "<br>".join([*tests, *deferred]))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([
        "# What hurts elsewhere, and the tests that name it",
        "",
        "Made by `tools/pains.py` from `tests/pains.yaml` and from what tests and golden cases say of themselves.",
        "A test fails when this page is stale, when a pain has neither a test nor a word about what is deferred, and",
        f"when fewer than {LEAST_TESTED} have a test. Numbers are issues and pull requests of public trackers.",
        "",
        f"{len(found.pains)} pains, {len(found.tests)} of them with a test.",
        "",
        "| | where | pain | here | tests |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ])  # fmt: skip


def main() -> int:
    found = scan()
    for line in found.errors:
        print(line)
    for number in found.gaps():
        print(f"pain {number} has no test: {found.pains[number]['pain']}")
    (ROOT / PAGE).write_text(page(found), encoding="utf-8")
    print(f"{len(found.tests)} of {len(found.pains)} pains have a test")
    return 1 if found.errors or found.gaps() or len(found.tests) < LEAST_TESTED else 0


if __name__ == "__main__":
    sys.exit(main())
