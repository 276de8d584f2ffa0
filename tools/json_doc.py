#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/json.md from the schemas; a test compares the two. Run: python3 tools/json_doc.py > docs/json.md"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

HEAD = """\
# JSON documents

With `--json` a verb prints one JSON document on standard output and nothing else there; words for people go to
standard error. Each document names its shape in the field `schema`, as `name/version`; within a version fields may be
added, none is removed or changes its meaning. `tether schema NAME` prints a shape as JSON Schema. An optional field has
a question mark; `...` means that more fields may come.

This page is made by `tools/json_doc.py`.
"""


def main() -> int:
    """Print the page."""
    sys.stdout.write(page())
    return 0


def page() -> str:
    """The whole page."""
    from tether_hw.fleet.schemas import DOCUMENTS

    parts = [HEAD]
    for name, schema in DOCUMENTS.items():
        lines = [f"## {name}", "", sentence(schema.get("description", "")), "", "```", *fields(schema, 0), "```", ""]
        parts.append("\n".join(lines))
    return "\n".join(parts)


def sentence(words: str) -> str:
    """The words with a capital and a full stop."""
    return (words[:1].upper() + words[1:]).rstrip(".") + "."


def fields(schema: dict[str, Any], depth: int) -> list[str]:
    """One line per field, nested ones further in."""
    lines = []
    for name, value in schema.get("properties", {}).items():
        mark = "" if name in schema["required"] else "?"
        about = value.get("description", "")
        lines.append(f"{'  ' * depth}{name}{mark}: {kind(value)}" + (f"  -- {about}" if about else ""))
        lines.extend(inner(value, depth + 1))
    if schema.get("additionalProperties") is True:
        lines.append(f"{'  ' * depth}...")
    return lines


def inner(value: dict[str, Any], depth: int) -> list[str]:
    """The fields inside a value: of an object, of a list's items, of a table's values."""
    if "properties" in value:
        return fields(value, depth)
    if isinstance(value.get("items"), dict):
        return inner(value["items"], depth)
    if isinstance(value.get("additionalProperties"), dict):
        return inner(value["additionalProperties"], depth)
    return []


def kind(value: dict[str, Any]) -> str:
    """The type in a word or two."""
    if "const" in value:
        return f'"{value["const"]}"'
    types = value.get("type")
    listed = types if isinstance(types, list) else [types]
    if "enum" in value:
        return " | ".join("null" if word is None else f'"{word}"' for word in value["enum"])
    words = []
    for one in listed:
        if one == "array":
            words.append(f"list of {kind(value['items'])}")
        elif one == "object" and isinstance(value.get("additionalProperties"), dict) and "properties" not in value:
            words.append(f"table of {kind(value['additionalProperties'])}")
        elif one is None:
            words.append("any value")
        else:
            words.append({"string": "text", "integer": "whole number", "boolean": "true or false"}.get(one, one))
    return " or ".join(words)


if __name__ == "__main__":
    sys.exit(main())
