# SPDX-License-Identifier: Apache-2.0
"""The meter of a rule: frames beyond a rate are dropped, the others go on to what the rule does with them.

tc shows a police's numbers only in its text, and rounds them: the rate to a whole unit, the burst to microseconds, to
the kernel's ticks and to a unit. So a rate has few enough digits, and a burst stands on a step that is wider than that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Optional

from tether_hw.plan.shape import Fields, ShapeError

_LEAST_STEP = 16 << 10
MOST_BITS, MOST_BURST = 800 * 10**9, 1 << 30
#: The largest frame that a police lets by: tc's own default is 2040 bytes, which drops every jumbo frame.
MTU = 65535
#: tc of iproute2 6.1 counts a burst in microseconds of its rate, and cuts off twice: before the kernel and after it.
_LOST_US = 2
#: By this much tc's unit may round: "1Mb" is what is less than 1 KiB from it.
_ROUNDED = 1 << 10
_RATE_UNITS = {"bit": 1, "Kbit": 10**3, "Mbit": 10**6, "Gbit": 10**9, "Tbit": 10**12}
_SIZE_UNITS = {"b": 1, "Kb": 1 << 10, "Mb": 1 << 20}
_RATE = re.compile(r"([0-9]+)(bit|[KMGT]bit)\Z")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(b|Kb|Mb)\Z")
_SHOWN = re.compile(
    r" police 0x([0-9a-f]+) rate (\S+) burst (\S+) mtu (\S+)((?: peakrate \S+| avrate \S+| pkts_rate \S+)*) action "
    r"([a-z]+)(?:/([a-z]+))?(?: overhead ([0-9]+)b)?"
)


@dataclass(frozen=True)
class Police:
    """rate: bits per second. burst: bytes."""

    rate: int
    burst: int

    @classmethod
    def parse(cls, value: Any, where: str) -> Police:
        fields = Fields(value, where)
        police = cls(fields.integer("rate", 8, MOST_BITS), fields.integer("burst", 1, MOST_BURST))
        fields.done()
        if police.rate != shown_rate(police.rate):
            raise ShapeError(where, f"tc shows no more of the rate than {shown_rate(police.rate)} bit/s")
        return police

    def to_dict(self) -> dict[str, Any]:
        return {"rate": self.rate, "burst": self.burst}

    def words(self) -> tuple[str, ...]:
        """As tc takes it."""
        rate, burst = f"{self.rate}bit", str(self.burst)
        return ("police", "rate", rate, "burst", burst, "mtu", str(MTU), "conform-exceed", "drop/pipe")


def shown_rate(bits: int) -> int:
    """What tc's text leaves of a rate: whole bytes, in the unit that it chooses."""
    left, unit = bits // 8 * 8, 1
    while left >= 1000 and unit < 10**12 and (left % 1000 == 0 or left >= 1000 * 1000):
        left, unit = left // 1000, unit * 1000
    return left * unit


def burst_step(rate: int) -> int:
    """What bursts at this rate are multiples of: a power of two from which tc's rounding does not lead away."""
    step = _LEAST_STEP
    while step // 2 <= _slack(rate):
        step *= 2
    return step


def _slack(rate: int) -> int:
    return rate // 8 * _LOST_US // 10**6 + 1 + _ROUNDED


def on_step(rate: int, shown: int) -> int:
    """The burst that was asked for, of one that tc shows: the step near it, or itself where none is near enough."""
    step = burst_step(rate)
    near = (shown + step // 2) // step * step
    return near if near and abs(near - shown) <= _slack(rate) else shown


def read_text(text: str) -> dict[int, Optional[Police]]:
    """Index -> police, of what `tc -s filter show` prints; None for one that no rule of ours has."""
    found: dict[int, Optional[Police]] = {}
    for match in _SHOWN.finditer(text):
        index, rate, burst, mtu, more, exceed, conform, overhead = match.groups()
        bits, octets = _amount(_RATE, _RATE_UNITS, rate), _amount(_SIZE, _SIZE_UNITS, burst)
        whole = abs(_amount(_SIZE, _SIZE_UNITS, mtu) - MTU) <= 16
        plain = (exceed, conform) == ("drop", "pipe") and not more and overhead in (None, "0")
        told = 8 <= bits <= MOST_BITS and bits == shown_rate(bits) and 0 < octets <= MOST_BURST
        found[int(index, 16)] = Police(bits, on_step(bits, octets)) if plain and whole and told else None
    return found


def _amount(pattern: re.Pattern[str], units: dict[str, int], text: str) -> int:
    match = pattern.match(text)
    return int(float(match[1]) * units[match[2]]) if match else 0
