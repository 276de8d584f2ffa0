# SPDX-License-Identifier: Apache-2.0
"""Ports of devlink: which there are, what they are told, and subfunctions as they come and go."""

from __future__ import annotations

import errno
from typing import Any

from tests.drivers.common.netdev import VIRTUAL, NetDev
from tests.drivers.common.rules import Refused, bite
from tests.drivers.mlx5.card import SWITCHDEV, Function
from tests.drivers.mlx5.virtual import NO_ADDRESS, Sf, Target, Vf

SF_BASE, UPLINK_INDEX = 0x8000, 0xFFFF
NEW = {"flavour", "pfnum", "sfnum", "controller"}


def index(function: Function, target: Target) -> int:
    """The port's index: the function's part, then its virtual port."""
    low = SF_BASE + target.index if isinstance(target, Sf) else target.number + 1
    return (function.port << 16) + low


def targets(function: Function) -> dict[int, Target]:
    """By index; there are none outside switchdev mode."""
    if function.mode != SWITCHDEV or function.reload_failed:
        return {}
    shown: list[Target] = [vf for vf in function.virtuals if vf.representor is not None]
    return {index(function, one): one for one in [*shown, *function.sfs.values()]}


def target(function: Function, number: int) -> Target:
    """Raises Refused where there is no such port."""
    found = targets(function).get(number)
    if found is None and function.mode != SWITCHDEV and number in [index(function, vf) for vf in function.virtuals]:
        raise Refused("vf-legacy-address-by-port", errno.ENODEV)
    if found is None:
        raise Refused("port-missing", errno.ENODEV)
    return found


def add(function: Function, words: dict[str, str], with_index: bool) -> int:
    """devlink port add ... flavour pcisf; gives the new port's index."""
    function.bound()
    if not function.machine.sf_built:
        raise Refused("sf-not-built", errno.EOPNOTSUPP)
    if function.mode != SWITCHDEV:
        text = "mlx5_core: SF ports are only supported in eswitch switchdev mode"
        raise Refused("sf-in-legacy", errno.EOPNOTSUPP, text)
    if with_index:
        text = "mlx5_core: Driver does not support user defined port index assignment"
        raise Refused("sf-port-index", errno.EOPNOTSUPP, text)
    if "sfnum" not in words:
        text = "mlx5_core: User must provide unique sfnum. Driver does not support auto assignment"
        raise Refused("sf-no-number", errno.EOPNOTSUPP, text)
    if words.get("controller", "0") != "0":
        raise Refused("sf-controller", errno.EOPNOTSUPP, "mlx5_core: External controller is unsupported")
    if int(words.get("pfnum", "0")) != function.number:
        raise Refused("sf-pfnum", errno.EOPNOTSUPP, "mlx5_core: Invalid pfnum supplied")
    number = int(words["sfnum"])
    if number in function.sfs:
        text = "mlx5_core: SF already exist. Choose different sfnum"
        raise Refused("sf-exists", errno.EEXIST, text)
    if len(function.sfs) >= function.card.firmware.total_sfs(function.port):
        raise Refused("sf-none-left", errno.ENOSPC)
    taken = {sf.index for sf in function.sfs.values()}
    eth = function.machine.sf_eth
    sf = Sf(number, eth=eth, eth_next=eth, index=next(at for at in range(len(taken) + 1) if at not in taken))
    mac = f"{function.mac[:-5]}{0x30 + function.port:02x}:{sf.index:02x}"
    sf.representor = function.represent(mac, None, number)
    function.sfs[number] = sf
    return index(function, sf)


def remove(function: Function, number: int) -> None:
    """devlink port del."""
    found = target(function, number)
    if not isinstance(found, Sf):
        raise Refused("port-missing", errno.EOPNOTSUPP)
    set_state(function, found, active=False)
    if found.representor is not None:
        function.machine.unplug(found.representor)
    del function.sfs[found.number]


