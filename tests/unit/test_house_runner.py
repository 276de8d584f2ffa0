# SPDX-License-Identifier: Apache-2.0
"""The runner's verdict, and what set-up says to somebody who may not install."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hostcode import ROOT
from tools.run_tests import Outcome, verdict

UNIT = Outcome("unit", passed=40, skipped=2)
NO_ROOT = Outcome("netns", missing="root")
ALL_SKIPPED = Outcome("netns", skipped=7)


@pytest.mark.parametrize(
    ("outcomes", "in_ci", "good"),
    [
        ([UNIT], False, True),
        ([UNIT], True, True),
        ([UNIT, NO_ROOT], False, True),
        ([UNIT, NO_ROOT], True, False),
        ([UNIT, ALL_SKIPPED], False, True),
        ([UNIT, ALL_SKIPPED], True, False),
        ([UNIT, Outcome("cases", passed=9, failed=1)], False, False),
        ([], False, False),
        ([NO_ROOT], False, False),
    ],
)
def test_verdict(outcomes: list[Outcome], in_ci: bool, good: bool) -> None:
    assert verdict(outcomes, in_ci)[1] is good


def test_every_tier_has_its_line_and_the_sum_comes_last() -> None:
    lines, _ = verdict([UNIT, Outcome("cases", passed=3, failed=1), NO_ROOT], in_ci=True)
    assert [line.split()[0] for line in lines[:-1]] == ["unit", "cases", "netns"]
    assert "needs root (a failure in CI)" in lines[2]
    assert lines[-1] == "43 passed, 1 failed, 2 skipped"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may read, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="tether-house-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="needs dpkg-query: set-up knows Debian's package names")
def test_set_up_names_what_is_missing_to_who_may_not_install(open_folder: Path) -> None:
    (open_folder / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "setup", open_folder / "tools" / "setup")
    programs = open_folder / "bin"
    programs.mkdir()
    for name in ("dirname", "dpkg-query", "gcc", "grep", "id", "make", "python3", "sort", "tr"):
        (programs / name).symlink_to(Path("/usr/bin") / name)
    command = ["/bin/sh", str(open_folder / "tools" / "setup"), "system"]
    nobody = 65534 if os.geteuid() == 0 else None
    result = subprocess.run(
        command, env={"PATH": str(programs)}, user=nobody, group=nobody, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 1
    missing = result.stderr.splitlines()[0].split(":")[-1].split()
    assert {"cmake", "ninja-build", "mmdebstrap"} <= set(missing)
    assert "build-essential" not in missing
    assert "apt-get install" in result.stderr.splitlines()[1]
