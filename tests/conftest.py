# SPDX-License-Identifier: Apache-2.0
"""What every tier shares: the folder of a test is its tier, and a test that needs root says so where there is none."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
TIER_OF_FOLDER = {
    "unit": "unit",
    "protocol": "unit",
    "cases": "cases",
    "drivers": "drivers",
    "netns": "netns",
    "vm": "vm",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder not in TIER_OF_FOLDER:
            raise pytest.UsageError(f"{item.path}: tests/{folder} is no tier; there are {', '.join(TIER_OF_FOLDER)}")
        item.add_marker(TIER_OF_FOLDER[folder])


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("vm"):
        missing = [name for name in ("qemu-system-x86_64", "qemu-img", "mmdebstrap") if shutil.which(name) is None]
        if missing or os.geteuid() != 0 or not Path("/dev/net/tun").exists():
            pytest.skip(f"needs root, /dev/net/tun and {', '.join(missing) or 'qemu'}")
    if item.get_closest_marker("netns") and not (sys.platform == "linux" and os.geteuid() == 0):
        pytest.skip("needs root on Linux")


@pytest.fixture(scope="session")
def root_folder() -> Path:
    """The root of the checkout."""
    return ROOT
