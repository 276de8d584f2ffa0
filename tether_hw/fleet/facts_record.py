# SPDX-License-Identifier: Apache-2.0
"""Facts in a folder: one document a host, so that plans can be made without the hosts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from tether_hw.errors import InputErrors, Problem, TetherError
from tether_hw.plan.canonical import DocumentError, load
from tether_hw.plan.facts import Facts
from tether_hw.plan.shape import ShapeError


def write(folder: Path, facts: Mapping[str, Facts]) -> list[Path]:
    """Write the facts of some hosts to a folder, each file whole or not at all. Raises TetherError."""
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in sorted(facts):
            path = folder / f"{name}.json"
            partial = folder / f".{name}.json.{os.getpid()}"
            partial.write_text(json.dumps(facts[name].to_dict(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
            partial.replace(path)
            written.append(path)
    except OSError as error:
        raise TetherError(f"{error.filename or folder}: {error.strerror}") from None
    return written


def read(folder: Path, names: Iterable[str]) -> dict[str, Facts]:
    """The recorded facts of these hosts. Raises InputErrors with everything that is wrong or not there."""
    problems: list[Problem] = []
    found: dict[str, Facts] = {}
    for name in names:
        path = folder / f"{name}.json"
        try:
            facts = Facts.parse(load(path.read_bytes()))
        except OSError as error:
            hint = f"tether facts --limit {name} -o {folder}"
            problems.append(Problem(str(path), 0, 0, "", error.strerror or "cannot be read", hint))
        except ShapeError as error:
            problems.append(Problem(str(path), 0, 0, error.where, error.message, "record the facts again"))
        except DocumentError as error:
            problems.append(Problem(str(path), 0, 0, "", str(error), "record the facts again"))
        else:
            if facts.host != name:
                problems.append(Problem(str(path), 0, 0, "host", f"these are the facts of {facts.host}"))
            found[name] = facts
    if problems:
        raise InputErrors(problems)
    return found
