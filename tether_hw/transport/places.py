# SPDX-License-Identifier: Apache-2.0
"""Network devices of VFs and SFs by what they are to their physical function; the engine has them to itself.

Their names are the kernel's and udev's affair and change with both. Nobody else configures such a device, so the engine
gives it its MTU and brings it up, and puts back what it found when it ends.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import struct
import time
from dataclasses import dataclass, replace
from typing import Optional

from .config_model import Lane
from .errors import EngineError

PLACE = re.compile(r"([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])/(vf|sf)(0|[1-9][0-9]{0,9})")
WAIT_S = 10.0
_PAUSE_S = 0.1
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCGIFMTU, _SIOCSIFMTU = 0x8913, 0x8914, 0x8921, 0x8922
_IFF_UP = 1


def device_of(place: str, sysfs: str = "/sys") -> Optional[str]:
    """The name that the device of a place has now; None where there is none."""
    match = PLACE.fullmatch(place)
    if match is None:
        raise ValueError(f"{place!r} is no place of a device")
    function, kind, number = match.groups()
    folder = os.path.join(sysfs, "bus/pci/devices", function)
    if kind == "vf":
        return _only(os.path.join(folder, f"virtfn{number}", "net"))
    for name in _entries(folder):
        if name.startswith("mlx5_core.sf.") and _read(os.path.join(folder, name, "sfnum")) == number:
            return _only(os.path.join(folder, name, "net"))
    return None


def _only(folder: str) -> Optional[str]:
    """In switchdev a function of a card may list others beside its own; a VF or SF has one."""
    names = _entries(folder)
    return names[0] if len(names) == 1 else None


def _entries(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _read(path: str) -> Optional[str]:
    try:
        with open(path, encoding="ascii") as file:
            return file.read(64).strip()
    except (OSError, UnicodeDecodeError):
        return None


@dataclass(frozen=True)
class _Was:
    place: str
    mtu: int
    flags: int


class Places:
    """The devices of places that this engine has brought up."""

    def __init__(self, sysfs: str = "/sys", wait_s: float = WAIT_S) -> None:
        self._sysfs = sysfs
        self._wait_s = wait_s
        self._found: list[_Was] = []

    def bring(self, lane: Lane, mtu: int) -> Lane:
        """The lane on the device that its place has now, up and wide enough. Raises EngineError."""
        if lane.address.udp is not None or PLACE.fullmatch(lane.device) is None:
            return lane
        deadline = time.monotonic() + self._wait_s
        while True:
            name = device_of(lane.device, self._sysfs)
            words = "it has no network device"
            if name is not None:
                try:
                    self._open(lane.device, name, mtu)
                    return replace(lane, device=name)
                except OSError as error:  # udev may rename it this very moment
                    words = f"{name}: {error.strerror}"
            if time.monotonic() >= deadline:
                raise EngineError(f"lane {lane.lane} is on {lane.device}: {words}")
            time.sleep(_PAUSE_S)

    def _open(self, place: str, name: str, mtu: int) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asked:
            flags, width = _get(asked, _SIOCGIFFLAGS, name, "h"), _get(asked, _SIOCGIFMTU, name, "i")
            if all(one.place != place for one in self._found):
                self._found.append(_Was(place, width, flags))
            if width < mtu:
                _set(asked, _SIOCSIFMTU, name, "i", mtu)
            if not flags & _IFF_UP:
                _set(asked, _SIOCSIFFLAGS, name, "h", flags | _IFF_UP)

    def leave(self) -> None:
        """Put back what was found, where the device is still there."""
        for was in self._found:
            name = device_of(was.place, self._sysfs)
            if name is None:
                continue
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asked:
                    if not was.flags & _IFF_UP:
                        _set(asked, _SIOCSIFFLAGS, name, "h", _get(asked, _SIOCGIFFLAGS, name, "h") & ~_IFF_UP)
                    if _get(asked, _SIOCGIFMTU, name, "i") != was.mtu:
                        _set(asked, _SIOCSIFMTU, name, "i", was.mtu)
            except OSError:
                continue  # it went away meanwhile
        self._found.clear()


def _get(asked: socket.socket, what: int, name: str, form: str) -> int:
    answer = fcntl.ioctl(asked, what, struct.pack("16s24x", name.encode()))
    return int(struct.unpack_from(form, answer, 16)[0])


def _set(asked: socket.socket, what: int, name: str, form: str, value: int) -> None:
    request = bytearray(struct.pack("16s24x", name.encode()))
    struct.pack_into(form, request, 16, value)
    fcntl.ioctl(asked, what, bytes(request))
