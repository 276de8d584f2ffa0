# SPDX-License-Identifier: Apache-2.0
"""modprobe, update-initramfs, dracut, dmesg; and ip, as far as a link's MTU and state go."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.drivers.common.machine import Done, Host


def modprobe(machine: Host, words: list[str], stdin: str) -> Done:
    """modprobe [-r] of the driver that is modelled."""
    names = [word for word in words if not word.startswith("-")]
    if names != [machine.module_name]:
        return Done(1, "", f"modprobe: FATAL: Module {' '.join(names)} not found in directory /lib/modules\n")
    if "-r" in words or "--remove" in words:
        machine.unload_module()
    else:
        machine.load_module()
    return Done(0)


def update_initramfs(machine: Host, words: list[str], stdin: str) -> Done:
    if "-u" not in words:
        return Done(1, "", "You must specify at least one of -c, -u, or -d.\n")
    machine.initramfs += 1
    return Done(0, f"update-initramfs: Generating /boot/initrd.img-{machine.release}\n")


def dracut(machine: Host, words: list[str], stdin: str) -> Done:
    if "-f" not in words and "--force" not in words:
        return Done(1, "", f"dracut: Will not override existing initramfs (/boot/initramfs-{machine.release}.img)\n")
    machine.initramfs += 1
    return Done(0)


def dmesg(machine: Host, words: list[str], stdin: str) -> Done:
    lines = (f"[{at + 12:5d}.{at * 7919 % 1000000:06d}] {line}" for at, line in enumerate(machine.kernel_log))
    return Done(0, "".join(f"{line}\n" for line in lines))


def ip(machine: Host, words: list[str], stdin: str) -> Done:
    """ip link set dev NAME [mtu N] [up|down]; ip -j addr show dev NAME; nothing has addresses or routes here."""
    words = [word for word in words if word != "dev" and not word.startswith("-")]
    device = machine.device(words[2]) if len(words) > 2 else None
    if words[:2] == ["route", "get"]:
        return Done(2, "", "RTNETLINK answers: Network is unreachable\n")
    if device is None:
        return Done(1, "", f'Cannot find device "{words[-1] if words else ""}"\n')
    if words[:2] == ["route", "show"]:
        return Done(0, "[]\n")
    if words[:2] == ["addr", "show"]:
        flags = ["BROADCAST", "MULTICAST", *(["UP", "LOWER_UP"] if device.up else [])]
        link = {"ifname": device.name, "flags": flags, "mtu": device.mtu, "addr_info": []}
        return Done(0, json.dumps([link]) + "\n")
    if words[:2] != ["link", "set"] or len(words) < 4:
        return Done(255, "", f'Object "{" ".join(words)}" is unknown, try "ip help".\n')
    rest = words[3:]
    while rest:
        word = rest.pop(0)
        if word == "mtu" and rest:
            device.mtu = int(rest.pop(0))
        elif word in ("up", "down"):
            device.up = word == "up"
        else:
            return Done(255, "", f'Error: either "dev" is duplicate, or "{word}" is a garbage.\n')
    return Done(0)


MAINS: dict[str, Callable[[Host, list[str], str], Done]] = {
    "modprobe": modprobe,
    "update-initramfs": update_initramfs,
    "dracut": dracut,
    "dmesg": dmesg,
    "ip": ip,
}
