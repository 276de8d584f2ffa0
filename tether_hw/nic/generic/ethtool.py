# SPDX-License-Identifier: Apache-2.0
"""What the ethtool ioctl tells about a device: driver, bus, queue counts, ring depths. Reads need no privilege."""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import socket
import struct
import sys
from dataclasses import dataclass

_SIOCETHTOOL = 0x8946
_GDRVINFO, _GRINGPARAM, _GRXCLSRLCNT, _GCHANNELS = 0x3, 0x10, 0x2E, 0x3C
#: The commands of the ioctl that this reader gives; none of them changes a device.
READING = frozenset((_GDRVINFO, _GRINGPARAM, _GRXCLSRLCNT, _GCHANNELS))
_RXNFC_BYTES = 192
_SPECIAL_LOCATIONS = 0x80000000
_IFREQ_BYTES = 40
#: A driver without the operation says EOPNOTSUPP; loopback and some virtual ones say EINVAL or EPERM for reads too.
#: ENOSYS: the whole call is unknown, as to an emulator of another processor that does not pass it on.
_NOT_THERE = (errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.ENOTTY, errno.ENOSYS)


@dataclass(frozen=True)
class Ethtool:
    """driver and bus are None where the device has none; the others where its driver has no such operation."""

    driver: str | None
    bus: str | None
    queues: dict[str, int] | None
    queues_max: dict[str, int] | None
    ring: dict[str, int] | None
    ring_max: dict[str, int] | None


def read(device: str) -> Ethtool:
    """Ask about a device of this network namespace. Raises OSError where it is gone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        driver, bus = _driver(sock, device)
        queues, queues_max = _queues(sock, device)
        ring, ring_max = _ring(sock, device)
    return Ethtool(driver, bus, queues, queues_max, ring, ring_max)


def filter_locations(device: str) -> int | None:
    """The number of locations of a device's table of flow filters; None where it has none. Never raises."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            answer = _ask(sock, device, _GRXCLSRLCNT, _RXNFC_BYTES)
    except OSError:
        return None
    if answer is None:
        return None
    size = int(struct.unpack("=Q", answer[8:16])[0]) & ~_SPECIAL_LOCATIONS
    return size if 0 < size < 2**31 else None


def command_of(code: int, request: object) -> int | None:
    """Which command an ioctl gives; None for one that is not of ethtool. `request`: its third argument.

    Raises ValueError where that cannot be told.
    """
    if code != _SIOCETHTOOL:
        return None
    if not isinstance(request, (bytes, bytearray)) or len(request) < _IFREQ_BYTES:
        raise ValueError("not the request of this reader")
    (place,) = struct.unpack_from("P", request, 16)
    return int.from_bytes(ctypes.string_at(place, 4), sys.byteorder)


def _ask(sock: socket.socket, device: str, command: int, size: int) -> bytes | None:
    data = array.array("B", struct.pack("=I", command) + bytes(size - 4))
    request = struct.pack("16sP", device.encode("ascii"), data.buffer_info()[0]).ljust(_IFREQ_BYTES, b"\0")
    try:
        fcntl.ioctl(sock.fileno(), _SIOCETHTOOL, request)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    return data.tobytes()


def _driver(sock: socket.socket, device: str) -> tuple[str | None, str | None]:
    answer = _ask(sock, device, _GDRVINFO, 196)
    if answer is None:
        return None, None
    names = [answer[start : start + 32].split(b"\0")[0].decode("ascii", "replace") for start in (4, 100)]
    return names[0] or None, names[1] or None


def _queues(sock: socket.socket, device: str) -> tuple[dict[str, int] | None, dict[str, int] | None]:
    answer = _ask(sock, device, _GCHANNELS, 36)
    if answer is None:
        return None, None
    _, max_rx, max_tx, _, max_combined, rx, tx, _, combined = struct.unpack("=9I", answer)
    if max_combined:
        return ({"combined": combined} if combined else None), {"combined": max_combined}
    if max_rx and max_tx:
        return ({"rx": rx, "tx": tx} if rx and tx else None), {"rx": max_rx, "tx": max_tx}
    return None, None


def _ring(sock: socket.socket, device: str) -> tuple[dict[str, int] | None, dict[str, int] | None]:
    answer = _ask(sock, device, _GRINGPARAM, 36)
    if answer is None:
        return None, None
    _, max_rx, _, _, max_tx, rx, _, _, tx = struct.unpack("=9I", answer)
    if not (max_rx or max_tx):
        return None, None
    return {"rx": rx, "tx": tx}, {"rx": max_rx, "tx": max_tx}
