# SPDX-License-Identifier: Apache-2.0
"""Lane addresses between the files' words and the library's struct."""

from __future__ import annotations

import ipaddress
import struct

from . import binding
from .config import Address, split_udp
from .structs import tether_address


def to_native(address: Address) -> tether_address:
    """The struct of an address. Raises ValueError for one that is neither MAC nor UDP."""
    native = tether_address()
    if address.udp is not None:
        host, port = split_udp(address.udp)
        packed = ipaddress.ip_address(host).packed
        native.kind = binding.ADDRESS_UDP4 if len(packed) == 4 else binding.ADDRESS_UDP6
        raw = packed + struct.pack(">H", port)
    elif address.mac is not None:
        native.kind = binding.ADDRESS_MAC
        vlan = binding.VLAN_NONE if address.vlan is None else address.vlan
        raw = bytes.fromhex(address.mac.replace(":", "")) + struct.pack("<H", vlan)
    else:
        raise ValueError("an address needs a MAC or a UDP address")
    native.length = len(raw)
    native.bytes[: len(raw)] = raw
    return native


def from_native(native: tether_address) -> Address:
    """The words of an address; an empty Address for a kind that has none."""
    raw = bytes(native.bytes[: native.length])
    if native.kind == binding.ADDRESS_MAC and len(raw) >= 8:
        vlan = struct.unpack("<H", raw[6:8])[0]
        return Address(mac=raw[:6].hex(":"), vlan=None if vlan == binding.VLAN_NONE else vlan)
    if native.kind == binding.ADDRESS_UDP4 and len(raw) >= 6:
        return Address(udp=f"{ipaddress.IPv4Address(raw[:4])}:{struct.unpack('>H', raw[4:6])[0]}")
    if native.kind == binding.ADDRESS_UDP6 and len(raw) >= 18:
        return Address(udp=f"[{ipaddress.IPv6Address(raw[:16])}]:{struct.unpack('>H', raw[16:18])[0]}")
    return Address()
