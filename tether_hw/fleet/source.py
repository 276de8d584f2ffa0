# SPDX-License-Identifier: Apache-2.0
"""YAML with places: every value knows its file, line and column.

The C parser of PyYAML composes the node tree; values are made here, by the core schema of YAML 1.2, because 1.1 turns
`on:` and `no` into booleans, `12:34:56` into a number and a date into an object. Duplicate keys, merge keys, tags,
further documents and alias bombs are errors. What does not keep the file from being read goes to a list of problems.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tether_hw.errors import InputErrors, Problem, TetherError

MAX_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 32
MAX_ALIAS_NODES = 100_000  # values reached through aliases: an honest file has a few, a bomb has millions

_INT = re.compile(r"[-+]?[0-9]+\Z|0x[0-9a-fA-F]+\Z|0o[0-7]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
#: Booleans of YAML 1.1 that are words in 1.2: someone may mean either, so a field that is no text says so.
BOOLEAN_WORDS = frozenset(
    word for base in ("yes", "no", "on", "off", "y", "n") for word in (base, base.title(), base.upper())
)


@dataclass(frozen=True)
class Place:
    """Where something stands in a file; line and column count from 1."""

    file: str
    line: int
    col: int

    def problem(self, path: str, message: str, hint: str | None = None) -> Problem:
        return Problem(self.file, self.line, self.col, path, message, hint)


@dataclass(frozen=True)
class Tree:
    """A value with its place: scalar, list of trees, or mapping of name -> (place of the name, tree)."""

    place: Place
    value: str | int | float | bool | None = None
    items: list[Tree] | None = None
    fields: dict[str, tuple[Place, Tree]] | None = field(default=None)

    def plain(self) -> Any:
        """The value without places."""
        if self.fields is not None:
            return {name: tree.plain() for name, (_, tree) in self.fields.items()}
        if self.items is not None:
            return [tree.plain() for tree in self.items]
        return self.value

    def get(self, name: str) -> Tree | None:
        """The value of a field, None where this is no mapping or has no such field."""
        entry = (self.fields or {}).get(name)
        return None if entry is None else entry[1]

    def children(self) -> Iterator[tuple[str, Place, Tree]]:
        """The fields of a mapping: name, place of the name, value."""
        for name, (place, tree) in (self.fields or {}).items():
            yield name, place, tree

    def find(self, path: tuple[str | int, ...], *, key: bool = False) -> Place:
        """The place of a path, or of its nearest ancestor; with `key` that of the last name instead of its value."""
        place, tree = self.place, self
        for part in path:
            if tree.fields is not None and isinstance(part, str) and part in tree.fields:
                name_place, tree = tree.fields[part]
                place = name_place if key else tree.place
            elif tree.items is not None and isinstance(part, int) and part < len(tree.items):
                tree = tree.items[part]
                place = tree.place
            else:
                break
        return place


def empty(file: str) -> Tree:
    """An empty mapping at the start of a file."""
    return Tree(Place(file, 1, 1), fields={})


def read(path: Path, problems: list[Problem]) -> Tree:
    """The tree of a file. Raises InputErrors where it is no YAML, TetherError where it cannot be read."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise TetherError(f"{path}: {error.strerror}", hint="-i FILE or TETHER_INVENTORY names the inventory") from None
    return parse(raw, str(path), problems)


