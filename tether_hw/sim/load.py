# SPDX-License-Identifier: Apache-2.0
"""Scenario files: found, read strictly with every mistake at its line, and changed by overrides."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tether_hw.errors import InputErrors, Problem, TetherError, UsageError
from tether_hw.fleet import source
from tether_hw.fleet.explain import explain
from tether_hw.sim.check import check
from tether_hw.sim.model import Direction, Scenario

FOLDER = Path(__file__).resolve().parent / "scenarios"


def names() -> list[str]:
    """The scenarios of this package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def forms() -> list[tuple[str, str | None]]:
    """Every scenario, and every variant of it that differs where it is scaled."""
    found: list[tuple[str, str | None]] = []
    for name in names():
        whole = read(name)
        plain = read(name, scaled=True)
        found.append((name, None))
        found += [(name, each) for each in whole.variants if differs(plain, read(name, scaled=True, variant=each))]
    return found


def differs(one: Scenario, other: Scenario) -> bool:
    """Do they say anything else of what happens?"""
    return one.model_dump(exclude={"variants", "scaled"}) != other.model_dump(exclude={"variants", "scaled"})


def path_of(name: str) -> Path:
    """The file of a scenario: its name, or a path that ends in .yaml. Raises TetherError."""
    if name.endswith(".yaml"):
        return Path(name)
    if name not in names():
        near = difflib.get_close_matches(name, names(), 1)
        raise TetherError(f"no scenario {name!r}", hint=f"did you mean {near[0]}?" if near else "tether sim list")
    return FOLDER / f"{name}.yaml"


def read(name: str, *, scaled: bool = False, variant: str | None = None, changes: tuple[str, ...] = ()) -> Scenario:
    """A scenario, in the form that is asked for. Raises InputErrors with every mistake, TetherError."""
    path = path_of(name)
    problems: list[Problem] = []
    tree = source.read(path, problems)
    if problems:
        raise InputErrors(problems)
    whole = validated(tree)
    plain = tree.plain()
    if variant is not None:
        if variant not in whole.variants:
            raise TetherError(f"{name} has no variant {variant!r}", hint=", ".join(whole.variants) or "it has none")
        apply(plain, whole.variants[variant], f"{path}: variants.{variant}")
    if scaled:
        apply(plain, whole.scaled, f"{path}: scaled")
    for change in changes:
        apply(plain, dict([setting(change)]), "--set")
    if not (scaled or variant or changes):
        return whole
    words = [f"--variant {variant}"] if variant else []
    words += ["--scaled"] if scaled else []
    words += [f"--set {change}" for change in changes]
    return validated(planted(plain, source.Place(f"{name} with {' '.join(words)}", 0, 0)))


def validated(tree: source.Tree) -> Scenario:
    """The scenario of a tree. Raises InputErrors with every mistake."""
    try:
        scenario = Scenario.model_validate(tree.plain())
    except ValidationError as error:
        raise InputErrors(explain(error, tree, Scenario)) from None
    problems = []
    for index, link in enumerate(scenario.links):
        back = tree.get("links")
        back = back.items[index].get("back") if back is not None and back.items is not None else None
        try:
            Direction.model_validate(link.back)
        except ValidationError as error:
            problems += explain(error, back or tree, Direction, ("links", str(index), "back"))
    for mistake in check(scenario):
        path = ".".join(str(part) for part in mistake.path)
        problems.append(tree.find(mistake.path).problem(path, mistake.message, mistake.hint))
    if problems:
        raise InputErrors(problems)
    return scenario


def planted(value: Any, place: source.Place) -> source.Tree:
    """The tree of a value that stands in no file."""
    if isinstance(value, dict):
        return source.Tree(place, fields={name: (place, planted(each, place)) for name, each in value.items()})
    if isinstance(value, list):
        return source.Tree(place, items=[planted(each, place) for each in value])
    return source.Tree(place, value=value)


def setting(change: str) -> tuple[str, Any]:
    """Path and value of one `--set`. Raises UsageError, and InputErrors for a value that is no YAML."""
    path, equal, text = change.partition("=")
    if not equal or not all(path.split(".")):
        raise UsageError(f"--set {change}: expected PATH=VALUE", hint="--set flows.0.size=10MB")
    problems: list[Problem] = []
    value = source.parse(text.encode(), f"--set {change}", problems).plain() if text.strip() else None
    if problems:
        raise InputErrors(problems)
    return path, value


def apply(plain: Any, changes: dict[str, Any], what: str) -> None:
    """Set each path, such as links.0.loss, to its value. A path to a list item must exist; a field may be new."""
    for path, value in changes.items():
        at = plain
        parts = path.split(".")
        try:
            for part in parts[:-1]:
                at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
            if isinstance(at, list):
                if value is None:
                    del at[int(parts[-1])]
                else:
                    at[int(parts[-1])] = value
            elif value is None:
                at.pop(parts[-1], None)
            else:
                at[parts[-1]] = value
        except (IndexError, KeyError, ValueError, TypeError, AttributeError):
            raise TetherError(f"{what}: there is no {path}") from None
