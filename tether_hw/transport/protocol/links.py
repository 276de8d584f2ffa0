# SPDX-License-Identifier: Apache-2.0
"""Tether frames in captured packets: behind Ethernet with 0-2 VLAN tags, or in UDP behind what carries IP."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tether_hw.transport.protocol.capture import ETHERTYPE, VLAN_TYPES, Capture
from tether_hw.transport.protocol.header import BLOCK_SIZE, HEADER_SIZE, LAMP, VERSION
from tether_hw.transport.protocol.reject import Reject

if TYPE_CHECKING:
    from tether_hw.transport.protocol.pcap import Packet

NULL, ETHERNET, RAW, LOOP, COOKED, IPV4, IPV6, COOKED2 = 0, 1, 101, 108, 113, 228, 229, 276
LINK_NAMES = {
    NULL: "BSD loopback", ETHERNET: "Ethernet", RAW: "raw IP", LOOP: "BSD loopback", COOKED: "Linux cooked",
    IPV4: "IPv4", IPV6: "IPv6", COOKED2: "Linux cooked v2",
}  # fmt: skip
_IPV4, _IPV6, _UDP = 0x0800, 0x86DD, 17


@dataclass(frozen=True)
class Found:
    """A Tether frame: where it came from and went to, and the frame; or why it is none of version 1."""

    where: str
    data: bytes
    capture: Capture | None
    problem: str = ""


def find(packet: Packet, ports: frozenset[int] = frozenset()) -> Found | None:
    """The Tether frame of a packet; None when it carries something else.

    UDP has no number that says Tether: what looks like a frame is one, and what goes to or from one of `ports` is.
    """
    data = packet.data
    kind, at = _network(packet.link_type, data)
    if kind == ETHERTYPE:
        where = f"{data[6:12].hex(':')} -> {data[:6].hex(':')}" if packet.link_type == ETHERNET else "Ethernet"
        frame = data if packet.link_type == ETHERNET else data[at:]
        return _decode(where, frame)
    found = _udp(kind, data, at)
    if found is None:
        return None
    where, source, target, payload = found
    if not looks_like_tether(payload) and not {source, target} & ports:
        return None
    return _decode(f"UDP {where}", payload)


def looks_like_tether(payload: bytes) -> bool:
    """Whether a datagram can be a frame of version 1: its length field explains its size."""
    if len(payload) < HEADER_SIZE or len(payload) % BLOCK_SIZE or payload[0] != VERSION:
        return False
    blocks = -(-int.from_bytes(payload[2:4], "little") // BLOCK_SIZE)
    there = len(payload) // BLOCK_SIZE - 1
    return blocks <= there if payload[1] & LAMP else blocks == there


def _decode(where: str, frame: bytes) -> Found:
    try:
        return Found(where, frame, Capture.decode(frame))
    except Reject as reject:
        return Found(where, frame, None, f"{reject.reason}: {reject.detail}")


def _network(link_type: int, data: bytes) -> tuple[int, int]:
    """(EtherType, offset of what it names); EtherType 0 when there is none."""
    if link_type == ETHERNET:
        at = 12
    elif link_type == COOKED:
        at = 14
    elif link_type == COOKED2:
        return (int.from_bytes(data[0:2], "big"), 20) if len(data) >= 20 else (0, 0)
    elif link_type in (RAW, IPV4, IPV6, NULL, LOOP):
        at = 4 if link_type in (NULL, LOOP) else 0
        version = data[at] >> 4 if len(data) > at else 0
        return {4: _IPV4, 6: _IPV6}.get(version, 0), at
    else:
        return 0, 0
    for _ in range(3):
        kind = int.from_bytes(data[at : at + 2], "big")
        if kind not in VLAN_TYPES:
            return kind, at + 2
        at += 4
    return 0, 0


def _udp(kind: int, data: bytes, at: int) -> tuple[str, int, int, bytes] | None:
    """(words, source port, destination port, payload) of a UDP datagram that is no fragment."""
    if kind == _IPV4 and len(data) >= at + 20:
        size = (data[at] & 15) * 4
        fragment = int.from_bytes(data[at + 6 : at + 8], "big") & 0x3FFF
        protocol, source, target = data[at + 9], data[at + 12 : at + 16], data[at + 16 : at + 20]
        if size < 20 or fragment:
            return None
    elif kind == _IPV6 and len(data) >= at + 40:
        size, protocol, source, target = 40, data[at + 6], data[at + 8 : at + 24], data[at + 24 : at + 40]
    else:
        return None
    start = at + size
    if protocol != _UDP or len(data) < start + 8:
        return None
    ports = [int.from_bytes(data[start + i : start + i + 2], "big") for i in (0, 2)]
    length = int.from_bytes(data[start + 4 : start + 6], "big")
    ends = [f"[{ip}]" if ":" in ip else ip for ip in (str(ipaddress.ip_address(one)) for one in (source, target))]
    words = f"{ends[0]}:{ports[0]} -> {ends[1]}:{ports[1]}"
    return words, ports[0], ports[1], data[start + 8 : start + max(length, 8)]
