# SPDX-License-Identifier: Apache-2.0
"""ip of iproute2, as far as links and the VFs of a physical function go."""

from __future__ import annotations

import json
from typing import Any

from tests.drivers.common.machine import Done
from tests.drivers.common.netdev import UPLINK, NetDev
from tests.drivers.common.programs import others
from tests.drivers.common.rules import Refused
from tests.drivers.mlx5.card import SWITCHDEV, Function
from tests.drivers.mlx5.virtual import MBIT, Target

RATES = {"max_tx_rate": "tx_max", "min_tx_rate": "tx_share"}


def main(machine: Any, words: list[str], stdin: str) -> Done:
    """ip link set dev PF vf N ...; ip -j link show dev NAME; the rest as everywhere."""
    plain = [word for word in words if word != "dev" and not word.startswith("-")]
    device = machine.device(plain[2]) if len(plain) > 2 else None
    if plain[:2] == ["link", "set"] and plain[3:4] == ["vf"] and device is not None:
        return _set(machine, device, plain[4:])
    if plain[:2] == ["link", "show"] and device is not None:
        return Done(0, json.dumps([shown(machine, device)]) + "\n")
    return others.ip(machine, words, stdin)


def _set(machine: Any, device: NetDev, words: list[str]) -> Done:
    function: Function | None = machine.function_of(device)
    if function is None or device.kind != UPLINK:
        return Done(2, "", "RTNETLINK answers: Operation not supported\n")
    try:
        _change(function, words)
    except Refused as refused:
        return Done(2, "", f"RTNETLINK answers: {refused.answer}\n")
    return Done(0)


def _change(function: Function, words: list[str]) -> None:
    if function.mode == SWITCHDEV:
        raise Refused("vf-address-by-netdev", 95)
    if int(words[0]) >= function.vfs:
        raise Refused("port-missing", 22)
    function.check_virtual()
    target: Target = function.virtuals[int(words[0])]
    values = dict(zip(words[1::2], words[2::2], strict=True))
    for word, value in values.items():
        if word == "mac":
            target.set_address(value)
    for word, name in RATES.items():
        if word in values:
            target.set_rate(name, int(values[word]) * MBIT, function.link)


def shown(machine: Any, device: NetDev) -> dict[str, Any]:
    """One link, with its VFs where it has any."""
    flags = ["BROADCAST", "MULTICAST", *(["UP", "LOWER_UP"] if device.up else [])]
    link: dict[str, Any] = {"ifname": device.name, "flags": flags, "mtu": device.mtu, "address": device.mac}
    function: Function | None = machine.function_of(device)
    if function is not None and device.kind == UPLINK and function.virtuals and function.tells_virtual:
        link["vfinfo_list"] = [
            {
                "vf": vf.number,
                "link_type": "ether",
                "address": vf.address,
                "broadcast": "ff:ff:ff:ff:ff:ff",
                "vlan_list": [{}],
                "rate": {"max_tx": vf.tx_max // MBIT, "min_tx": vf.tx_share // MBIT},
                "spoofchk": False,
                "link_state": "auto",
                "trust": False,
                "query_rss_en": False,
            }
            for vf in function.virtuals
        ]
    return link
