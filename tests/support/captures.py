# SPDX-License-Identifier: Apache-2.0
"""Captures for tests, made by the reference with fixed keys: one exchange, either cipher, in any packaging."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from tether_hw.transport.protocol import cookie, float16, hail, tags
from tether_hw.transport.protocol.frame import seal
from tether_hw.transport.protocol.header import (
    BLOCKED,
    ECHO,
    END,
    FIRST,
    GRANT,
    NACK,
    Header,
)  # fmt: skip
from tether_hw.transport.protocol.keys import AES_256_GCM, CIPHER_NAMES, chain_key, frame_key
from tether_hw.transport.protocol.noise import Handshake, public_key

A_INDEX, B_INDEX = 0x0A10_0001, 0x0B20_0003
A_MAC, B_MAC = bytes.fromhex("027400000a01"), bytes.fromhex("027400000b03")
SECRETS = bytes(range(1, 33)), bytes(range(101, 133))
EPHEMERALS = bytes(range(41, 73)), bytes(range(141, 173))
MANIFEST = tags.Manifest(22, 22, 176, 1024, 1, 16 << 20, 40_000, 25_000_000_000, 1_000_000)
LANES = [
    tags.LaneAddress(0, 1, B_MAC + b"\xff\xff"),
    tags.LaneAddress(1, 2, ipaddress.ip_address("192.0.2.7").packed + (7411).to_bytes(2, "big")),
    tags.LaneAddress(2, 3, ipaddress.ip_address("2001:db8::7").packed + (7411).to_bytes(2, "big")),
]
BEGIN_NS = 1_700_000_000 * 10**9


@dataclass(frozen=True)
class Sent:
    """A frame of the exchange: what it is, whether the initiator sent it, its bytes, its opened payload."""

    name: str
    by_initiator: bool
    frame: bytes
    payload: bytes | None


def exchange(cipher: int = AES_256_GCM) -> tuple[list[Sent], str]:
    """A Hail, a cookie as an answer to it, its reply, and every kind of frame that follows; and the key log of it."""
    publics = [public_key(secret) for secret in SECRETS]
    initiator = Handshake(SECRETS[0], publics[1])
    responder = Handshake(SECRETS[1], None)
    offer: list[tags.AnyTag] = [tags.Hail(77, 1, 3, 3), MANIFEST]
    answer: list[tags.AnyTag] = [tags.Hail(77, 3, 1, cipher), MANIFEST]
    first = hail.write_hail(initiator, EPHEMERALS[0], A_INDEX, 1_000_000, offer)
    hail.read_hail(responder, first)
    reply = hail.write_reply(responder, EPHEMERALS[1], A_INDEX, B_INDEX, 2_000_000, answer)
    hail.read_reply(initiator, reply, 3)
    forth, back = responder.split()
    asked = cookie.write_cookie(publics[1], first, bytes(range(32)))
    sent = [Sent("hail", True, first, None), Sent("cookie", False, asked, None), Sent("reply", False, reply, None)]

    def add(name: str, by_initiator: bool, header: Header, payload: bytes = b"") -> None:
        key = frame_key(forth if by_initiator else back, cipher, header.epoch)
        header.channel = B_INDEX if by_initiator else A_INDEX
        sent.append(Sent(name, by_initiator, seal(header, payload, key, cipher), payload))

    opening: list[tags.AnyTag] = [
        tags.Manifest(**{**vars(MANIFEST), "lanes": LANES}),
        tags.Define(2, 1, 1, 0, 0, 1 << 20, 5_000_000, 1_000_000, 250_000_000),
        tags.Unknown(0xF3, b"private"),
    ]
    closing: list[tags.AnyTag] = [tags.Skip(2, 88, 22), tags.Close(2, 1, 110), tags.Bye(0)]
    body = bytes(range(256)) * 6
    add("tags", True, Header(flags=0, sequence=1, GrantAmount=176, Timestamp=3_000_000), tags.encode(opening))
    add(
        "data",
        True,
        Header(flags=FIRST | ECHO, sequence=2, flow=2, slot=0, want=float16.encode(66), Timestamp=4, echo=5),
        body[:1408],
    )
    add(
        "receipt",
        False,
        Header(flags=GRANT | ECHO, sequence=1, flow=2, GrantAmount=88, NackSlot=22, Timestamp=9, echo=7),
    )
    add("last", True, Header(flags=END | ECHO, sequence=4, flow=2, slot=66, Timestamp=4, echo=5), body[:776])
    add("nack", False, Header(flags=NACK | ECHO, sequence=2, flow=2, GrantAmount=88, NackSlot=22, NackCount=44,
                              pace=float16.encode(3_000_000)))  # fmt: skip
    add("blocked", True, Header(flags=BLOCKED, sequence=5, flow=2, slot=88, want=float16.encode(5000)))
    add("next epoch", True, Header(flags=0, sequence=(1 << 22) + 3, flow=4, slot=0, NackSlot=1), b"later")
    add("goodbye", True, Header(flags=0, sequence=(1 << 22) + 4, slot=22), tags.encode(closing))
    log = "".join(
        f"TETHER {index:08x} {who} {CIPHER_NAMES[cipher]} {chain_key(split, cipher, 0).hex()}\n"
        for index, who, split in ((B_INDEX, "initiator", forth), (A_INDEX, "responder", back))
    )
    return sent, "# made by a test\n" + log


def ethernet(one: Sent, vlans: tuple[int, ...] = ()) -> bytes:
    """In an Ethernet frame under these VLAN ids, the outer one first."""
    macs = B_MAC + A_MAC if one.by_initiator else A_MAC + B_MAC
    kinds = (0x88A8, 0x8100) if len(vlans) == 2 else (0x8100,)
    stacked = b"".join(struct.pack(">HH", kind, 3 << 13 | vlan) for kind, vlan in zip(kinds, vlans, strict=False))
    return macs + stacked + b"\x88\xb5" + one.frame


def udp(one: Sent, version: int = 4, ports: tuple[int, int] = (40001, 7411)) -> bytes:
    """In an Ethernet frame with UDP over IPv4 or IPv6; checksums are left out."""
    source, target = ports if one.by_initiator else ports[::-1]
    datagram = struct.pack(">HHHH", source, target, 8 + len(one.frame), 0) + one.frame
    names = ("192.0.2.1", "192.0.2.7") if version == 4 else ("2001:db8::1", "2001:db8::7")
    ends = [ipaddress.ip_address(name).packed for name in (names if one.by_initiator else names[::-1])]
    if version == 4:
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, 17, 0) + ends[0] + ends[1]
    else:
        head = struct.pack(">IHBB", 6 << 28, len(datagram), 17, 64) + ends[0] + ends[1]
    macs = B_MAC + A_MAC if one.by_initiator else A_MAC + B_MAC
    return macs + (b"\x08\x00" if version == 4 else b"\x86\xdd") + head + datagram


def pcap(packets: list[bytes], order: str = "<", link_type: int = 1, nanoseconds: bool = False) -> bytes:
    """A pcap file; packets are a millisecond apart."""
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 1 << 18, link_type)]
    for number, data in enumerate(packets):
        fraction = number * (10**6 if nanoseconds else 10**3)
        parts.append(struct.pack(order + "IIII", BEGIN_NS // 10**9, fraction, len(data), len(data)) + data)
    return b"".join(parts)


def pcapng(packets: list[bytes], order: str = "<", link_type: int = 1) -> bytes:
    """A pcapng file with nanoseconds; packets are a millisecond apart. A block that nobody knows stands between."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        size = struct.pack(order + "I", 12 + len(body))
        return struct.pack(order + "I", kind) + size + body + size

    resolution = struct.pack(order + "HHB3xHH", 9, 1, 9, 0, 0)
    parts = [
        block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)),
        block(1, struct.pack(order + "HHI", link_type, 0, 1 << 18) + resolution),
        block(0x7777, b"what a later version says"),
    ]
    for number, data in enumerate(packets):
        time = BEGIN_NS + number * 10**6
        head = struct.pack(order + "IIIII", 0, time >> 32, time & 0xFFFFFFFF, len(data), len(data))
        parts.append(block(6, head + data))
    return b"".join(parts)
