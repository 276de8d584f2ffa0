# SPDX-License-Identifier: Apache-2.0
"""Rates, sizes, times and moments as people write them in an inventory."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_RATES = {"bit": 1, "kbit": 10**3, "Mbit": 10**6, "Gbit": 10**9, "Tbit": 10**12}
_SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_TIMES = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})\Z"
)
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\Z")


def _quantity(value: Any, units: dict[str, int], example: str) -> int:
    if isinstance(value, str):
        match = _QUANTITY.match(value)
        if match and match.group(2) in units:
            number = Decimal(match.group(1)) * units[match.group(2)]
            if number == int(number) and 0 < number < 2**63:
                return int(number)
    raise ValueError(f"expected a number with one of the units {', '.join(units)}, like {example}")


def parse_rate(value: Any) -> int:
    """Bits per second of "25Gbit" and the like."""
    return _quantity(value, _RATES, "25Gbit")


def parse_size(value: Any) -> int:
    """Bytes of "256KiB" and the like."""
    return _quantity(value, _SIZES, "256KiB")


def parse_time(value: Any) -> int:
    """Nanoseconds of "20us" and the like."""
    return _quantity(value, _TIMES, "20us")


def parse_moment(value: Any) -> int:
    """Nanoseconds since 1970 (UTC) of "2026-11-22T20:00:00Z"; the zone must be said."""
    match = _MOMENT.match(value) if isinstance(value, str) else None
    if match:
        try:
            seconds = datetime.fromisoformat(match.group(1) + match.group(3).replace("Z", "+00:00")).timestamp()
        except ValueError:
            seconds = -1
        fraction = (match.group(2) or ".")[1:].ljust(9, "0")
        if 0 <= seconds < 2**32:
            return int(seconds) * 10**9 + int(fraction)
    raise ValueError("expected a moment with its zone, like 2026-11-22T20:00:00Z")


def moment_text(unix_ns: int) -> str:
    """A moment in UTC, to the second."""
    return datetime.fromtimestamp(unix_ns // 10**9, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_text(ns: int) -> str:
    """A time in the largest unit that shows it whole."""
    unit = next(name for name in reversed(_TIMES) if ns % _TIMES[name] == 0)
    return f"{ns // _TIMES[unit]}{unit}"


def _schema(units: dict[str, int], example: str) -> WithJsonSchema:
    pattern = r"^[0-9]+(\.[0-9]+)?\s*(" + "|".join(units) + ")$"
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


RateBps = Annotated[int, BeforeValidator(parse_rate), _schema(_RATES, "25Gbit")]
SizeBytes = Annotated[int, BeforeValidator(parse_size), _schema(_SIZES, "256KiB")]
UnixNs = Annotated[
    int,
    BeforeValidator(parse_moment),
    WithJsonSchema(
        {"type": "string", "pattern": _MOMENT.pattern.replace(r"\Z", "$"), "examples": ["2026-11-22T20:00:00Z"]}
    ),
]
TimeNs = Annotated[int, BeforeValidator(parse_time), _schema(_TIMES, "20us")]
