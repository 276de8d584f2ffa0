# SPDX-License-Identifier: Apache-2.0
"""Which files of the package travel to a host, as tools/bundle.py packs them."""

from __future__ import annotations

from pathlib import Path

from tether_hw.fleet import bundle_sources

ROOT = Path(__file__).resolve().parents[2]


def host_modules() -> list[Path]:
    """Every Python file of the package that a bundle carries."""
    return bundle_sources.host_modules()


def nic_host_module(path: Path) -> bool:
    """True for the readers of the NIC families and what only they use: the modules of nic/ that touch a machine."""
    return path in bundle_sources.nic_modules()
