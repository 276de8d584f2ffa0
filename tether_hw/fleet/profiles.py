# SPDX-License-Identifier: Apache-2.0
"""Reads the profiles of NIC families once, strictly."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from pydantic import ValidationError

from tether_hw.data import data_path
from tether_hw.errors import InputErrors, Problem
from tether_hw.fleet import source
from tether_hw.fleet.explain import explain
from tether_hw.nic.cx7.capability import Capabilities as Cx7Capabilities
from tether_hw.nic.e810.capability import Capabilities
from tether_hw.nic.generic.profile import Profile


class Profiles:
    """The profiles of the family `generic` by driver, and what the drivers of the other families can do.

    bluefield: what each side of a card can do while the Arm has the switch.
    """

    def __init__(
        self,
        by_driver: Mapping[str | None, Profile],
        e810: Capabilities,
        cx7: Mapping[str, Cx7Capabilities],
        bluefield: Mapping[str, Cx7Capabilities],
    ) -> None:
        self._by_driver = by_driver
        self.e810 = e810
        self.cx7 = cx7
        self.bluefield = bluefield

    def of(self, driver: str | None) -> Profile:
        """The profile of a driver; a device without one is loopback."""
        if driver is None:
            driver = "loopback"
        return self._by_driver.get(driver) or self._by_driver[None]

    def drivers(self) -> list[str]:
        """The drivers that have a profile."""
        return sorted(driver for driver in self._by_driver if driver is not None)


@lru_cache(maxsize=1)
def load() -> Profiles:
    """The profiles that ship with this suite. Raises InputErrors."""
    problems: list[Problem] = []
    found: dict[str | None, Profile] = {}
    for path in sorted((data_path("profiles") / "generic").glob("*.yaml")):
        tree = source.read(path, problems)
        try:
            profile = Profile.model_validate(tree.plain())
        except ValidationError as error:
            problems.extend(explain(error, tree, Profile))
            continue
        if profile.driver in found:
            problems.append(tree.find(("driver",)).problem("driver", f"{profile.driver} has a profile already"))
        found[profile.driver] = profile
    if None not in found:
        problems.append(Problem(str(data_path("profiles")), 0, 0, "", "there is no default profile"))
    e810 = _capabilities(problems)
    cx7 = {can.driver: can for can in _mlx5("cx7", problems).values()}
    bluefield = _mlx5("bluefield", problems)
    if problems or e810 is None:
        raise InputErrors(problems)
    return Profiles(found, e810, cx7, bluefield)


def _capabilities(problems: list[Problem]) -> Capabilities | None:
    tree = source.read(data_path("profiles") / "e810" / "ice.yaml", problems)
    try:
        return Capabilities.model_validate(tree.plain())
    except ValidationError as error:
        problems.extend(explain(error, tree, Capabilities))
        return None


def _mlx5(family: str, problems: list[Problem]) -> dict[str, Cx7Capabilities]:
    """File name without its ending -> what it says."""
    found = {}
    for path in sorted((data_path("profiles") / family).glob("*.yaml")):
        tree = source.read(path, problems)
        try:
            found[path.stem] = Cx7Capabilities.model_validate(tree.plain())
        except ValidationError as error:
            problems.extend(explain(error, tree, Cx7Capabilities))
    return found
