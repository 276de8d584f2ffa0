# SPDX-License-Identifier: Apache-2.0
"""The lanes of a fleet: which queue of which NIC, on which link, under which address. From the inventory alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tether_hw.fleet.models import Engine, Host
from tether_hw.nic.nic import Nic
from tether_hw.plan.lane import lane_mac


@dataclass(frozen=True)
class PlannedLane:
    """A lane before its device is bound: `address` is {"mac", "vlan"} or {"udp"}, as the engine's file has it.

    on: the VF or SF whose device it is (vf0); None: the NIC's own.
    """

    host: str
    lane: int
    nic: str
    queue: int
    link: str
    carrier: str
    address: dict[str, Any]
    on: str | None = None


def carrier_of(nic: Nic, engine: Engine) -> str:
    """The carrier of a NIC's lanes: its own, or the engine's."""
    return nic.own_carrier or engine.carrier


def udp_text(address: str, port: int) -> str:
    """ip:port, IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def lanes_of(name: str, host: Host, link_of: dict[str, str], vlans: dict[str, int | None]) -> list[PlannedLane]:
    """The lanes of one host, numbered over its NICs in the order of their names.

    link_of: NIC -> its link. NICs without a link have no lanes (the loader has complained about them).
    """
    lanes: list[PlannedLane] = []
    for nic_name in sorted(host.nics):
        nic = host.nics[nic_name]
        link = link_of.get(nic_name)
        if link is None:
            continue
        carrier = carrier_of(nic, host.engine)
        functions = nic.lane_functions()
        for index, queue in enumerate(nic.lane_queues()):
            number = len(lanes)
            address: dict[str, Any]
            if carrier == "udp":
                if nic.udp is None:
                    continue
                address = {"udp": udp_text(nic.udp.address, nic.udp.port + index)}
            else:
                address = {"mac": lane_mac(name, nic_name, number), "vlan": vlans.get(link)}
            on = functions[index] if functions else None
            lanes.append(PlannedLane(name, number, nic_name, queue, link, carrier, address, on))
    return lanes
