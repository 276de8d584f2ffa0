# SPDX-License-Identifier: Apache-2.0
"""What is left of a tree without its mistakes, so that the checks between the parts still run over the rest.

Nothing mended is ever used: a file with one mistake is refused. It only lets all mistakes be found in one run.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tether_hw.fleet.explain import real_path
from tether_hw.fleet.source import Tree

M = TypeVar("M", bound=BaseModel)

MOST_ROUNDS = 8


def mended(model: type[M], tree: Tree, error: ValidationError) -> M | None:
    """The model of the tree without what `error` and its followers complain about; None where too little is left."""
    value = tree.plain()
    for _ in range(MOST_ROUNDS):
        for detail in error.errors(include_input=False, include_url=False):
            path, _here = real_path(detail, tree)
            if not path:
                return None
            if detail["type"] == "missing":
                _fill(value, path, tree)
            else:
                _drop(value, path)
        try:
            return model.model_validate(value)
        except ValidationError as next_error:
            error = next_error
    return None


def _parent(value: Any, path: list[str | int]) -> Any:
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def _drop(value: Any, path: list[str | int]) -> None:
    """Take out the nearest field: a list is dropped whole, so that the indices of other mistakes stay right."""
    while path and not isinstance(path[-1], str):
        path = path[:-1]
    parent = _parent(value, path[:-1]) if path else None
    if isinstance(parent, dict):
        parent.pop(path[-1], None)


def _fill(value: Any, path: list[str | int], tree: Tree) -> None:
    """Put something of the right type where a field is missing, different at every place."""
    place = tree.find(tuple(path))
    unique = f"missing-{place.line}-{place.col}"
    parent = _parent(value, path[:-1])
    if not isinstance(parent, dict):
        return
    stand_ins: dict[str, Any] = {
        "address": unique,
        "device": {"name": unique[-15:].strip("-")},
        "members": [],
        "tether": 1,
        "listen": "127.0.0.1:1",
    }
    if path[-1] in stand_ins:
        parent[path[-1]] = stand_ins[str(path[-1])]
    else:
        _drop(value, path[:-1])