def set_state(function: Function, sf: Sf, active: bool) -> None:
    """devlink port function set ... state."""
    if active and not sf.active:
        sf.active = True
        function.machine.later("sf-attach-late", _Attach(function, sf).attach)
    elif not active:
        if sf.device is not None:
            function.machine.unplug(sf.device)
        sf.active, sf.attached, sf.device, sf.found = False, False, None, None


def attached(function: Function) -> list[Sf]:
    """Those that a driver has."""
    return [sf for sf in function.sfs.values() if sf.attached]


def auxiliary(function: Function, sf: Sf) -> str:
    """The name of its device: the number in it is nobody's."""
    return f"mlx5_core.sf.{2 + sf.index + function.port * 64}"


def by_device(functions: list[Function], handle: str) -> tuple[Function, Sf] | None:
    """The one that devlink calls auxiliary/NAME."""
    for function in functions:
        for sf in attached(function):
            if f"auxiliary/{auxiliary(function, sf)}" == handle:
                return function, sf
    return None


def reload(function: Function, sf: Sf) -> None:
    """devlink dev reload auxiliary/NAME: its driver starts anew."""
    if sf.device is not None:
        function.machine.unplug(sf.device)
    sf.attached, sf.device, sf.found, sf.eth = False, None, None, sf.eth_next
    function.machine.later("sf-attach-late", _Attach(function, sf).attach)


class _Attach:
    """The driver of an SF takes it, and reads its address once."""

    def __init__(self, function: Function, sf: Sf) -> None:
        self.function, self.sf = function, sf

    def attach(self) -> None:
        function, sf = self.function, self.sf
        if not sf.active or function.sfs.get(sf.number) is not sf:
            return
        own = f"{function.mac[:-5]}{0x40 + function.port:02x}:{sf.index:02x}"
        sf.attached, sf.found = True, sf.address if sf.address != NO_ADDRESS else own
        if not sf.eth:
            bite("sf-without-netdev")
            return
        sf.device = NetDev(function.machine.free_name("eth"), VIRTUAL, sf.found, None, None, sf.number)
        function.machine.plug(sf.device)


def set_address(function: Function, found: Target, address: str) -> None:
    """devlink port function set ... hw_addr."""
    found.set_address(address)
    if found.found is not None and found.found != found.address:
        if isinstance(found, Sf):
            bite("sf-probed-before")
        else:
            bite("vf-probed-before")


def set_rates(function: Function, found: Target, wanted: dict[str, int]) -> None:
    """devlink port function rate set: tx_share before tx_max, whatever their order was."""
    done = False
    for name in ("tx_share", "tx_max"):
        if name in wanted:
            try:
                found.set_rate(name, wanted[name], function.link)
            except Refused:
                if done:
                    bite("rate-half")
                raise
            done = True


def shown(function: Function) -> dict[str, Any]:
    """devlink -j port show, of one function."""
    ports: dict[str, Any] = {}
    if function.device is not None and not function.reload_failed:
        ports[f"{function.handle}/{(function.port << 16) + UPLINK_INDEX}"] = {
            "type": "eth",
            "netdev": function.device.name,
            "flavour": "physical",
            "port": function.port,
            "splittable": False,
        }
    for number, more in function.more_ports().items():
        ports[f"{function.handle}/{number}"] = more
    for number, one in targets(function).items():
        assert one.representor is not None
        entry: dict[str, Any] = {"type": "eth", "netdev": one.representor.name}
        entry["flavour"] = "pcivf" if isinstance(one, Vf) else "pcisf"
        controller = function.controller_of(one)
        entry |= {"controller": controller, "pfnum": function.number}
        entry["vfnum" if isinstance(one, Vf) else "sfnum"] = one.number
        entry |= {"external": bool(controller), "splittable": False}
        entry["function"] = {"hw_addr": one.address}
        if isinstance(one, Sf):
            entry["function"]["state"] = "active" if one.active else "inactive"
            entry["function"]["opstate"] = "attached" if one.attached else "detached"
        else:
            entry["function"]["roce"] = "enable"
        ports[f"{function.handle}/{number}"] = entry
    return ports
