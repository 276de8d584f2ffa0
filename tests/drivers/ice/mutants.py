# SPDX-License-Identifier: Apache-2.0
"""Mutants on machines with E810 cards."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.drivers.common import mutants
from tests.drivers.common.mutants import Pairs, unpatched
from tests.drivers.ice.draws import Begin, Want, Wish

__all__ = ["Mutant", "Pairs", "port", "unpatched"]


@dataclass(frozen=True)
class Mutant(mutants.Mutant):
    """One of them; the machine that it begins with."""

    begin: Begin = field(default_factory=Begin)


def port(want: Want, other: Want | None = None) -> Wish:
    return Wish((want, other))
