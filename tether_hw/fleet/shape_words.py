# SPDX-License-Identifier: Apache-2.0
"""A few words to write JSON Schemas with."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def obj(about: str = "", optional: tuple[str, ...] = (), more: bool = False, **fields: Schema) -> Schema:
    """An object with exactly these fields; with `more` others may come beside them. A trailing _ keeps Python quiet."""
    properties = {name.rstrip("_"): schema for name, schema in fields.items()}
    required = [name for name in properties if name not in optional]
    schema: Schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": more}
    return {"description": about, **schema} if about else schema


def table(of: Schema, about: str = "") -> Schema:
    """An object of any names whose values are alike."""
    schema: Schema = {"type": "object", "additionalProperties": of}
    return {"description": about, **schema} if about else schema


def arr(of: Schema, about: str = "") -> Schema:
    """A list of things that are alike."""
    return {"description": about, "type": "array", "items": of} if about else {"type": "array", "items": of}


def text(about: str = "", *values: str) -> Schema:
    """Text; with values, one of them."""
    schema: Schema = {"type": "string"}
    if values:
        schema["enum"] = list(values)
    return {"description": about, **schema} if about else schema


def whole(about: str = "") -> Schema:
    """A whole number."""
    return {"description": about, "type": "integer"} if about else {"type": "integer"}


def number(about: str = "") -> Schema:
    """A number."""
    return {"description": about, "type": "number"} if about else {"type": "number"}


def flag(about: str = "") -> Schema:
    """true or false."""
    return {"description": about, "type": "boolean"} if about else {"type": "boolean"}


def maybe(schema: Schema) -> Schema:
    """The same, or null."""
    kind = schema.get("type")
    if kind is None:
        return schema
    result = {**schema, "type": [kind, "null"]}
    if "enum" in schema:
        result["enum"] = [*schema["enum"], None]
    return result


def anything(about: str) -> Schema:
    """Any value."""
    return {"description": about}


def document(name: str, about: str, optional: tuple[str, ...] = (), more: bool = False, **fields: Schema) -> Schema:
    """A document that a verb prints: its `schema` field first."""
    return obj(about, optional, more, schema={"const": name}, **fields)
