# SPDX-License-Identifier: Apache-2.0
"""Rules that mlx5 takes: ethtool's, and tc's on the uplink and its representors."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from tests.drivers.common.netdev import GOTO, QUEUE, REDIRECT, Filter, NetDev
from tests.drivers.common.ntuple import ZEROS, Classifier, Flow
from tests.drivers.common.rules import Refused

SIZE = 1024
VLAN_ID = 0x0FFF


@dataclass
class Table(Classifier):
    """The filters of one function. It does not matter to them whether ntuple is on."""

    size: int = SIZE
    on: bool = False

    def add(self, flow: Flow, queues: int) -> None:
        """Insert or replace at its location."""
        if flow.location >= self.size:
            raise Refused("ntuple-full", errno.ENOSPC)
        if flow.queue > 0 and flow.queue >> 32:
            raise Refused("ntuple-vf-queue", errno.EINVAL)
        if flow.queue >= queues:
            raise Refused("ntuple-queue-range", errno.EINVAL)
        if flow.vlan_type[1] or flow.vlan[1] not in (0, VLAN_ID) or flow.vlan[0] > VLAN_ID:
            raise Refused("ntuple-vlan", errno.EINVAL)
        masks = (flow.source[1], flow.destination[1])
        if flow.kind == "ether" and not flow.protocol[1] and masks == (ZEROS, ZEROS):
            raise Refused("ntuple-no-keys", errno.EINVAL)
        if any(_match(old) == _match(flow) for old in self.flows.values() if old.location != flow.location):
            raise Refused("ntuple-duplicate", errno.EEXIST)
        self.flows[flow.location] = flow

    def delete(self, location: int) -> None:
        """Take one away."""
        if location not in self.flows:
            raise Refused("ntuple-nothing-there", errno.ENOENT)
        del self.flows[location]


def _match(flow: Flow) -> tuple[object, ...]:
    return (flow.kind, flow.source, flow.destination, flow.protocol, flow.vlan, flow.other)


def offload_on(device: NetDev, new: Filter, switchdev: bool, ours: set[int]) -> None:
    """mlx5e_configure_flower and below. ours: ids of the devices of the same switch."""
    if not device.feature("hw-tc-offload"):
        raise Refused("flower-offload-off", errno.EOPNOTSUPP, "TC offload is disabled on net device")
    if new.action == QUEUE:
        raise Refused("flower-queue-action", errno.EOPNOTSUPP, "mlx5_core: The offload action is not supported")
    if not switchdev and (new.action == REDIRECT or new.mirrors):
        raise Refused("flower-legacy-redirect", errno.EOPNOTSUPP, "mlx5_core: The offload action is not supported")
    for target in (*new.mirrors, *([new.target] if new.action == REDIRECT else [])):
        if id(target) not in ours:
            words = "mlx5_core: devices are not on same switch HW, can't offload forwarding"
            raise Refused("flower-foreign-target", errno.EOPNOTSUPP, words)
    if new.action == GOTO and (new.goto or 0) <= new.chain:
        raise Refused("flower-goto-back", errno.EOPNOTSUPP, "mlx5_core: Goto lower numbered chain isn't supported")
