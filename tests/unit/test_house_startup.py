# SPDX-License-Identifier: Apache-2.0
"""`tether --help` starts on the standard library alone: what is heavy is imported by the verb that needs it."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest

HEAVY_STANDARD = {"asyncio", "ctypes", "multiprocessing", "sqlite3", "unittest", "xml"}
RUN = "import sys\nfrom tether_hw.cli.main import main\nsys.argv = ['tether', *sys.argv[1:]]\nsys.exit(main())\n"


def imported_by(*words: str) -> tuple[int, set[str]]:
    """The exit code and every module that the interpreter reports as imported while `tether WORDS` runs."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", RUN, *words], capture_output=True, text=True, timeout=60
    )
    names = {match[1] for match in re.finditer(r"^import time:.*\|\s+([\w.]+)$", result.stderr, re.MULTILINE)}
    assert "tether_hw.cli.main" in names
    return result.returncode, names


@pytest.mark.parametrize("words", [["--help"], ["apply", "--help"], ["plan", "--help"], ["--no-such-option"]])
def test_help_imports_no_package_but_our_own(words: list[str]) -> None:
    code, names = imported_by(*words)
    assert code == (64 if words == ["--no-such-option"] else 0)
    packages = {name.split(".")[0] for name in names}
    assert packages & set(packages_distributions()) - {"tether_hw", "_distutils_hack"} == set()
    assert packages & HEAVY_STANDARD == set()
