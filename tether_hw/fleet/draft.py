# SPDX-License-Identifier: Apache-2.0
"""What a plan is made from beside inventory and facts, and one host while it is planned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tether_hw.fleet.packages import Packages
from tether_hw.fleet.profiles import Profiles
from tether_hw.plan.checks import Check
from tether_hw.plan.facts import Facts
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.paths import HostPaths

#: Paths, engine user, bundle digest, carriers -> text of the unit.
UnitWriter = Callable[[HostPaths, str, str, Iterable[str]], str]


@dataclass(frozen=True)
class BundleOffer:
    """What this suite can ship for one architecture."""

    digest: str
    carriers: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """What a plan depends on beside inventory and facts.

    forced: rules that hardware does not take are set all the same, for read-back to judge.
    """

    bundles: Mapping[str, BundleOffer]
    profiles: Profiles
    write_unit: UnitWriter
    suite: str
    made: str = ""
    recorded: bool = False
    packages: Packages = field(default_factory=Packages)
    forced: bool = False


@dataclass
class HostDraft:
    """One host being planned. `steered`: its NICs whose lanes have rules of the NIC.

    `beside`: the facts of the other hosts of the fleet; `resets`: cards that the plan of another host resets.
    """

    facts: Facts
    paths: HostPaths
    nic_steps: list[tuple[str | None, StepData]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    not_for_apply: list[str] = field(default_factory=list)
    steered: set[str] = field(default_factory=set)
    checks: list[Check] = field(default_factory=list)
    beside: Mapping[str, Facts] = field(default_factory=dict)
    resets: frozenset[str] = frozenset()

    @property
    def engine(self) -> dict[str, Any]:
        engine: dict[str, Any] = self.facts.config["engine"]
        return engine
