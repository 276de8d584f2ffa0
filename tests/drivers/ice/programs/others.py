# SPDX-License-Identifier: Apache-2.0
"""modprobe, update-initramfs, dracut, dmesg; and ip, as far as a link's MTU and state go."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.drivers.ice.machine import Done, Machine


def _done(code: int, out: str = "", err: str = "") -> Done:
    from tests.drivers.ice.machine import Done

    return Done(code, out, err)


def modprobe(machine: Machine, words: list[str], stdin: str) -> Done:
    """modprobe [-r] ice."""
    names = [word for word in words if not word.startswith("-")]
    if names != ["ice"]:
        return _done(1, "", f"modprobe: FATAL: Module {' '.join(names)} not found in directory /lib/modules\n")
    if "-r" in words or "--remove" in words:
        machine.unload_module()
    else:
        machine.load_module()
    return _done(0)


def update_initramfs(machine: Machine, words: list[str], stdin: str) -> Done:
    if "-u" not in words:
        return _done(1, "", "You must specify at least one of -c, -u, or -d.\n")
    machine.initramfs += 1
    return _done(0, f"update-initramfs: Generating /boot/initrd.img-{machine.release}\n")


def dracut(machine: Machine, words: list[str], stdin: str) -> Done:
    if "-f" not in words and "--force" not in words:
        return _done(1, "", f"dracut: Will not override existing initramfs (/boot/initramfs-{machine.release}.img)\n")
    machine.initramfs += 1
    return _done(0)


def dmesg(machine: Machine, words: list[str], stdin: str) -> Done:
    lines = (f"[{at + 12:5d}.{at * 7919 % 1000000:06d}] {line}" for at, line in enumerate(machine.kernel_log))
    return _done(0, "".join(f"{line}\n" for line in lines))


def ip(machine: Machine, words: list[str], stdin: str) -> Done:
    """ip link set dev NAME [mtu N] [up|down]; ip -j addr show dev NAME; nothing has addresses or routes here."""
    words = [word for word in words if word != "dev" and not word.startswith("-")]
    device = machine.device(words[2]) if len(words) > 2 else None
    if words[:2] == ["route", "get"]:
        return _done(2, "", "RTNETLINK answers: Network is unreachable\n")
    if device is None:
        return _done(1, "", f'Cannot find device "{words[-1] if words else ""}"\n')
    if words[:2] == ["route", "show"]:
        return _done(0, "[]\n")
    if words[:2] == ["addr", "show"]:
        flags = ["BROADCAST", "MULTICAST", *(["UP", "LOWER_UP"] if device.up else [])]
        link = {"ifname": device.name, "flags": flags, "mtu": device.mtu, "addr_info": []}
        return _done(0, json.dumps([link]) + "\n")
    if words[:2] != ["link", "set"] or len(words) < 4:
        return _done(255, "", f'Object "{" ".join(words)}" is unknown, try "ip help".\n')
    rest = words[3:]
    while rest:
        word = rest.pop(0)
        if word == "mtu" and rest:
            device.mtu = int(rest.pop(0))
        elif word in ("up", "down"):
            device.up = word == "up"
        else:
            return _done(255, "", f'Error: either "dev" is duplicate, or "{word}" is a garbage.\n')
    return _done(0)


MAINS: dict[str, Callable[[Machine, list[str], str], Done]] = {
    "modprobe": modprobe,
    "update-initramfs": update_initramfs,
    "dracut": dracut,
    "dmesg": dmesg,
    "ip": ip,
}
