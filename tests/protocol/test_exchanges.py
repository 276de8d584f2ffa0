# SPDX-License-Identifier: Apache-2.0
"""Every exchange of cases/exchanges with the C core and the reference at either end, in virtual time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.exchange import Exchange

CASES = Path(__file__).resolve().parent / "cases" / "exchanges"
PAIRS = [("core", "core"), ("core", "reference"), ("reference", "core"), ("reference", "reference")]


def cases() -> list[Any]:
    found = []
    for path in sorted(CASES.glob("*.json")):
        case = json.loads(path.read_text())
        for pair in PAIRS:
            mark = pytest.mark.proves(*case["proves"])
            found.append(pytest.param(case, pair, id=f"{path.stem}-{pair[0]}-{pair[1]}", marks=mark))
    return found


@pytest.mark.parametrize(("case", "pair"), cases())
def test_exchange(case: dict[str, Any], pair: tuple[str, str]) -> None:
    Exchange(case, pair).run()
