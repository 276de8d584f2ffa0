# SPDX-License-Identifier: Apache-2.0
"""Strict reading of documents that crossed a wire: unknown fields, wrong types and missing fields are errors."""

from __future__ import annotations

import re
from typing import Any, Callable, Pattern, TypeVar

T = TypeVar("T")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
IFNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,14}\Z")  # no slash, no space, at most 15: the kernel's IFNAMSIZ - 1
HEX64 = re.compile(r"[0-9a-f]{64}\Z")
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
PCI = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\Z")
DSN = re.compile(r"[0-9a-f]{16}\Z")  # a PCIe device serial number without its dashes
SERIAL = re.compile(r"[0-9A-Za-z]{4,32}\Z")  # of a card: a DSN, or what its vendor printed on it


class ShapeError(ValueError):
    """A document of the wrong shape; says where and what."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where or 'document'}: {message}")
        self.where = where
        self.message = message


class Fields:
    """Takes the fields of one JSON object one by one; `done` refuses what nobody took."""

    def __init__(self, value: Any, where: str = "") -> None:
        if not isinstance(value, dict):
            raise ShapeError(where, f"expected an object, found {type(value).__name__}")
        self._value = value
        self._where = where
        self._left = set(value)

    def at(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name

    def fail(self, name: str, message: str) -> ShapeError:
        return ShapeError(self.at(name), message)

    def has(self, name: str) -> bool:
        return name in self._value

    def take(self, name: str) -> Any:
        if name not in self._value:
            raise self.fail(name, "missing")
        self._left.discard(name)
        return self._value[name]

    def text(self, name: str, pattern: Pattern[str] | None = None, limit: int = 4096) -> str:
        value = self.take(name)
        if not isinstance(value, str):
            raise self.fail(name, f"expected text, found {type(value).__name__}")
        if len(value) > limit:
            raise self.fail(name, f"longer than {limit} characters")
        if pattern is not None and not pattern.match(value):
            raise self.fail(name, f"{value!r} is not of the expected form")
        return value

    def optional_text(self, name: str, pattern: Pattern[str] | None = None, limit: int = 4096) -> str | None:
        if self._value.get(name) is None:
            self.take(name)
            return None
        return self.text(name, pattern, limit)

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name)
        if value not in allowed:
            raise self.fail(name, f"{value!r} is none of {', '.join(allowed)}")
        return value

    def optional_one_of(self, name: str, allowed: tuple[str, ...]) -> str | None:
        if self._value.get(name) is None:
            self.take(name)
            return None
        return self.one_of(name, allowed)

    def integer(self, name: str, low: int = 0, high: int = 2**63 - 1) -> int:
        value = self.take(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.fail(name, f"expected a whole number, found {type(value).__name__}")
        if not low <= value <= high:
            raise self.fail(name, f"{value} is not in {low}..{high}")
        return value

    def optional_integer(self, name: str, low: int = 0, high: int = 2**63 - 1) -> int | None:
        if self._value.get(name) is None:
            self.take(name)
            return None
        return self.integer(name, low, high)

    def boolean(self, name: str) -> bool:
        value = self.take(name)
        if not isinstance(value, bool):
            raise self.fail(name, f"expected true or false, found {type(value).__name__}")
        return value

    def objects(self, name: str, parse: Callable[[Any, str], T], limit: int = 100_000) -> list[T]:
        """A list whose items are read by `parse(item, where)`."""
        value = self.take(name)
        if not isinstance(value, list):
            raise self.fail(name, f"expected a list, found {type(value).__name__}")
        if len(value) > limit:
            raise self.fail(name, f"more than {limit} items")
        return [parse(item, f"{self.at(name)}[{index}]") for index, item in enumerate(value)]

    def table(self, name: str, parse: Callable[[Any, str], T], key: Pattern[str] = NAME) -> dict[str, T]:
        """An object whose values are read by `parse(value, where)` and whose keys match `key`."""
        value = self.take(name)
        if not isinstance(value, dict):
            raise self.fail(name, f"expected an object, found {type(value).__name__}")
        for entry in value:
            if not key.match(entry):
                raise self.fail(name, f"{entry!r} is not a name")
        return {entry: parse(item, f"{self.at(name)}.{entry}") for entry, item in value.items()}

    def plain(self, name: str) -> dict[str, Any]:
        """An object that is carried as it is."""
        value = self.take(name)
        if not isinstance(value, dict):
            raise self.fail(name, f"expected an object, found {type(value).__name__}")
        return value

    def schema(self, expected: str) -> None:
        found = self.text("schema")
        if found != expected:
            raise self.fail("schema", f"{found!r}, expected {expected!r}")

    def done(self) -> None:
        if self._left:
            name = sorted(self._left)[0]
            raise self.fail(name, "unknown field")


def text_item(value: Any, where: str) -> str:
    """A list item or table value that is text."""
    if not isinstance(value, str) or len(value) > 4096:
        raise ShapeError(where, "expected text")
    return value


def key_item(value: Any, where: str) -> str:
    """A list item that is a public key in hex."""
    if not isinstance(value, str) or not HEX64.match(value):
        raise ShapeError(where, "expected 64 hexadecimal digits")
    return value


def integer_item(value: Any, where: str) -> int:
    """A list item or table value that is a whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ShapeError(where, "expected a whole number")
    return value
