# SPDX-License-Identifier: Apache-2.0
"""What must hold between the parts of an inventory: every link, NIC, lane and peer against the others."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from tether_hw.fleet.cards import check_cards
from tether_hw.fleet.contact_checks import check_contact
from tether_hw.fleet.explain import nearest
from tether_hw.fleet.inventory_bluefield import check_both_sides, check_sides, seated
from tether_hw.fleet.inventory_cx7 import check_cx7
from tether_hw.fleet.inventory_e810 import check_e810
from tether_hw.fleet.lanes import carrier_of
from tether_hw.fleet.models import DEFAULT_MTU, Host
from tether_hw.nic.generic.limits import XDP_MTU_MAX, smallest_mtu
from tether_hw.nic.nic import Nic
from tether_hw.plan.lane import MAX_LANES, address_text

if TYPE_CHECKING:
    from tether_hw.fleet.inventory import Inventory, Loader


def check(inventory: Inventory, loader: Loader) -> Inventory:
    """The inventory with its links' members resolved; mistakes go to the loader."""
    _jumps(inventory, loader)
    _addresses(inventory, loader)
    check_cards(loader, inventory.cards, {*inventory.hosts, *loader.host_trees})
    inventory = replace(inventory, hosts=seated(loader, inventory))
    members = _members(inventory, loader)
    inventory = replace(inventory, members=members)
    for name, host in inventory.hosts.items():
        for nic in host.nics:
            _nic(inventory, loader, name, nic)
        check_e810(loader, name, host)
        check_cx7(loader, name, host)
        check_sides(loader, name, host)
        _devices(loader, name, host)
        _engine(inventory, loader, name, host)
        _peers(inventory, loader, name, host)
    for link in inventory.links:
        _link(inventory, loader, link)
        check_contact(loader, link, inventory.links[link])
    check_both_sides(loader, inventory)
    _lane_addresses(inventory, loader)
    _noise(inventory, loader)
    _operators(inventory, loader)
    return inventory


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint with the nearest known name, or with all of them when they are few."""
    names = sorted(known)
    near = nearest(word, names)
    if near is not None:
        return f"did you mean {near!r}?"
    return f"there are {', '.join(names)}" if 0 < len(names) <= 8 else None


def _operators(inventory: Inventory, loader: Loader) -> None:
    keys = [line.split(" ")[1] for line in inventory.operators]
    for number, key in enumerate(keys):
        if key in keys[:number]:
            loader.problem(("operators", number), "is there twice")
    for name, host in inventory.hosts.items():
        if host.helper and host.root != "/":
            loader.problem(("hosts", name, "helper"), "a host below a folder has no helper", "leave out helper or root")
        elif host.helper and not inventory.operators:
            hint = "tether key operator --make FILE makes one and prints its public key"
            loader.problem(("hosts", name, "helper"), "the helper does what operators sign, and there are none", hint)


def _noise(inventory: Inventory, loader: Loader) -> None:
    known = {*loader.host_trees, *inventory.groups}
    for number, noise in enumerate(inventory.drift.ignore):
        for index, pattern in enumerate(noise.hosts):
            if not fnmatch.filter(known, pattern):
                where = ("drift", "ignore", number, "hosts", index)
                loader.problem(where, f"no host or group fits {pattern!r}", did_you_mean(pattern, known))


def _jumps(inventory: Inventory, loader: Loader) -> None:
    machines = {**inventory.jumps, **inventory.hosts}
    known = set(machines) | set(loader.host_trees)
    for name in set(inventory.jumps) & set(loader.host_trees):
        loader.problem(("jumps", name), "is also the name of a host", key=True)
    for kind, names in (("jumps", inventory.jumps), ("hosts", inventory.hosts)):
        for name in names:
            seen, here = [name], machines[name].jump
            while here is not None:
                if here not in known:
                    if len(seen) == 1:
                        loader.problem((kind, name, "jump"), f"unknown machine {here!r}", did_you_mean(here, known))
                    break
                if here in seen:
                    if here == name:
                        loader.problem((kind, name, "jump"), "goes in a circle: " + " -> ".join([*seen, here]))
                    break
                seen.append(here)
                here = machines[here].jump if here in machines else None


def _addresses(inventory: Inventory, loader: Loader) -> None:
    seen: dict[tuple[object, ...], str] = {}
    for name, host in inventory.hosts.items():
        first = seen.setdefault((host.address, host.port, host.jump), name)
        if first != name:
            loader.problem(
                ("hosts", name, "address"), f"is the address and port of {first} too", "a host is there once"
            )


def _members(inventory: Inventory, loader: Loader) -> dict[str, tuple[tuple[str, str], ...]]:
    taken: dict[tuple[str, str], str] = {}
    result = {}
    for link, model in inventory.links.items():
        members: list[tuple[str, str]] = []
        for number, text in enumerate(model.members):
            for pair in _member(inventory, loader, ("links", link, "members", number), text):
                first = taken.setdefault(pair, link)
                where = ("links", link, "members", number)
                if pair in members:
                    loader.problem(where, f"{'.'.join(pair)} is a member already")
                elif first != link:
                    loader.problem(where, f"{'.'.join(pair)} is on link {first} already", "a NIC is on one link")
                else:
                    members.append(pair)
        if not model.members:
            loader.problem(("links", link, "members"), "a link has members", "write host.nic")
        result[link] = tuple(members)
    return result


def _member(inventory: Inventory, loader: Loader, where: tuple[str | int, ...], text: str) -> list[tuple[str, str]]:
    name, dot, nic = text.partition(".")
    if name in inventory.groups and name in loader.host_trees:
        loader.problem(where, f"{name!r} is a host and a group")
        return []
    if name in inventory.groups:
        hosts = sorted(inventory.groups[name])
    elif name in loader.host_trees:
        hosts = [name]
    else:
        known = set(loader.host_trees) | set(inventory.groups)
        loader.problem(where, f"unknown host or group {name!r}", did_you_mean(name, known))
        return []
    pairs = []
    for host in hosts:
        if host not in inventory.hosts:
            continue  # it has its own mistakes
        nics = inventory.hosts[host].nics
        if not dot:
            laned = sorted(entry for entry, model in nics.items() if model.lanes is not None)
            if len(laned) != 1:
                loader.problem(where, f"{host} has {len(laned)} NICs with lanes", f"write {name}.NIC")
                continue
            pairs.append((host, laned[0]))
        elif nic not in nics:
            loader.problem(where, f"{host} has no NIC {nic!r}", did_you_mean(nic, nics))
        elif nics[nic].lanes is None:
            loader.problem(where, f"{host}.{nic} has no lanes", "give the NIC lanes: {queues: [...]}")
        else:
            pairs.append((host, nic))
    return pairs


def _nic(inventory: Inventory, loader: Loader, name: str, nic_name: str) -> None:
    host = inventory.hosts[name]
    nic = host.nics[nic_name]
    base = ("hosts", name, "nics", nic_name)
    carrier = carrier_of(nic, host.engine)
    if nic.lanes is not None:
        _lanes(loader, base, nic)
        for path, text, hint in nic.lane_problems():
            loader.problem((*base, *path), text, hint)
        _on_functions(loader, (*base, "lanes"), nic, carrier)
        if nic_name not in inventory.link_of[name]:
            links = did_you_mean("", inventory.links)
            loader.problem((*base, "lanes"), "the NIC has lanes and is on no link", links and f"links: {links[10:]}")
        if carrier == "udp" and nic.udp is None:
            loader.problem(base, "the carrier udp needs udp: {address, port}")
        if nic.lanes.by == "udp-port" and carrier != "udp":
            loader.problem(
                (*base, "lanes", "by"), f"udp-port does not go with the carrier {carrier}", "say carrier: udp"
            )
        if nic.lanes.by == "mac" and carrier == "udp":
            loader.problem((*base, "lanes", "by"), "mac does not go with the carrier udp", "say by: udp-port")
    if nic.udp is not None:
        if carrier != "udp":
            loader.problem((*base, "udp"), f"does not go with the carrier {carrier}", "say carrier: udp")
        elif nic.udp.port + len(nic.lane_queues()) - 1 > 65535:
            loader.problem((*base, "udp", "port"), f"{len(nic.lane_queues())} lanes from this port on pass 65535")
    if nic.mtu is not None and nic.lanes is not None:
        _mtu(loader, (*base, "mtu"), nic.mtu, carrier)


def _lanes(loader: Loader, base: tuple[str | int, ...], nic: Nic) -> None:
    assert nic.lanes is not None
    queues = nic.lanes.queues
    if queues is not None and not queues:
        loader.problem((*base, "lanes", "queues"), "names no queue", "leave lanes out for a NIC without lanes")
    for number, queue in enumerate(queues or []):
        where = (*base, "lanes", "queues", number)
        if queues is not None and queue in queues[:number]:
            loader.problem(where, f"queue {queue} is there twice")
        if nic.queues is not None and queue >= nic.queues:
            loader.problem(
                where, f"queue {queue} of a NIC with {nic.queues} queues", f"queues are 0 to {nic.queues - 1}"
            )


def _on_functions(loader: Loader, base: tuple[str | int, ...], nic: Nic, carrier: str) -> None:
    assert nic.lanes is not None
    functions = nic.lane_functions()
    if functions and carrier not in ("auto", "af_xdp"):
        loader.problem((*base, "on"), f"lanes on a VF or SF do not go with the carrier {carrier}", "say carrier: auto")
    if functions and nic.lanes.queues is not None:
        hint = "leave queues out, and name a function for each lane"
        loader.problem((*base, "queues"), "a function that carries a lane has its queue 0 for it", hint)
    if nic.lanes.by == "function" and not functions:
        loader.problem((*base, "by"), "function goes with lanes on a VF or SF only", "say on: vf 0")


def _mtu(loader: Loader, where: tuple[str | int, ...], mtu: int, carrier: str) -> None:
    least = smallest_mtu(carrier)
    if mtu < least:
        loader.problem(
            where,
            f"{mtu} bytes hold no block beside the header: a Hail takes {least}",
            f"at least {least}",
        )
    if carrier in ("auto", "af_xdp") and mtu > XDP_MTU_MAX:
        loader.problem(
            where,
            f"{mtu} does not fit XDP: a frame must fit one page beside its headroom",
            f"at most {XDP_MTU_MAX}, or say carrier: af_packet",
        )


def _devices(loader: Loader, name: str, host: Host) -> None:
    seen: dict[tuple[str, str], str] = {}
    for nic_name, nic in host.nics.items():
        selector = nic.device.selector()
        kind, value = next(iter(selector)), " ".join(map(str, selector.values()))
        # Lanes of the carrier udp share a device, such as lo.
        if nic.udp is None and seen.setdefault((kind, value), nic_name) != nic_name:
            where = ("hosts", name, "nics", nic_name, "device", kind)
            loader.problem(where, f"is the device of {seen[kind, value]} too")


def _engine(inventory: Inventory, loader: Loader, name: str, host: Host) -> None:
    lanes = inventory.lanes[name]
    if len(lanes) > MAX_LANES:
        loader.problem(("hosts", name, "nics"), f"{len(lanes)} lanes, a host has at most {MAX_LANES}")
    cpus = host.engine.cpus
    if isinstance(cpus, list) and len(cpus) < len(lanes):
        where = ("hosts", name, "engine", "cpus")
        loader.problem(where, f"{len(cpus)} CPUs for {len(lanes)} lanes", "name one for each lane, or say by-lane")


def _peers(inventory: Inventory, loader: Loader, name: str, host: Host) -> None:
    linked = {
        other for link in set(inventory.link_of[name].values()) for other, _ in inventory.members[link] if other != name
    }
    for number, peer in enumerate(host.peers or []):
        where = ("hosts", name, "peers", number)
        if peer == name:
            loader.problem(where, "is this host itself")
        elif peer not in loader.host_trees:
            loader.problem(where, f"unknown peer {peer!r}", did_you_mean(peer, set(loader.host_trees) - {name}))
        elif peer not in linked and peer in inventory.hosts:
            loader.problem(where, f"{peer} shares no link with {name}", did_you_mean(peer, linked))


def _link(inventory: Inventory, loader: Loader, name: str) -> None:
    link = inventory.links[name]
    members = inventory.members[name]
    nics = {pair: inventory.hosts[pair[0]].nics[pair[1]] for pair in members}
    carriers = {pair: carrier_of(nic, inventory.hosts[pair[0]].engine) for pair, nic in nics.items()}
    base = ("links", name)
    udp = [pair for pair, carrier in carriers.items() if carrier == "udp"]
    raw = [pair for pair in members if pair not in udp]
    if udp and raw:
        message = f"{'.'.join(udp[0])} speaks UDP, {'.'.join(raw[0])} raw Ethernet"
        loader.problem((*base, "members"), message, "both ends of a link have one kind of carrier")
    if udp and link.vlan is not None:
        loader.problem((*base, "vlan"), "the carrier udp has no VLAN of its own", "the device has it")
    if udp and link.delivers is not None:
        loader.problem((*base, "delivers"), "a UDP lane has its own port: there is no queue to deliver to")
    mtu = link.mtu if link.mtu is not None else DEFAULT_MTU
    if link.mtu is not None:
        worst = (
            "udp" if udp and not raw else "auto" if "auto" in carriers.values() or "af_xdp" in carriers.values() else ""
        )
        _mtu(loader, (*base, "mtu"), link.mtu, worst or "af_packet")
    stated = {pair: nic.mtu for pair, nic in nics.items() if nic.mtu is not None}
    for (host, nic_name), nic_mtu in stated.items():
        if nic_mtu < mtu:
            where = ("hosts", host, "nics", nic_name, "mtu")
            said = "is" if link.mtu is not None else "is, when left out,"
            loader.problem(where, f"{nic_mtu} is below the MTU of link {name}, which {said} {mtu}")
    if link.mtu is None and len(set(stated.values())) > 1:
        text = ", ".join(f"{'.'.join(pair)} {value}" for pair, value in sorted(stated.items()))
        loader.problem(base, f"the ends do not agree on the MTU: {text}", "give the link an mtu", key=True)


def _lane_addresses(inventory: Inventory, loader: Loader) -> None:
    seen: dict[tuple[str, str], str] = {}
    sockets: dict[str, str] = {}
    for host in inventory.hosts:
        for lane in inventory.lanes[host]:
            text = address_text(lane.address)
            mine = f"{host}.{lane.nic} queue {lane.queue}"
            where: tuple[str | int, ...] = ("hosts", host, "nics", lane.nic)
            if "udp" in lane.address:
                where = (*where, "udp", "port")
            first = seen.setdefault((lane.link, text), mine)
            if first != mine:
                loader.problem(
                    where, f"the lanes {first} and {mine} have one address: {text}", "change a name or a port"
                )
        metrics = inventory.hosts[host].engine.metrics
        if metrics is not None:
            first = sockets.setdefault(f"{inventory.hosts[host].address} {metrics.listen}", host)
            if first != host:
                where = ("hosts", host, "engine", "metrics", "listen")
                loader.problem(where, f"{first} at the same address listens there too")
