# SPDX-License-Identifier: Apache-2.0
"""Flow director filters of one function, as ethtool's flow classification reaches them."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from tests.drivers.common.ntuple import ONES, ZEROS, Classifier, Flow
from tests.drivers.common.rules import Refused, bite

SIZE = 14336  # entries of the table that an E810 function of two shows


@dataclass
class Table(Classifier):
    """The filters of one function. `ether`: the driver knows flow-type ether (Linux 6.10, or 1.15.4 out of tree)."""

    size: int = SIZE
    on: bool = True
    ether: bool = True

    @property
    def shows_vlan(self) -> bool:
        return False

    def switch(self, on: bool) -> None:
        """ethtool -K ntuple: turning it off takes every filter away."""
        if self.on and not on and self.flows:
            bite("ntuple-off-wipes")
            self.flows.clear()
        self.on = on

    def add(self, flow: Flow, queues: int) -> None:
        """Insert or replace at its location."""
        if not self.on:
            raise Refused("ntuple-off", errno.EOPNOTSUPP)
        self._fields(flow)
        others = [old for old in self.flows.values() if old.kind == flow.kind]
        if any(old.input_set != flow.input_set for old in others):
            self.log("Failed to add filter. Flow director filters on each port must have the same input set.")
            raise Refused("ntuple-one-input-set", errno.EINVAL)
        if flow.location >= self.size or (flow.location not in self.flows and len(self.flows) >= self.size):
            self.log("Failed to add filter.  The maximum number of flow director filters has been reached.")
            raise Refused("ntuple-full", errno.ENOSPC)
        if flow.queue > 0 and flow.queue >> 32:
            self.log("Failed to add filter. Flow director filters are not supported on VF queues.")
            raise Refused("ntuple-vf-queue", errno.EINVAL)
        if flow.queue >= queues:
            raise Refused("ntuple-queue-range", errno.EINVAL)
        for old in others:
            if old.same(flow) and (old.location != flow.location or old.queue == flow.queue):
                raise Refused("ntuple-duplicate", errno.EINVAL)
        self.flows[flow.location] = flow

    def _fields(self, flow: Flow) -> None:
        if flow.kind != "ether":
            return
        if not self.ether:
            raise Refused("ntuple-no-ether", errno.EOPNOTSUPP)
        if flow.protocol[1] not in (0, 0xFFFF):
            self.log("Only 0x0000 or 0xffff proto mask is allowed for flow-type ether")
            raise Refused("ntuple-masks", errno.EOPNOTSUPP)
        if any(mask not in (ONES, ZEROS) for _, mask in (flow.source, flow.destination)):
            self.log(
                "Only 00:00:00:00:00:00 or ff:ff:ff:ff:ff:ff MAC address mask is allowed for flow-type ether",
            )
            raise Refused("ntuple-masks", errno.EOPNOTSUPP)
        if flow.protocol[1] and flow.vlan[1] and not flow.vlan_type[1]:
            self.log("Filter with proto and vlan require also vlan-etype")
            raise Refused("ntuple-vlan-etype", errno.EINVAL)
        if flow.vlan[1] and flow.vlan[0] >= 4096:
            raise Refused("ntuple-vlan-etype", errno.EINVAL)
        if flow.vlan[1] not in (0, 0xFFFF) or flow.vlan_type[1] not in (0, 0xFFFF):
            raise Refused("ntuple-vlan-mask", errno.EOPNOTSUPP)

    def delete(self, location: int) -> None:
        """Take one away."""
        if not self.on:
            raise Refused("ntuple-off", errno.EOPNOTSUPP)
        if location not in self.flows:
            raise Refused("ntuple-nothing-there", errno.ENOENT)
        del self.flows[location]
