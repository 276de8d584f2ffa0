# SPDX-License-Identifier: Apache-2.0
"""What of a changed engine file a running engine can take over: contact plans, and addresses of UDP lanes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional

from .config_model import Address, EngineConfig

if TYPE_CHECKING:
    from .contact import Contact


@dataclass(frozen=True)
class Changes:
    """The difference of two engine files. `restart`: the fields that wait for a restart; `after`: the rest applied."""

    moves: tuple[tuple[int, Address], ...]
    contact: tuple[tuple[str, Optional[Contact]], ...]
    restart: tuple[str, ...]
    after: EngineConfig


def changes(before: EngineConfig, wanted: EngineConfig) -> Changes:
    """What it takes to make an engine of `before` one of `wanted`."""
    restart = [
        name
        for name in ("node", "user", "identity", "counter", "roster", "socket", "metrics_listen", "limits")
        if getattr(before, name) != getattr(wanted, name)
    ]
    links, contact = dict(before.links), []
    if set(before.links) != set(wanted.links):
        restart.append("links")
    for name in sorted(set(before.links) & set(wanted.links)):
        link, new = before.links[name], wanted.links[name]
        if replace(link, contact=None) != replace(new, contact=None):
            restart.append(f"links.{name}")
        if link.contact != new.contact:
            contact.append((name, new.contact))
            links[name] = replace(link, contact=new.contact)
    lanes, moves = list(before.lanes), []
    if len(before.lanes) != len(wanted.lanes):
        restart.append("lanes")
    else:
        for index, (lane, other) in enumerate(zip(before.lanes, wanted.lanes)):
            if lane == other:
                continue
            udp = lane.address.udp is not None and other.address.udp is not None
            if udp and replace(lane, address=other.address) == other:
                moves.append((lane.lane, other.address))
                lanes[index] = other
            else:
                restart.append(f"lanes[{index}]")
    after = replace(before, links=links, lanes=tuple(lanes))
    return Changes(tuple(moves), tuple(contact), tuple(restart), after)
