# SPDX-License-Identifier: Apache-2.0
"""Rates and times as people write them in an inventory."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_RATES = {"bit": 1, "kbit": 10**3, "Mbit": 10**6, "Gbit": 10**9, "Tbit": 10**12}
_TIMES = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9}
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


def parse_time(value: Any) -> int:
    """Nanoseconds of "20us" and the like."""
    return _quantity(value, _TIMES, "20us")


def _schema(units: dict[str, int], example: str) -> WithJsonSchema:
    pattern = r"^[0-9]+(\.[0-9]+)?\s*(" + "|".join(units) + ")$"
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


RateBps = Annotated[int, BeforeValidator(parse_rate), _schema(_RATES, "25Gbit")]
TimeNs = Annotated[int, BeforeValidator(parse_time), _schema(_TIMES, "20us")]
