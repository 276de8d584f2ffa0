# SPDX-License-Identifier: Apache-2.0
"""The order of the steps of one host, the same for every NIC family."""

from __future__ import annotations

from typing import Iterable

from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.engine_service import EngineService
from tether_hw.plan.kinds.nic_driver import NicDriver
from tether_hw.plan.kinds.nic_eswitch import NicEswitch
from tether_hw.plan.kinds.nic_function import NicFunction
from tether_hw.plan.kinds.nic_host_vfs import NicHostVfs
from tether_hw.plan.kinds.nic_rules_flower import NicRulesFlower
from tether_hw.plan.kinds.nic_rules_ntuple import NicRulesNtuple
from tether_hw.plan.kinds.nic_rules_port import NicRulesPort
from tether_hw.plan.kinds.nic_sf import NicSf
from tether_hw.plan.kinds.nic_vf_binding import NicVfBinding
from tether_hw.plan.kinds.nic_vfs import NicVfs

#: Nothing of a NIC is changed under a running engine: drivers refuse queue counts and MTUs while an AF_XDP socket is
#: bound. The files are there before the engine starts. Undo runs the other way round, so stop and start are two steps
#: (a single restart, undone first, would start the engine with the files of the plan). For the same reason the driver
#: goes and comes in two steps, with the package between them: undone, the old file lies there before it loads again.
#: ice refuses a mode change while there are VFs and a queue count while there are rules; a change from one number of
#: VFs to another goes through none. So rules and VFs go first and come last. mlx5 changes its mode beside VFs that no
#: driver has; a driver takes a VF only when that has its address; and what the firmware starts with next is set when
#: nothing rests on it any more.
_PHASES = (
    "engine_service/stop",
    "engine_service/remove",
    "nic_rules_ntuple/off",
    "nic_rules_flower/off",
    "nic_rules_port/off",
    "nic_vf_binding/unbind",
    "nic_function/clear",
    "nic_sf/less",
    "nic_vfs/less",
    "nic_host_vfs/less",
    "nic_eswitch/legacy",
    "nic_nv",
    "host_reboot",
    "nic_reset",
    "nic_driver/unbind",
    "ddp_package",
    "nic_driver/bind",
    "nic_param",
    "nic_eswitch/switchdev",
    "nic_vfs/more",
    "nic_host_vfs/more",
    "nic_sf/more",
    "nic_function/set",
    "nic_vf_binding/bind",
    "nic_queues",
    "nic_ring",
    "nic_mtu",
    "nic_rules_ntuple/on",
    "nic_rules_port/on",
    "nic_rules_flower/on",
    "engine_config",
    "engine_roster",
    "engine_service/start",
)


def _name(data: StepData) -> str:
    if isinstance(data, (EngineService, NicDriver)):
        return f"{data.kind}/{data.action}"
    if isinstance(data, (NicRulesNtuple, NicRulesFlower)):
        return f"{data.kind}/{'on' if data.put else 'off'}"
    if isinstance(data, NicRulesPort):
        return f"{data.kind}/{'on' if data.rules else 'off'}"
    if isinstance(data, (NicVfs, NicHostVfs)):
        return f"{data.kind}/{'more' if data.count else 'less'}"
    if isinstance(data, NicVfBinding):
        return f"{data.kind}/{'bind' if data.bound else 'unbind'}"
    if isinstance(data, NicSf):
        return f"{data.kind}/{'more' if data.present else 'less'}"
    if isinstance(data, NicFunction):
        return f"{data.kind}/{'clear' if data.clears else 'set'}"
    if isinstance(data, NicEswitch):
        return f"{data.kind}/{data.mode}"
    return data.kind


def phase(data: StepData) -> int:
    """The phase of a step; a kind without one is a ValueError, so that a new kind must choose its place."""
    return _PHASES.index(_name(data))


def in_order(steps: Iterable[tuple[str | None, StepData]]) -> list[tuple[str | None, StepData]]:
    """The (NIC, data) pairs in the order in which they may run; within a phase by NIC, so that plans are stable."""
    return sorted(steps, key=lambda pair: (phase(pair[1]), pair[0] or ""))
