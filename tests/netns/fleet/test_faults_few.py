# SPDX-License-Identifier: Apache-2.0
"""A few of the rows of `make faults` on hosts, chosen by a seed: every one ends as the run wanted it or as before."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from tests.faults import fleets
from tests.faults.rows import Row
from tests.support.fleets import Fleet
from tether_hw.plan.facts import Facts

SEED = 1  # the same each time: what they take of the tier's minutes is known
#: The faults that tests/netns/fleet/test_faults.py has at every point already.
ELSEWHERE = ("controller killed", "SSH cut")


def few() -> list[fleets.Kind]:
    """One of each fault, and of each way to go on with it."""
    groups: dict[tuple[str, str], list[fleets.Kind]] = {}
    for kind in fleets.kinds():
        back = kind.point.startswith("taken back")
        if kind.fault not in ELSEWHERE and (back or kind.fault not in ("agent killed", "power cut")):
            groups.setdefault((kind.fault, kind.then), []).append(kind)
    chance = random.Random(SEED)
    return [chance.choice(group) for group in groups.values()]


def test_faults_at_a_few_points(
    fleet: Fleet, before: dict[str, Facts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TETHER_STATE", str(tmp_path / "another"))
    kinds, rows = few(), list[Row]()
    assert len(kinds) >= 10
    places = [fleets.place_on(fleet, host, tmp_path) for host in ("a", "b")]

    def work(number: int) -> None:
        for kind in kinds[number::2]:
            rows.append(fleets.strike(places[number], kind))

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
        assert not thread.is_alive()
    assert len(rows) == len(kinds)
    wrong = [f"{row.id}: {row.end}" for row in rows if not row.ok]
    assert not wrong, "\n".join(wrong)
