#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/rfc/requirements.md: every numbered requirement of RFC 0001 with the tests that name it.

Usage: .venv/bin/python tools/requirements.py [--missing]     --missing: only print what has no test

A test names what it proves: a C test function by PROVES("T-GRT-2"), a pytest function by
@pytest.mark.proves("T-GRT-2"), vectors, exchanges and scenarios of the simulator by a list `proves`. Ends in 1 when
a MUST has no id or no test, an id stands twice, or a tag or the text names an id that does not exist.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
RFC = Path("docs/rfc/0001-tether.md")
PAGE = Path("docs/rfc/requirements.md")
ID = r"T-[A-Z]{3}-\d+"
BULLET = re.compile(rf"- `({ID})` (.*)")
CONVENTIONS = "RFC 2119"  # the sentence that says how the words are used is none of them
# the head of a function at the beginning of a line, or a tag
C_TAG = re.compile(r"^\w[^;={}\n]*?(\w+)\([^;{]*\)\n\{|\bPROVES\(([^)]*)\)", re.MULTILINE)
LEVELS = ("MUST", "SHOULD", "MAY")
WORDS = 12


@dataclass(frozen=True)
class Requirement:
    """One numbered sentence. `level` is its strongest word; `says` when it has none of them."""

    id: str
    line: int
    text: str

    @property
    def planned(self) -> bool:
        return self.text.startswith("*planned*")

    @property
    def level(self) -> str:
        if self.planned:
            return "planned"
        return next((level for level in LEVELS if re.search(rf"\b{level}\b", self.text)), "says")

    @property
    def first_words(self) -> str:
        words = self.text.split()
        return " ".join(words[:WORDS]) + (" ..." if len(words) > WORDS else "")