def parse(raw: bytes, file: str, problems: list[Problem]) -> Tree:
    """The tree of a document; duplicate keys, tags and the like go to `problems`. Raises InputErrors for no YAML."""
    if len(raw) > MAX_BYTES:
        raise InputErrors([Problem(file, 0, 0, "", f"larger than {MAX_BYTES} bytes")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InputErrors([Problem(file, line, 1, "", "not UTF-8 text")]) from None
    try:
        _check_depth(text, file)
        loader = yaml.CSafeLoader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, col = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise InputErrors([Problem(file, line, col, "", f"not YAML: {error.problem or error.context}")]) from None
    except yaml.reader.ReaderError as error:
        found = text.find(chr(error.character) if isinstance(error.character, int) else str(error.character))
        line, col = text.count("\n", 0, found) + 1, found - text.rfind("\n", 0, found)
        raise InputErrors([Problem(file, line, col, "", f"not YAML: {error.reason}")]) from None
    except yaml.YAMLError as error:
        raise InputErrors([Problem(file, 0, 0, "", f"not YAML: {str(error).splitlines()[0]}")]) from None
    if node is None:
        return empty(file)
    return _Builder(file, problems).build(node, "", 0)


def _check_depth(text: str, file: str) -> None:
    # Events come one by one; composing a tree recurses and must never see a deep one.
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                mark = event.start_mark
                line, col = (mark.line + 1, mark.column + 1) if mark else (0, 0)
                raise InputErrors([Problem(file, line, col, "", f"nested deeper than {MAX_DEPTH}")])
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Builder:
    """Makes trees of nodes and collects what is wrong with them."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = problems
        self._seen: set[int] = set()
        self._open: set[int] = set()
        self._alias_nodes = 0

    def build(self, node: yaml.Node, path: str, in_alias: int) -> Tree:
        place = self._place(node)
        if id(node) in self._open:
            self._add(place, path, "an alias that contains itself")
            return Tree(place)
        if not isinstance(node, yaml.ScalarNode):
            if id(node) in self._seen:
                in_alias += 1
            self._seen.add(id(node))
        if in_alias:
            self._alias_nodes += 1
            if self._alias_nodes > MAX_ALIAS_NODES:
                raise InputErrors([place.problem(path, f"aliases stand for more than {MAX_ALIAS_NODES} values")])
        self._check_tag(node, place, path)
        if isinstance(node, yaml.ScalarNode):
            return Tree(place, value=_scalar(node))
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                items = [self.build(item, f"{path}[{number}]", in_alias) for number, item in enumerate(node.value)]
                return Tree(place, items=items)
            return Tree(place, fields=self._fields(node, path, in_alias))
        finally:
            self._open.discard(id(node))

    def _fields(self, node: yaml.Node, path: str, in_alias: int) -> dict[str, tuple[Place, Tree]]:
        fields: dict[str, tuple[Place, Tree]] = {}
        for key, value in node.value:
            place = self._place(key)
            if not isinstance(key, yaml.ScalarNode):
                self._add(place, path, "a name must be a word")
                continue
            name = str(key.value)
            below = f"{path}.{name}" if path else name
            if name == "<<" and not key.style:
                self._add(place, path, "merge keys are not read", "use groups or defaults")
                continue
            tree = self.build(value, below, in_alias)
            if name in fields:
                first = fields[name][0]
                self._add(place, below, f"{name!r} is there twice, first in line {first.line}", "remove one of them")
                continue
            fields[name] = (place, tree)
        return fields

    def _check_tag(self, node: yaml.Node, place: Place, path: str) -> None:
        # The composer resolves plain scalars by YAML 1.1; only a tag that someone wrote is of interest.
        if node.tag.startswith("tag:yaml.org,2002:") and node.tag.rsplit(":", 1)[1] in _IMPLICIT:
            return
        self._add(place, path, f"tag {node.tag} is not read", "remove the tag")

    def _place(self, node: yaml.Node) -> Place:
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _add(self, place: Place, path: str, message: str, hint: str | None = None) -> None:
        self.problems.append(place.problem(path, message, hint))


_IMPLICIT = frozenset(("str", "int", "float", "bool", "null", "timestamp", "seq", "map", "merge", "value"))


def _scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    text = str(node.value)
    if node.style:  # quoted or a block: text
        return text
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if len(text) <= 64:
        if _INT.match(text):
            return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
        if _FLOAT.match(text):
            return float(text)
    return text
