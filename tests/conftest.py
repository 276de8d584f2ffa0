# SPDX-License-Identifier: Apache-2.0
"""What every tier shares: the folder of a test is its tier, and a test that needs root says so where there is none."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tether_hw.lab.vm import build
from tether_hw.lab.vmlab import TOOLS, TUN

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
VM_TOOLS = {**TOOLS, **build.TOOLS}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder not in TIER_OF_FOLDER:
            raise pytest.UsageError(f"{item.path}: tests/{folder} is no tier; there are {', '.join(TIER_OF_FOLDER)}")
        item.add_marker(TIER_OF_FOLDER[folder])


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("vm"):
        absent = sorted({package for tool, package in VM_TOOLS.items() if shutil.which(tool) is None})
        if absent or os.geteuid() != 0 or not TUN.exists():
            pytest.skip(f"needs root, {TUN} and {' '.join(absent) or 'qemu'} (make setup)")
    if item.get_closest_marker("netns") and not (sys.platform == "linux" and os.geteuid() == 0):
        pytest.skip("needs root on Linux")


@pytest.fixture(scope="session")
def root_folder() -> Path:
    """The root of the checkout."""
    return ROOT
