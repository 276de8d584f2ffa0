# SPDX-License-Identifier: Apache-2.0
"""Quantities of a scenario. Each is a value or a range `low..high`, out of which a seed picks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator

_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z%]*)\Z")
TIMES = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
RATES = {"bit": 1, "kbit": 10**3, "Mbit": 10**6, "Gbit": 10**9}
SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
SHARES = {"%": 10_000, "ppm": 1}
COUNTS = {"": 1, "k": 10**3, "M": 10**6}


class Span(NamedTuple):
    """From `low` to `high`, both included."""

    low: int
    high: int


def quantity(value: Any, units: Mapping[str, int], example: str) -> Span:
    """The span of "20us", "1%..3%" or, where no unit is needed, of a whole number."""
    if isinstance(value, Span):
        return value
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    ends = []
    for part in text.split(".."):
        match = _NUMBER.match(part.strip())
        if not match or (match[2] not in units and not (match[2] == "" and match[1] == "0")):
            names = ", ".join(filter(None, units))
            raise ValueError(f"expected a number with one of the units {names}, like {example}")
        number = Decimal(match[1]) * units.get(match[2], 1)
        if number != int(number) or number >= 2**63:
            raise ValueError(f"{part.strip()} is no whole number of the smallest unit")
        ends.append(int(number))
    if len(ends) > 2 or ends[0] > ends[-1]:
        raise ValueError(f"expected one value, or low..high, like {example}..{example}")
    return Span(ends[0], ends[-1])


def _of(units: Mapping[str, int], example: str) -> BeforeValidator:
    return BeforeValidator(lambda value: quantity(value, units, example))


def within(least: int, most: int, words: str) -> AfterValidator:
    """Both ends of a span are `least` to `most`, which `words` say in the units of the file."""

    def check(span: Span) -> Span:
        if span.low < least or span.high > most:
            raise ValueError(f"expected {words}")
        return span

    return AfterValidator(check)


Time = Annotated[Span, _of(TIMES, "20us"), within(0, 876_000 * TIMES["h"], "at most 876000h, which are 100 years")]
Rate = Annotated[Span, _of(RATES, "1Gbit"), within(0, 10_000 * RATES["Gbit"], "at most 10000Gbit")]
Size = Annotated[Span, _of(SIZES, "64KiB"), within(0, 1024 * SIZES["GiB"], "at most 1024GiB")]
Share = Annotated[Span, _of(SHARES, "1%"), within(0, 100 * SHARES["%"], "at most 100%")]
Count = Annotated[Span, _of(COUNTS, "100"), within(0, (1 << 32) - 1, "at most 4294967295")]
