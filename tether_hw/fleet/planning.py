# SPDX-License-Identifier: Apache-2.0
"""What the planner is handed: this suite's bundles, profiles and templates."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tether_hw import __version__
from tether_hw.fleet import bundle, packages, profiles
from tether_hw.fleet.draft import BundleOffer, Setting
from tether_hw.fleet.render import engine_unit

if TYPE_CHECKING:
    from tether_hw.fleet.inventory import Inventory


def setting(inventory: Inventory, *, recorded: bool = False, forced: bool = False) -> Setting:
    """The setting of plans that are made now by this suite, with the files that the inventory refers to."""
    offers = {}
    for arch in bundle.ARCHITECTURES:
        if bundle.bundle_path(arch).exists():
            found = bundle.find(arch)
            offers[arch] = BundleOffer(found.digest, found.carriers)
    return Setting(
        bundles=offers,
        profiles=profiles.load(),
        write_unit=engine_unit,
        suite=__version__,
        made=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        recorded=recorded,
        packages=packages.load(inventory),
        forced=forced,
    )
