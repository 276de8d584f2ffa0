# SPDX-License-Identifier: Apache-2.0
"""All kinds of steps by their name. An unknown kind is an error, on the controller and on the host."""

from __future__ import annotations

from typing import Any

from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.ddp_package import DdpPackage
from tether_hw.plan.kinds.engine_config import EngineConfig
from tether_hw.plan.kinds.engine_roster import EngineRoster
from tether_hw.plan.kinds.engine_service import EngineService
from tether_hw.plan.kinds.host_reboot import HostReboot
from tether_hw.plan.kinds.nic_driver import NicDriver
from tether_hw.plan.kinds.nic_eswitch import NicEswitch
from tether_hw.plan.kinds.nic_function import NicFunction
from tether_hw.plan.kinds.nic_host_vfs import NicHostVfs
from tether_hw.plan.kinds.nic_mtu import NicMtu
from tether_hw.plan.kinds.nic_nv import NicNv
from tether_hw.plan.kinds.nic_param import NicParam
from tether_hw.plan.kinds.nic_queues import NicQueues
from tether_hw.plan.kinds.nic_reset import NicReset
from tether_hw.plan.kinds.nic_ring import NicRing
from tether_hw.plan.kinds.nic_rules_flower import NicRulesFlower
from tether_hw.plan.kinds.nic_rules_ntuple import NicRulesNtuple
from tether_hw.plan.kinds.nic_rules_port import NicRulesPort
from tether_hw.plan.kinds.nic_sf import NicSf
from tether_hw.plan.kinds.nic_vf_binding import NicVfBinding
from tether_hw.plan.kinds.nic_vfs import NicVfs
from tether_hw.plan.shape import ShapeError

_ALL: tuple[type[StepData], ...] = (
    NicQueues,
    NicRing,
    NicMtu,
    NicRulesNtuple,
    NicRulesFlower,
    NicRulesPort,
    NicVfs,
    NicEswitch,
    NicDriver,
    NicParam,
    NicFunction,
    NicSf,
    NicVfBinding,
    NicNv,
    NicReset,
    NicHostVfs,
    DdpPackage,
    HostReboot,
    EngineConfig,
    EngineRoster,
    EngineService,
)
KINDS: dict[str, type[StepData]] = {kind.kind: kind for kind in _ALL}


def parse_data(kind: str, value: Any, where: str = "data") -> StepData:
    """The typed data of a step of this kind; raises ShapeError."""
    if kind not in KINDS:
        raise ShapeError(where, f"unknown kind of step {kind!r}")
    return KINDS[kind].parse(value, where)