@dataclass
class Found:
    """What the tree says: requirements in the order of the RFC, {id: tests}, and what is wrong, with file and line."""

    requirements: list[Requirement] = field(default_factory=list)
    tests: dict[str, list[str]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def untested(self, level: str = "MUST") -> list[Requirement]:
        return [item for item in self.requirements if item.level == level and item.id not in self.tests]


def read_rfc(text: str, name: str = str(RFC)) -> tuple[list[Requirement], list[str]]:
    """The requirements of the text, and what is wrong with it."""
    items: list[Requirement] = []
    errors: list[str] = []
    within = fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        fenced ^= line.startswith("```")
        found = BULLET.match(line)
        if found:
            if any(item.id == found[1] for item in items):
                errors.append(f"{name}:{number}: {found[1]} stands twice")
            items.append(Requirement(found[1], number, found[2]))
            within = True
        elif within and line.startswith("  ") and line.strip():
            last = items[-1]
            items[-1] = Requirement(last.id, last.line, f"{last.text} {line.strip()}")
        else:
            within = False
            if not fenced and CONVENTIONS not in line and re.search(r"\bMUST\b", line):
                errors.append(f"{name}:{number}: a MUST without an id: {line.strip()[:60]}")
    known = {item.id for item in items}
    errors += [
        f"{name}:{number}: {other} is named and nowhere to be found"
        for number, line in enumerate(text.splitlines(), 1)
        for other in re.findall(ID, line)
        if other not in known
    ]
    return items, errors


def c_tags(text: str, name: str) -> tuple[dict[str, list[str]], list[str]]:
    """{test function: ids} of a C test program; a tagged function that RUN does not name never runs."""
    tags: dict[str, list[str]] = {}
    errors: list[str] = []
    function = ""
    for found in C_TAG.finditer(text):
        if found[1]:
            function = found[1]
            continue
        ids = re.findall(r'"([^"]*)"', found[2])
        number = text.count("\n", 0, found.start()) + 1
        if not re.search(rf"\bRUN\({function}\b", text):
            errors.append(f"{name}:{number}: PROVES in {function or 'no function'}, which RUN does not name")
        tags.setdefault(function, []).extend(ids)
    return tags, errors


def python_tags(text: str, name: str) -> tuple[dict[str, list[str]], list[str]]:
    """{test: ids} of a pytest file; on a class the mark holds for all of its tests."""
    tags: dict[str, list[str]] = {}
    errors: list[str] = []
    if "mark.proves" not in text:
        return tags, errors
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        for mark in node.decorator_list:
            if not (isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.proves"):
                continue
            ids = [arg.value for arg in mark.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            if len(ids) != len(mark.args) or not ids or not node.name.lower().startswith("test"):
                errors.append(f"{name}:{mark.lineno}: proves takes ids as strings, on a test")
            tags.setdefault(node.name, []).extend(ids)
    return tags, errors


def scan(root: Path = ROOT) -> Found:
    """Everything that the tree says about requirements and their tests."""
    found = Found()
    found.requirements, found.errors = read_rfc((root / RFC).read_text(encoding="utf-8"))
    known = {item.id for item in found.requirements}

    def note(where: str, test: str, ids: list[str]) -> None:
        for name in ids:
            if name not in known:
                found.errors.append(f"{where}: {test} proves {name}, which RFC 0001 does not have")
            elif test not in found.tests.setdefault(name, []):
                found.tests[name].append(test)

    for path in sorted((root / "tether_hw/transport/core/tests").glob("test_*.c")):
        name = str(path.relative_to(root))
        tags, errors = c_tags(path.read_text(encoding="utf-8"), name)
        found.errors += errors
        for test, ids in tags.items():
            note(name, f"{path.stem} {test}", ids)
    for path in sorted((root / "tests").rglob("test_*.py")):
        name = str(path.relative_to(root))
        tags, errors = python_tags(path.read_text(encoding="utf-8"), name)
        found.errors += errors
        for test, ids in tags.items():
            note(name, f"{path.stem}.py::{test}", ids)
    for path in sorted((root / "tests/protocol/vectors").glob("*.json")):
        note(str(path.relative_to(root)), f"vectors {path.stem}", json.loads(path.read_bytes()).get("proves", []))
    for path in sorted((root / "tests/protocol/cases/exchanges").glob("*.json")):
        note(str(path.relative_to(root)), f"exchange {path.stem}", json.loads(path.read_bytes())["proves"])
    for path in sorted((root / "tether_hw/sim/scenarios").glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        note(str(path.relative_to(root)), f"scenario {path.stem}", document.get("proves", []))
    return found


def page(found: Found) -> str:
    """The table, as Markdown."""
    musts = [item for item in found.requirements if item.level == "MUST"]
    tested = [item for item in found.requirements if item.id in found.tests]
    rows = [
        f"| {item.id} | {item.level} | {item.first_words.replace('|', chr(92) + '|')} | "
        f"{'<br>'.join(f'`{test}`' for test in found.tests.get(item.id, []))} |"
        for item in found.requirements
    ]
    return "\n".join([
        "# Requirements of RFC 0001 and their tests",
        "",
        "Made by `tools/requirements.py` from [the RFC](0001-tether.md) and from what the tests say that they prove.",
        "A test fails when it is stale, when a MUST has no test, and when a tag names an id that does not exist.",
        "A line is one numbered sentence with its strongest word. `test_x f` is function f of the C test program",
        "test_x; `vectors x` is a file of `tests/protocol/vectors`, which both implementations read; `x.py::f` is a",
        "pytest function.",
        "",
        f"{len(found.requirements)} requirements, {len(musts)} of them MUST; {len(tested)} are named by a test.",
        "",
        "| id | level | begins | tests |",
        "|---|---|---|---|",
        *rows,
        "",
    ])  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="Requirements of RFC 0001 and the tests that name them.")
    parser.add_argument("--missing", action="store_true", help="only print what has no test")
    arguments = parser.parse_args()
    found = scan()
    untested = found.untested()
    for line in found.errors:
        print(line)
    for item in untested:
        print(f"{RFC}:{item.line}: {item.id} has no test: {item.text[:150]}")
    if not arguments.missing:
        (ROOT / PAGE).write_text(page(found), encoding="utf-8")
    musts = sum(item.level == "MUST" for item in found.requirements)
    print(f"{musts - len(untested)} of {musts} MUSTs have a test; {len(found.errors)} errors")
    return 1 if untested or found.errors else 0


if __name__ == "__main__":
    sys.exit(main())
