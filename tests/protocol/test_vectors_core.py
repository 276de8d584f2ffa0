# SPDX-License-Identifier: Apache-2.0
"""The C core on the same vectors: every case that the Python reference passes, by name."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RUNNER = HERE.parents[1] / "build" / "native" / "tests" / "test_vectors"
NAMES = sorted(path.stem for path in (HERE / "vectors").glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_core_passes_every_case(name: str) -> None:
    assert RUNNER.exists(), f"{RUNNER} is not there: make build"
    run = subprocess.run(
        [str(RUNNER), str(HERE / "vectors" / f"{name}.txt")], capture_output=True, text=True, timeout=120, check=False
    )
    cases = json.loads((HERE / "vectors" / f"{name}.json").read_text(encoding="utf-8"))["cases"]
    expected = [f"ok {name} {case['case']}" for case in cases]
    assert [line for line in run.stdout.splitlines() if line.startswith(("ok ", "FAIL "))] == expected, run.stderr
    assert run.returncode == 0
