# SPDX-License-Identifier: Apache-2.0
"""A strict reader of JSON documents that reports every mistake of a file at once, standard library only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Callable, Optional

from .errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TYPE_WORDS = {dict: "an object", list: "an array", str: "a string", bool: "true or false", int: "a whole number"}


class DuplicateKeyError(ValueError):
    """An object names the same key twice; JSON would silently keep the last."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise DuplicateKeyError(f"the key {key!r} stands twice in one object")
        result[key] = value
    return result


def parse_text(text: str, file: str) -> Any:
    """The value of a JSON text. Raises ConfigError with line and column; `file` is named in it."""
    try:
        return json.loads(text, object_pairs_hook=_pairs)
    except json.JSONDecodeError as error:
        hint = "mend the text at this place"
        raise ConfigError([Problem(file, "", f"not JSON: {error.msg}", hint, error.lineno, error.colno)]) from None
    except DuplicateKeyError as error:
        raise ConfigError([Problem(file, "", str(error), "remove one of them")]) from None
    except ValueError as error:  # a number of too many digits
        raise ConfigError([Problem(file, "", f"not JSON: {error}")]) from None
    except RecursionError:
        raise ConfigError([Problem(file, "", "not JSON: nested too deeply")]) from None


def word_of(value: Any) -> str:
    """The JSON type of a value in words."""
    if value is None:
        return "null"
    return _TYPE_WORDS.get(type(value), "a number" if isinstance(value, float) else type(value).__name__)


class Checker:
    """Collects the problems of one file. Its readers return a usable stand-in after a mistake, so checking goes on."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def problem(self, field: str, message: str, hint: str = "") -> None:
        """Note one mistake."""
        self.problems.append(Problem(self.file, field, message, hint))

    def finish(self) -> None:
        """Raise ConfigError when anything was noted."""
        if self.problems:
            raise ConfigError(self.problems)

    def object(self, value: Any, field: str, required: Sequence[str], optional: Sequence[str] = ()) -> Fields:
        """The fields of a JSON object; missing and unknown ones are noted."""
        if not isinstance(value, dict):
            self.problem(field, f"must be an object, is {word_of(value)}")
            return Fields(self, field, {})
        known = list(required) + list(optional)
        for key in value:
            if key not in known:
                self.problem(_join(field, key), "unknown field", f"known are {', '.join(known)}")
        for key in required:
            if key not in value:
                self.problem(_join(field, key), "missing", "add it")
        return Fields(self, field, value)

    def array(self, value: Any, field: str) -> list[tuple[str, Any]]:
        """The items of a JSON array, each with its field name."""
        if not isinstance(value, list):
            self.problem(field, f"must be an array, is {word_of(value)}")
            return []
        return [(f"{field}[{index}]", item) for index, item in enumerate(value)]


class Fields:
    """The fields of one JSON object, read one by one."""

    def __init__(self, checker: Checker, prefix: str, values: Mapping[str, Any]) -> None:
        self.checker = checker
        self.prefix = prefix
        self.values = values

    def name(self, key: str) -> str:
        """The full name of a field, as in error messages."""
        return _join(self.prefix, key)

    def has(self, key: str) -> bool:
        """Whether the field is there at all."""
        return key in self.values

    def raw(self, key: str) -> Any:
        """The value as it stands, None when the field is missing."""
        return self.values.get(key)

    def integer(self, key: str, low: int, high: int, default: int = 0, nullable: bool = False) -> Optional[int]:
        """A whole number of low..high; `default` when missing or wrong, None for an allowed null."""
        if key not in self.values:
            return None if nullable else default
        value = self.values[key]
        if value is None and nullable:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.checker.problem(self.name(key), f"must be a whole number, is {word_of(value)}")
            return default
        if not low <= value <= high:
            self.checker.problem(self.name(key), f"must be {low} to {high}, is {value}")
            return default
        return value

    def number(self, key: str, low: int, high: int, default: int = 0) -> int:
        """As integer(), never null."""
        value = self.integer(key, low, high, default)
        return default if value is None else value

    def string(
        self,
        key: str,
        check: Optional[Callable[[str], Optional[str]]] = None,
        nullable: bool = False,
        default: str = "",
    ) -> Optional[str]:
        """A string; `check` returns what is wrong with it or None."""
        if key not in self.values:
            return None if nullable else default
        value = self.values[key]
        if value is None and nullable:
            return None
        if not isinstance(value, str):
            self.checker.problem(self.name(key), f"must be a string, is {word_of(value)}")
            return default
        wrong = check(value) if check else None
        if wrong:
            self.checker.problem(self.name(key), wrong)
            return default
        return value

    def text(self, key: str, check: Optional[Callable[[str], Optional[str]]] = None, default: str = "") -> str:
        """As string(), never null."""
        value = self.string(key, check, default=default)
        return default if value is None else value

    def choice(self, key: str, allowed: Sequence[str], default: str) -> str:
        """One of a few words."""

        def check(value: str) -> Optional[str]:
            return None if value in allowed else f"must be one of {', '.join(allowed)}, is {value!r}"

        return self.text(key, check, default)


def _join(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key
