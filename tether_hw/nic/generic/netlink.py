# SPDX-License-Identifier: Apache-2.0
"""One dump of the links of this network namespace over rtnetlink. Standard library only, no privilege needed."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from typing import Iterator

_RTM_NEWLINK, _RTM_GETLINK = 16, 18
_FIRST_KIND, _GET = 16, 2
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_XDP = 1, 3, 4, 18, 43
_IFLA_MIN_MTU, _IFLA_MAX_MTU, _IFLA_PERM_ADDRESS = 50, 51, 54
_IFLA_INFO_KIND = 1
_IFLA_XDP_ATTACHED, _IFLA_XDP_PROG_ID = 2, 4
_IFF_LOOPBACK, _IFF_LOWER_UP = 0x8, 0x10000
_TYPE_MASK = 0x3FFF  # the upper two bits of an attribute's type are flags
_RECEIVE_BYTES = 1 << 18
_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Link:
    """A link as the kernel lists it. MTU limits of 0 mean none; `xdp` is true with any XDP program attached.

    `carrier`: the link is up and its other end is there.
    """

    index: int
    name: str
    mac: str | None
    permanent_mac: str | None
    mtu: int
    mtu_min: int | None
    mtu_max: int | None
    kind: str | None
    xdp: bool
    loopback: bool
    carrier: bool


class Asking(socket.socket):
    """A socket of rtnetlink that can only ask: whatever changes the kernel's tables is refused before it leaves.

    What it may send are the GET messages, and those by `ask` alone.
    """

    def __init__(self) -> None:
        super().__init__(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)

    def ask(self, message: bytes) -> None:
        """Send one message. Raises ValueError for anything but one whole GET."""
        length, kind = struct.unpack_from("=IH", message)
        # The kinds come in fours from 16 on: new, delete, get, set.
        if length != len(message) or kind < _FIRST_KIND or kind & 3 != _GET:
            raise ValueError("a netlink message of kind %d is no question" % kind)
        super().send(message)

    def _refused(self, *_words: object, **_more: object) -> int:
        raise ValueError("a socket that asks sends by ask() alone")

    send = sendall = sendto = sendmsg = sendfile = sendmsg_afalg = _refused  # type: ignore[assignment]


def links() -> list[Link]:
    """All links, in the kernel's order. Raises OSError."""
    sequence = os.getpid() & 0x7FFFFFFF
    request = struct.pack("=BBHiII", socket.AF_UNSPEC, 0, 0, 0, 0, 0)
    header = struct.pack("=IHHII", 16 + len(request), _RTM_GETLINK, _NLM_F_REQUEST | _NLM_F_DUMP, sequence, 0)
    found: list[Link] = []
    with Asking() as netlink:
        netlink.settimeout(_TIMEOUT_S)
        netlink.bind((0, 0))
        netlink.ask(header + request)
        while True:
            data = netlink.recv(_RECEIVE_BYTES)
            for kind, body in _messages(data):
                if kind == _NLMSG_DONE:
                    return found
                if kind == _NLMSG_ERROR:
                    code = struct.unpack_from("=i", body)[0]
                    raise OSError(-code, os.strerror(-code))
                if kind == _RTM_NEWLINK:
                    found.append(_link(body))


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        if length < 16 or offset + length > len(data):
            raise OSError("a netlink message of impossible length")
        yield kind, data[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def _attributes(data: bytes) -> dict[int, bytes]:
    attributes: dict[int, bytes] = {}
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4 or offset + length > len(data):
            raise OSError("a netlink attribute of impossible length")
        attributes[kind & _TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return attributes


def _link(body: bytes) -> Link:
    _, _, _, index, flags, _ = struct.unpack_from("=BBHiII", body)
    attributes = _attributes(body[16:])
    info = _attributes(attributes.get(_IFLA_LINKINFO, b""))
    xdp = _attributes(attributes.get(_IFLA_XDP, b""))
    return Link(
        index=index,
        name=_text(attributes.get(_IFLA_IFNAME)) or f"#{index}",
        mac=_mac(attributes.get(_IFLA_ADDRESS)),
        permanent_mac=_mac(attributes.get(_IFLA_PERM_ADDRESS)),
        mtu=_number(attributes.get(_IFLA_MTU)) or 0,
        mtu_min=_number(attributes.get(_IFLA_MIN_MTU)),
        mtu_max=_number(attributes.get(_IFLA_MAX_MTU)),
        kind=_text(info.get(_IFLA_INFO_KIND)),
        xdp=any(xdp.get(_IFLA_XDP_ATTACHED, b"")) or any(xdp.get(_IFLA_XDP_PROG_ID, b"")),
        loopback=bool(flags & _IFF_LOOPBACK),
        carrier=bool(flags & _IFF_LOWER_UP),
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.rstrip(b"\0").decode("ascii", "replace")


def _number(value: bytes | None) -> int | None:
    return None if value is None or len(value) != 4 else int(struct.unpack("=I", value)[0])


def _mac(value: bytes | None) -> str | None:
    return None if value is None or len(value) != 6 else ":".join("%02x" % byte for byte in value)
