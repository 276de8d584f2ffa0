# SPDX-License-Identifier: Apache-2.0
"""One spelling for every document that is compared or digested."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 64


class DocumentError(ValueError):
    """A JSON text that is not a document we accept."""


def canonical(value: Any) -> str:
    """The canonical JSON text: sorted keys, no spaces, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def digest(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of a value."""
    return hashlib.sha256(canonical(value).encode("ascii")).hexdigest()


def text_digest(text: str) -> str:
    """SHA-256 (hex) of a file's text in UTF-8."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def file_text(value: Any) -> str:
    """The text of a JSON file that we write on a host: sorted and indented, so that people can read it."""
    return json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=True) + "\n"


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise DocumentError(f"duplicate key {key!r}")
        result[key] = value
    return result


def _no_constant(name: str) -> Any:
    raise DocumentError(f"{name} is not JSON")


_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


def _depth(text: str) -> int:
    """The deepest nesting of brackets outside strings; json's own recursion must not be the limit."""
    depth = deepest = 0
    for token in _TOKENS.finditer(text):
        first = text[token.start()]
        if first in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in "]}":
            depth -= 1
    return deepest


def load(text: str | bytes, limit: int = MAX_DOCUMENT_BYTES) -> Any:
    """Parse a JSON document: bounded in size and depth, no duplicate keys, no NaN.

    Raises DocumentError, never RecursionError or a bare ValueError.
    """
    if len(text) > limit:
        raise DocumentError(f"document larger than {limit} bytes")
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        if _depth(text) > MAX_DEPTH:
            raise DocumentError(f"document nested deeper than {MAX_DEPTH}")
        return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except DocumentError:
        raise
    except ValueError as error:
        raise DocumentError(f"not JSON: {error}") from None
