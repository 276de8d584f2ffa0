# SPDX-License-Identifier: Apache-2.0
"""Reads the NICs of this host into parts of its facts. Runs on the host: standard library only, changes nothing."""

from __future__ import annotations

from typing import Any, Iterable

from tether_hw.nic.generic import ethtool, netlink

UNLIMITED_MTU = 2**31 - 1


def select(found: list[netlink.Link], selector: dict[str, Any]) -> netlink.Link | None:
    """The link that a selector {"name"}, {"mac"} or {"pci"} means, if it is there."""
    for link in found:
        if "name" in selector and link.name == selector["name"]:
            return link
        if "mac" in selector and selector["mac"] in (link.permanent_mac, link.mac):
            return link
        if "pci" in selector and _bus(link.name) == selector["pci"]:
            return link
    return None


def _bus(device: str) -> str | None:
    try:
        return ethtool.read(device).bus
    except OSError:
        return None


def filter_locations(device: str) -> int | None:
    """The number of locations of a device's table of flow filters; None where it has none."""
    return ethtool.filter_locations(device)


def read(
    selectors: Iterable[dict[str, Any]], devices: Iterable[str], ours: Iterable[str]
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """The NICs of this host: (config's "nics", status' "limits", status' "links", status' "devices").

    selectors: the devices that are asked for; devices: further names to read (those that we own something of);
    ours: devices whose XDP program is our running engine's. A device that is not there is left out; "devices" pairs
    each selector with the name it was resolved to, or null. Raises OSError where the kernel does not answer.
    """
    found = netlink.links()
    wanted = set(devices)
    resolved: list[dict[str, Any]] = []
    for selector in selectors:
        link = select(found, selector)
        resolved.append({"selector": dict(selector), "device": None if link is None else link.name})
        if link is not None:
            wanted.add(link.name)
    nics: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    listed: list[dict[str, Any]] = []
    own = set(ours)
    for link in found:
        told = ethtool.read(link.name)
        driver = told.driver or link.kind
        if not link.loopback:
            listed.append({"name": link.name, "mac": link.mac, "driver": driver, "carrier": link.carrier})
        if link.name not in wanted:
            continue
        nics[link.name] = {
            "driver": driver,
            "mac": link.mac,
            "mtu": link.mtu,
            "queues": told.queues,
            "ring": told.ring,
            "xdp": {"foreign": link.xdp and link.name not in own},
        }
        limits[link.name] = {
            "mtu_min": link.mtu_min,
            "mtu_max": min(link.mtu_max or UNLIMITED_MTU, UNLIMITED_MTU),
            "queues_max": told.queues_max,
            "ring_max": told.ring_max,
        }
    return nics, limits, sorted(listed, key=lambda link: str(link["name"])), resolved


def only_asks(sock: object) -> bool:
    """Whether this is the socket of netlink that can change nothing."""
    return isinstance(sock, netlink.Asking)


def is_question(code: int, request: object) -> bool:
    """Whether an ioctl, by its number and third argument, is a question of this reader to a device."""
    try:
        return ethtool.command_of(code, request) in ethtool.READING
    except ValueError:
        return False
