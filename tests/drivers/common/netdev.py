# SPDX-License-Identifier: Apache-2.0
"""Network devices of the model, and the rules that tc keeps on them."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.drivers.common.rules import Refused, bite

UPLINK, REPRESENTOR, VIRTUAL, OTHER = "uplink", "representor", "virtual", "other"
QUEUE, DROP, REDIRECT, GOTO = "queue", "drop", "redirect", "goto"


@dataclass
class NetDev:
    """One device. function: its PCI address, of a representor that of its physical function. vf, sf: its number."""

    name: str
    kind: str
    mac: str
    function: str | None = None
    vf: int | None = None
    sf: int | None = None
    mtu: int = 1500
    up: bool = False
    queues: int = 1
    queues_max: int = 1
    ring: dict[str, int] = field(default_factory=lambda: {"rx": 2048, "tx": 256})
    ring_max: dict[str, int] = field(default_factory=lambda: {"rx": 8160, "tx": 8160})
    features: dict[str, bool] = field(default_factory=lambda: {"hw-tc-offload": False})
    xdp: bool = False
    there: bool = True
    hook: bool = False
    filters: list[Filter] = field(default_factory=list)

    def feature(self, name: str) -> bool:
        return self.features.get(name, False)


@dataclass(frozen=True)
class Filter:
    """A filter. protocol: of the filter, 0x8100 for tagged frames. keys: name -> word, in tc's spelling.

    police: (bits per second, bytes of burst). kind: flower, or u32.
    """

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
    goto: int | None = None
    mirrors: tuple[NetDev, ...] = ()
    police: tuple[int, int] | None = None
    kind: str = "flower"

    @property
    def target_name(self) -> str:
        """What tc shows of the target."""
        assert self.target is not None
        return shown_name(self.target)


def shown_name(target: NetDev) -> str:
    """A star once the device is gone; the rule goes on saying in_hw."""
    if not target.there:
        bite("flower-target-gone")
        return "*"
    return target.name


#: What a driver says to a filter: None takes it into hardware, an error refuses it there.
Offload = Callable[[NetDev, Filter], None]


class Tc:
    """The kernel's part: hooks, prefs, handles, and what is tried in hardware.

    takes: whether the driver has anything that can be asked. u32_lies: of kernels whose u32 forgets that it must not
    run in software.
    """

    def __init__(self, offload: Offload, takes: bool = True, u32_lies: bool = False) -> None:
        self._offload = offload
        self._takes = takes
        self._u32_lies = u32_lies

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
            new = self._in_hardware(device, new)
        if there is not None:
            device.filters[device.filters.index(there)] = new
        else:
            device.filters.append(new)

    def _in_hardware(self, device: NetDev, new: Filter) -> Filter:
        try:
            if new.kind == "u32":
                raise Refused("u32-software", errno.EOPNOTSUPP)
            if not self._takes:
                raise Refused("flower-no-driver-code", errno.EOPNOTSUPP)
            self._offload(device, new)
            return replace(new, in_hw=True)
        except Refused:
            if new.kind == "u32" and new.skip_sw and self._u32_lies:
                bite("u32-lies")
                return new
            if new.skip_sw:
                raise
            bite("flower-software")
            return new

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
