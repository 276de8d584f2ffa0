# SPDX-License-Identifier: Apache-2.0
"""The order of the steps of one host, the same for every NIC family."""

from __future__ import annotations

from typing import Iterable

from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.engine_service import EngineService

#: Nothing of a NIC is changed under a running engine: drivers refuse queue counts and MTUs while an AF_XDP socket is
#: bound. The files are there before the engine starts. Undo runs the other way round, so stop and start are two steps
#: (a single restart, undone first, would start the engine with the files of the plan).
_PHASES = {
    "engine_service/stop": 0,
    "engine_service/remove": 1,
    "nic_queues": 2,
    "nic_ring": 3,
    "nic_mtu": 4,
    "engine_config": 5,
    "engine_roster": 6,
    "engine_service/start": 7,
}


def phase(data: StepData) -> int:
    """The phase of a step; a kind without one is a KeyError, so that a new kind must choose its place."""
    if isinstance(data, EngineService):
        return _PHASES[f"{data.kind}/{data.action}"]
    return _PHASES[data.kind]


def in_order(steps: Iterable[tuple[str | None, StepData]]) -> list[tuple[str | None, StepData]]:
    """The (NIC, data) pairs in the order in which they may run; within a phase by NIC, so that plans are stable."""
    return sorted(steps, key=lambda pair: (phase(pair[1]), pair[0] or ""))
