# SPDX-License-Identifier: Apache-2.0
"""What a host's engine shall be: its configuration file, its roster and its unit, from the inventory and few facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tether_hw.fleet.inventory import Inventory
from tether_hw.fleet.models import DEFAULT_MTU
from tether_hw.fleet.models import Link as LinkModel
from tether_hw.plan.lane import Lane
from tether_hw.plan.paths import HostPaths
from tether_hw.transport.config import (
    Address,
    ConfigError,
    Contact,
    EngineConfig,
    Limits,
    Link,
    Peer,
    Roster,
    RoundTrip,
    Window,
    changes,
    parse_engine,
    parse_roster,
)
from tether_hw.transport.config import Lane as EngineLane

DEFAULT_USER = "tether"
TO_BE_MADE = "to be made"


@dataclass(frozen=True)
class EngineIntent:
    """The documents of a host's engine. `unmade`: hosts whose key is to be made (such a roster does not travel)."""

    config: dict[str, Any]
    roster: dict[str, Any]
    lanes: tuple[Lane, ...]
    unmade: tuple[str, ...]


def engine_user(inventory: Inventory, name: str) -> str | None:
    """The system user of a host's engine; None: whoever logs in, for a host that lies in a folder."""
    host = inventory.hosts[name]
    return host.engine.user or (DEFAULT_USER if host.root == "/" else None)


def bound_lanes(
    inventory: Inventory, name: str, devices: Mapping[str, str], cpus: int, functions: Mapping[str, str]
) -> tuple[Lane, ...]:
    """The lanes of a host on its devices (NIC -> kernel name). cpus: how many the host has.

    functions: NIC -> its function, by which the device of a VF or SF is known.
    """
    wanted = inventory.hosts[name].engine.cpus
    lanes = []
    for lane in inventory.lanes[name]:
        cpu = lane.lane % cpus if wanted == "by-lane" else wanted[lane.lane] if wanted else None
        device = devices[lane.nic] if lane.on is None else f"{functions[lane.nic]}/{lane.on}"
        lanes.append(Lane(lane.lane, lane.nic, device, lane.queue, lane.link, lane.carrier, lane.address, cpu))
    return tuple(lanes)


def engine_intent(
    inventory: Inventory,
    name: str,
    devices: Mapping[str, str],
    paths: HostPaths,
    cpus: int,
    functions: Mapping[str, str],
) -> EngineIntent:
    """The engine that a host shall have. Raises ConfigError where the engine would not read its own files."""
    lanes = bound_lanes(inventory, name, devices, cpus, functions)
    config = _config(inventory, name, lanes, paths)
    roster, unmade = _roster(inventory, name)
    parsed = parse_engine(config, paths.engine_config)
    if not unmade:
        parse_roster(roster, paths.roster, parsed, inventory.keys.get(name, ()))
    return EngineIntent(config, roster, lanes, unmade)


def taken_over(before: Any, wanted: dict[str, Any], path: str) -> bool:
    """Whether a running engine whose file holds `before` takes over `wanted` without a restart."""
    try:
        found = changes(parse_engine(before, path), parse_engine(wanted, path))
    except ConfigError:
        return False
    return not found.restart


def _config(inventory: Inventory, name: str, lanes: tuple[Lane, ...], paths: HostPaths) -> dict[str, Any]:
    engine = inventory.hosts[name].engine
    links = {}
    for link in sorted({lane.link for lane in lanes}):
        model = inventory.links[link]
        links[link] = Link(
            mtu=DEFAULT_MTU if model.mtu is None else model.mtu,
            rate_bps=model.rate,
            rtt_ns=2 * model.latency,
            vlan=model.vlan,
            silence_ns=model.silence,
            delivers=model.delivers,
            contact=contact_of(model),
        )
    return EngineConfig(
        node=name,
        user=engine_user(inventory, name),
        identity=paths.identity,
        counter=paths.counter,
        roster=paths.roster,
        socket=paths.socket,
        links=links,
        lanes=tuple(
            EngineLane(
                lane.lane, lane.nic, lane.device, lane.queue, lane.link, lane.carrier, Address(**lane.address), lane.cpu
            )
            for lane in lanes
        ),
        limits=Limits(**engine.limits.model_dump()),
        metrics_listen=None if engine.metrics is None else engine.metrics.listen,
    ).to_json()


def contact_of(link: LinkModel) -> Contact | None:
    """The plan of contact as the engine's file has it: calendar time in ns, round trips instead of latencies."""
    if link.contact is None:
        return None
    return Contact(
        tuple(Window(window.start, window.length, window.every) for window in link.contact.windows),
        tuple(RoundTrip(entry.from_, 2 * entry.latency) for entry in link.contact.latency),
    )


def _roster(inventory: Inventory, name: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    peers = []
    unmade = []
    for peer, link in inventory.peers(name):
        keys = inventory.keys.get(peer)
        if keys is None:
            unmade.append(peer)
            keys = (TO_BE_MADE,)
        first = next((lane for lane in inventory.lanes[peer] if lane.link == link), None)
        if first is not None:
            peers.append(Peer(peer, keys, link, Address(**first.address), first.lane))
    return Roster(tuple(peers)).to_json(), tuple(sorted(set(unmade)))


__all__ = ["ConfigError", "EngineIntent", "bound_lanes", "engine_intent", "engine_user"]
