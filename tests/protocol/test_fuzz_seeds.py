# SPDX-License-Identifier: Apache-2.0
"""The seeds of the fuzz targets: what the tool makes, for every target, and few bytes."""

from __future__ import annotations

from pathlib import Path

from tools import fuzz_seeds

TARGETS = Path(__file__).resolve().parents[2] / "tether_hw" / "transport" / "core" / "fuzz"


def test_every_target_has_the_seeds_that_the_tool_makes() -> None:
    made = fuzz_seeds.seeds()
    assert set(made) == {path.stem for path in TARGETS.glob("*.c")}
    for target, files in made.items():
        found = {path.name: path.read_bytes() for path in (fuzz_seeds.SEEDS / target).iterdir()}
        assert files and {name: found.get(name) for name in files} == files


def test_the_corpus_is_small() -> None:
    files = [path for path in fuzz_seeds.SEEDS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 100_000
