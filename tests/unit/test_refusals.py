# SPDX-License-Identifier: Apache-2.0
"""The list of what drivers refuse is whole: each entry has its cases, each driver its own, the page is up to date."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools import refusals

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.unit


def test_every_refusal_has_its_case() -> None:
    found = refusals.scan()
    assert found.errors == []
    assert len(found.entries) >= 50
    assert (ROOT / refusals.PAGE).read_text(encoding="utf-8") == refusals.page(found), "run: python3 tools/refusals.py"


def test_gaps_are_seen(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests/cases", tmp_path / "tests/cases", ignore=shutil.ignore_patterns("*.py", "e810"))
    (tmp_path / "tests/cases/cx7-netdevsim-remove.yaml").unlink()
    (tmp_path / refusals.LIST).write_text(
        "- {line: 1, what: one, refused: [cx7-mlx5-first, no-such]}\n"
        "- {line: 2, what: two, ordered: [cx7-mlx5-psid, cx7-mlx5-second]}\n"
        "- {line: 3, what: nothing}\n"
    )
    errors = "\n".join(refusals.scan(tmp_path).errors)
    assert "cx7-mlx5-first is not refused" in errors
    assert "there is no case no-such" in errors
    assert "cx7-mlx5-psid is refused" in errors
    assert "cx7-mlx5-second is" not in errors
    assert "line 3: nothing: expected" in errors
    assert "netdevsim has no case cx7-netdevsim-remove" in errors
    assert "cx7-mlx5-no-cls-act refuses something" in errors
