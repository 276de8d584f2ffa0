# SPDX-License-Identifier: Apache-2.0
"""What the engine needs of the system for lanes of this family: the values that its unit is rendered with. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

#: Raw Ethernet needs the socket; AF_XDP needs the program and its attachment as well. UDP needs nothing.
CAPABILITIES: dict[str, tuple[str, ...]] = {
    "udp": (),
    "af_packet": ("CAP_NET_RAW",),
    "af_xdp": ("CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_BPF"),
    "auto": ("CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_BPF"),
}
FAMILIES: dict[str, tuple[str, ...]] = {
    "udp": ("AF_INET", "AF_INET6"),
    "af_packet": ("AF_PACKET",),
    "af_xdp": ("AF_XDP", "AF_PACKET"),  # a packet socket has the NIC accept the lane's address
    "auto": ("AF_INET", "AF_INET6", "AF_PACKET", "AF_XDP"),
}
ALWAYS = ("AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK")  # control socket, metrics, link state


def unit_values(carriers: Iterable[str]) -> dict[str, Any]:
    """The capabilities and address families of an engine with these carriers."""
    used = sorted(set(carriers))
    capabilities = {name for carrier in used for name in CAPABILITIES[carrier]}
    families = {name for carrier in used for name in FAMILIES[carrier]} | set(ALWAYS)
    return {"capabilities": sorted(capabilities), "families": sorted(families)}
