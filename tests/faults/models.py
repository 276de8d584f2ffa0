# SPDX-License-Identifier: Apache-2.0
"""Faults at points of runs on machines of a driver model, all of them chosen by one seed.

Each point is of a machine of its own: drawn, with a first wish that was applied and kept, struck while the second is.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.drivers.common.picture import Picture
from tests.drivers.common.strikes import BEFORE, BEHIND, CHANGE, HALF, RECORD, REFUSED, TORN, Event, Strikes
from tests.drivers.common.trial import Draw, Trial
from tests.drivers.ice import draws as ice
from tests.drivers.mlx5 import draws as mlx5
from tests.faults.rows import AS_BEFORE, CONFIGURED, Row

MODELS: dict[str, Any] = {"ice": ice, "mlx5": mlx5}
POINTS = 20
BATCH = 60


def drawn(draws: Any, number: int) -> list[Draw]:
    """The machines of a seed, those whose second wish is refused or empty among them."""
    found: list[Draw] = []

    @seed(number)
    @settings(
        max_examples=BATCH,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(begin=draws.begins(), first=draws.wishes(), second=draws.wishes())
    def check(begin: Any, first: Any, second: Any) -> None:
        found.append(Draw(begin, first, second))

    check()
    return found


class Point:
    """One place in the run of one machine, and what is right behind each fault there."""

    def __init__(self, model: str, folder: Path, draw: Draw, chance: random.Random) -> None:
        self.model, self.folder, self.draw, self.chance = model, folder, draw, chance
        self.events: list[Event] = []
        trial = self.trial()
        self.worth = trial.worth
        if not self.worth:
            return
        counting = Strikes()
        trial.struck(counting)
        self.events = counting.events
        self.expected = {AS_BEFORE: trial.before, CONFIGURED: trial.picture()}
        end = trial.end(self.expected, self.expected)
        assert end == CONFIGURED, end
        trial.boot()
        configured = trial.picture()
        self.booted = {AS_BEFORE: self._booted_before(), CONFIGURED: configured}
        self.at = chance.randrange(1, len(self.events) + 1)
        changes = [number for number, event in enumerate(self.events, 1) if event.kind == CHANGE]
        self.change = chance.choice(changes) if changes else 0
        sides = (BEFORE, BEHIND, TORN) if self.events[self.at - 1].kind == RECORD else (BEFORE, BEHIND)
        self.side = chance.choice(sides)

    def trial(self) -> Trial:
        return Trial(MODELS[self.model].FAMILY, self.folder, self.draw)

    def _booted_before(self) -> Picture:
        trial = self.trial()
        trial.boot()
        return trial.picture()

    def name(self, at: int, how: str) -> str:
        return f"{how} {self.events[at - 1].words} ({at} of {len(self.events)})"

    # The faults

    def cut(self) -> Trial:
        """A run whose agent is gone at the point."""
        trial = self.trial()
        strikes = Strikes(self.at, BEHIND if self.side == TORN else self.side)
        trial.struck(strikes)
        assert strikes.struck
        return trial

    def resumed(self) -> tuple[str, str]:
        trial = self.cut()
        trial.resume()
        end = trial.end(self.expected, self.booted)
        if end == CONFIGURED:
            left = trial.second_plan()
            trial.roll_back()
            back = trial.end(self.expected, self.booted)
            end = f"configured, but planned again: {left}" if left else end if back == AS_BEFORE else back
        return end, "resume"

    def left_alone(self) -> tuple[str, str]:
        trial = self.cut()
        trial.nobody()
        return trial.end(self.expected, self.booted), "the dead-man"

    def gone_again(self) -> tuple[str, str]:
        """What takes it back is gone as well, somewhere."""
        trial = self.cut()
        counting = Strikes()
        trial.during(counting, trial.nobody)
        if not counting.events:
            return trial.end(self.expected, self.booted), "nothing was left to do"
        trial = self.cut()
        at = self.chance.randrange(1, len(counting.events) + 1)
        trial.during(Strikes(at, BEHIND), trial.nobody)
        trial.roll_back()
        return trial.end(self.expected, self.booted), f"gone again behind {counting.events[at - 1].words}, rollback"

    def powered_off(self) -> Trial:
        trial = self.trial()
        strikes = Strikes(self.at, self.side)
        trial.struck(strikes)
        assert strikes.struck
        return trial

    def booted_once(self) -> tuple[str, str]:
        trial = self.powered_off()
        trial.boot()
        return self._after_boot(trial), "the boot check"

    def booted_twice(self) -> tuple[str, str]:
        trial = self.powered_off()
        counting = Strikes()
        trial.during(counting, trial.boot)
        trial = self.powered_off()
        if not counting.events:
            trial.boot()
            return self._after_boot(trial), "the boot check"
        at = self.chance.randrange(1, len(counting.events) + 1)
        trial.during(Strikes(at, BEHIND), trial.boot)
        trial.boot()
        return self._after_boot(trial), f"cut again behind {counting.events[at - 1].words}, the boot check"

    def _after_boot(self, trial: Trial) -> str:
        """A run that goes on after its own boot is confirmed by nobody; one without a hook waits for somebody."""
        if trial.scene.host.lock.holder() is not None:
            trial.nobody()
        return trial.end(self.expected, self.booted)

    def refused(self) -> tuple[str, str]:
        return self._answered(REFUSED)

    def half(self) -> tuple[str, str]:
        return self._answered(HALF)

    def _answered(self, how: str) -> tuple[str, str]:
        trial = self.trial()
        trial.struck(Strikes(self.change, how))
        return trial.end(self.expected, self.booted), "the agent"


Fault = Callable[[Point], tuple[str, str]]
FAULTS: dict[str, Fault] = {
    "agent killed": Point.resumed,
    "agent killed, nobody comes": Point.left_alone,
    "agent killed twice": Point.gone_again,
    "power cut": Point.booted_once,
    "power cut twice": Point.booted_twice,
    "change refused": Point.refused,
    "change half made": Point.half,
}
OF_CHANGES = ("change refused", "change half made")


def points(model: str, number: int, folder: Path, many: int) -> Iterator[tuple[str, Point]]:
    """The first so many points of a seed; their names say which they are."""
    found = 0
    for batch in itertools.count(number):
        for at, draw in enumerate(drawn(MODELS[model], batch)):
            if found == many:
                return
            point = Point(model, folder / f"{model}-{number}", draw, random.Random(f"{batch} {at} {model}"))
            if point.worth:
                found += 1
                yield f"{model}/{number}/{found}", point


def strike(name: str, point: Point, fault: str) -> Row:
    """One fault at one point."""
    began = time.monotonic()
    at, how = (point.change, "at") if fault in OF_CHANGES else (point.at, point.side)
    then = ""
    try:
        end, then = FAULTS[fault](point)
    except Exception as error:  # noqa: BLE001 - it is a row like any other
        end = f"{type(error).__name__}: {error}"
    ok = end in (CONFIGURED, AS_BEFORE)
    taken = time.monotonic() - began
    where = point.name(at, how) if at else "no change"
    return Row("models", point.model, fault, where, then, end, ok, taken, f"{name}/{fault}")


def rows(model: str, number: int, folder: Path, many: int = POINTS, only: str = "") -> Iterator[Row]:
    """Every fault at every point. only: one row's name."""
    for name, point in points(model, number, folder, many):
        for fault in FAULTS:
            if (fault in OF_CHANGES and not point.change) or (only and not fnmatch(f"{name}/{fault}", only)):
                continue
            point.chance = random.Random(f"{name} {fault}")
            yield strike(name, point, fault)


__all__ = ["FAULTS", "MODELS", "POINTS", "points", "rows", "strike"]
