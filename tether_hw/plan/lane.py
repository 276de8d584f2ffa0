# SPDX-License-Identifier: Apache-2.0
"""Lanes and the one function that derives a lane's address."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from tether_hw.plan.function_name import DEVICE_OF
from tether_hw.plan.shape import IFNAME, MAC, NAME, Fields

ETHERTYPE = 0x88B5
DEVICE = re.compile(f"(?:{IFNAME.pattern}|{DEVICE_OF.pattern})")
BLOCK_BYTES = 64
HAIL_BLOCKS = 5  # header and the 256 bytes of payload that a Hail has at least
UDP_OVERHEAD_BYTES = {4: 28, 6: 48}  # IP and UDP headers inside the MTU
MAX_LANES = 256  # the low byte of a channel index names the lane


def lane_mac(node: str, nic: str, lane: int) -> str:
    """The MAC address of a lane: locally administered, unicast, the same on every machine that computes it.

    First byte 0x02, then the first five bytes of BLAKE2s-256("tether/1 lane" 0 node 0 nic 0 lane), all in UTF-8 and
    the lane in decimal.
    """
    seed = b"\0".join([b"tether/1 lane", node.encode(), nic.encode(), str(lane).encode("ascii")])
    return ":".join(f"{byte:02x}" for byte in b"\x02" + hashlib.blake2s(seed).digest()[:5])


@dataclass(frozen=True)
class Lane:
    """One hardware queue with a thread of the engine: `address` is {"mac", "vlan"} or {"udp"}.

    device: the kernel's name of it, or of a VF or SF what it is: 0000:08:00.0/vf0.
    """

    lane: int
    nic: str
    device: str
    queue: int
    link: str
    carrier: str
    address: dict[str, Any]
    cpu: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "lane": self.lane,
            "nic": self.nic,
            "device": self.device,
            "queue": self.queue,
            "link": self.link,
            "carrier": self.carrier,
            "address": dict(self.address),
            "cpu": self.cpu,
        }

    @classmethod
    def parse(cls, value: Any, where: str = "lane") -> Lane:
        fields = Fields(value, where)
        lane = cls(
            lane=fields.integer("lane", 0, MAX_LANES - 1),
            nic=fields.text("nic", NAME),
            device=fields.text("device", DEVICE),
            queue=fields.integer("queue", 0, 65535),
            link=fields.text("link", NAME),
            carrier=fields.one_of("carrier", ("auto", "udp", "af_packet", "af_xdp")),
            address=parse_address(fields.take("address"), fields.at("address")),
            cpu=fields.optional_integer("cpu", 0, 65535),
        )
        fields.done()
        return lane


def parse_address(value: Any, where: str) -> dict[str, Any]:
    """A lane's address as the engine's file spells it."""
    fields = Fields(value, where)
    if fields.has("udp"):
        address: dict[str, Any] = {"udp": fields.text("udp", limit=64)}
    else:
        address = {"mac": fields.text("mac", MAC), "vlan": fields.optional_integer("vlan", 1, 4094)}
    fields.done()
    return address


def address_text(address: dict[str, Any]) -> str:
    """A lane's address for people, and the key by which two of them are compared."""
    if "udp" in address:
        return f"udp {address['udp']}"
    vlan = address.get("vlan")
    return str(address["mac"]) if vlan is None else f"{address['mac']} vlan {vlan}"
