# SPDX-License-Identifier: Apache-2.0
"""Network devices of the model, and the rules that tc keeps on them."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.drivers.ice.rules import Refused, bite

UPLINK, REPRESENTOR, OTHER = "uplink", "representor", "other"
QUEUE, DROP, REDIRECT = "queue", "drop", "redirect"


@dataclass
class NetDev:
    """One device. function: its PCI address, of a representor that of its physical function."""

    name: str
    kind: str
    mac: str
    function: str | None = None
    vf: int | None = None
    mtu: int = 1500
    up: bool = False
    queues: int = 1
    queues_max: int = 1
    ring: dict[str, int] = field(default_factory=lambda: {"rx": 2048, "tx": 256})
    features: dict[str, bool] = field(default_factory=lambda: {"hw-tc-offload": False})
    xdp: bool = False
    there: bool = True
    hook: bool = False
    filters: list[Filter] = field(default_factory=list)

    def feature(self, name: str) -> bool:
        return self.features.get(name, False)


@dataclass(frozen=True)
class Filter:
    """A flower filter. protocol: of the filter, 0x8100 for tagged frames. keys: name -> word, in tc's spelling."""

    pref: int
    handle: int
    protocol: int
    keys: dict[str, str]
    action: str
    queue: int | None = None
    target: NetDev | None = None
    chain: int = 0
    skip_sw: bool = False
    skip_hw: bool = False
    in_hw: bool = False

    @property
    def target_name(self) -> str:
        """What tc shows of the target: a star once it is gone, and goes on saying in_hw."""
        assert self.target is not None
        if not self.target.there:
            bite("flower-target-gone")
            return "*"
        return self.target.name


#: What a driver says to a filter: None takes it into hardware, an error refuses it there.
Offload = Callable[[NetDev, Filter], None]


def offload_on(device: NetDev, new: Filter, switchdev: bool, safe_mode: bool, lldp: bool, ours: set[int]) -> None:
    """ice_add_cls_flower and below. ours: ids of the devices of the same function."""
    if new.chain != 0:
        raise Refused("flower-chain", errno.EOPNOTSUPP)
    if lldp:
        raise Refused("flower-lldp-agent", errno.EINVAL)
    if not device.feature("hw-tc-offload"):
        words = "ice: can't apply TC flower filters, turn ON hw-tc-offload and try again"
        raise Refused("flower-offload-off", errno.EINVAL, words)
    if not new.keys and not new.protocol:
        raise Refused("flower-keys", errno.EINVAL)
    if safe_mode:
        words = "ice: Unable to add filter because driver is in safe mode"
        raise Refused("flower-safe-mode", errno.EOPNOTSUPP, words)
    if switchdev:
        if new.action == QUEUE:
            raise Refused("flower-switchdev-queue", errno.EINVAL, "ice: Unsupported action in switchdev mode")
        if new.action == REDIRECT and id(new.target) not in ours:
            words = "ice: Unsupported netdevice in switchdev mode"
            raise Refused("flower-foreign-target", errno.EINVAL, words)
    elif new.action == REDIRECT:
        raise Refused("flower-legacy-redirect", errno.EOPNOTSUPP, "ice: Unsupported TC action")


class Tc:
    """The kernel's part: hooks, prefs, handles, and what is tried in hardware."""

    def __init__(self, offload: Offload) -> None:
        self._offload = offload

    def add_hook(self, device: NetDev) -> None:
        if device.hook:
            raise Refused("clsact-exists", errno.EEXIST, "Exclusivity flag on, cannot modify")
        device.hook = True

    def del_hook(self, device: NetDev) -> None:
        if not device.hook:
            raise Refused("clsact-missing", errno.ENOENT, "Cannot find specified qdisc on specified device")
        device.hook = False
        device.filters.clear()

    def put(self, device: NetDev, new: Filter, replaces: bool) -> None:
        """tc filter add, or replace."""
        if not device.hook:
            raise Refused("filter-without-hook", errno.EINVAL, "Parent Qdisc doesn't exists")
        of_pref = [old for old in device.filters if (old.pref, old.chain) == (new.pref, new.chain)]
        if any(old.protocol != new.protocol for old in of_pref):
            words = "Filter with specified priority/protocol not found"
            raise Refused("pref-one-protocol", errno.EINVAL, words)
        there = next((old for old in of_pref if old.handle == new.handle), None) if new.handle else None
        if there is not None and not replaces:
            raise Refused("filter-exists", errno.EEXIST)
        if not new.handle:
            twin = any((old.keys, old.chain) == (new.keys, new.chain) for old in of_pref)
            if twin:
                raise Refused("filter-without-handle", errno.EEXIST)
            new = replace(new, handle=1 + max((old.handle for old in of_pref), default=0))
        elif any(old.keys == new.keys and old.handle != new.handle for old in of_pref):
            raise Refused("filter-exists", errno.EEXIST)
        if not new.skip_hw:
            try:
                self._offload(device, new)
                new = replace(new, in_hw=True)
            except Refused:
                if new.skip_sw:
                    raise
                bite("flower-software")
        if there is not None:
            device.filters[device.filters.index(there)] = new
        else:
            device.filters.append(new)

    def remove(self, device: NetDev, pref: int, handle: int | None, chain: int = 0) -> None:
        """tc filter del: one handle of a pref, or all of it."""
        if not device.hook:
            raise Refused("filter-without-hook", errno.EINVAL, "Parent Qdisc doesn't exists")
        of_pref = [old for old in device.filters if (old.pref, old.chain) == (pref, chain)]
        if not of_pref:
            words = "Filter with specified priority/protocol not found"
            raise Refused("filter-missing", errno.ENOENT, words)
        found = [old for old in of_pref if handle is None or old.handle == handle]
        if not found:
            raise Refused("filter-missing", errno.ENOENT)
        device.filters[:] = [old for old in device.filters if old not in found]
