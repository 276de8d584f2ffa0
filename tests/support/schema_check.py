# SPDX-License-Identifier: Apache-2.0
"""A JSON Schema validator for the words that our schemas use; any other word is an error."""

from __future__ import annotations

import re
from typing import Any

KNOWN = {
    "$defs", "$ref", "$schema", "additionalProperties", "anyOf", "const", "default", "description", "enum", "examples",
    "items", "maxItems", "maxLength", "maximum", "minItems", "minLength", "minimum", "oneOf", "pattern",
    "patternProperties", "properties", "required",
    "title", "type",
}  # fmt: skip
TYPES = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int,
    "number": (int, float),
}  # fmt: skip


def mistakes(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, at: str = "$") -> list[str]:
    """What of the value does not fit the schema."""
    root = schema if root is None else root
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        return mistakes(value, root["$defs"][name], root, at)
    if "anyOf" in schema:
        branches = [mistakes(value, branch, root, at) for branch in schema["anyOf"]]
        return [] if any(not branch for branch in branches) else [f"{at}: fits no branch", *min(branches, key=len)]
    if "oneOf" in schema:
        branches = [mistakes(value, branch, root, at) for branch in schema["oneOf"]]
        fitting = sum(not branch for branch in branches)
        return [] if fitting == 1 else [f"{at}: fits {fitting} branches", *min(branches, key=len)]
    found = []
    if "const" in schema and value != schema["const"]:
        found.append(f"{at}: {value!r} is not {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at}: {value!r} is none of {schema['enum']}")
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(_is(value, name) for name in types):
            return [*found, f"{at}: {type(value).__name__} is none of {types}"]
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            found.append(f"{at}: does not fit {schema['pattern']}")
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9):
            found.append(f"{at}: length {len(value)}")
    if isinstance(value, int | float) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append(f"{at}: {value} is out of range")
    if isinstance(value, list):
        for number, item in enumerate(value):
            found += mistakes(item, schema.get("items", {}), root, f"{at}[{number}]")
    if isinstance(value, dict):
        found += _object(value, schema, root, at)
    return found


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, TYPES[name])  # type: ignore[arg-type]


def _object(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], at: str) -> list[str]:
    found = [f"{at}.{name}: missing" for name in schema.get("required", []) if name not in value]
    properties = dict(schema.get("properties", {}))
    for pattern, of in schema.get("patternProperties", {}).items():
        properties.update({name: of for name in value if re.search(pattern, name)})
    more = schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in properties:
            found += mistakes(item, properties[name], root, f"{at}.{name}")
        elif more is False:
            found.append(f"{at}.{name}: unknown")
        elif isinstance(more, dict):
            found += mistakes(item, more, root, f"{at}.{name}")
    return found
