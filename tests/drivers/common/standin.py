# SPDX-License-Identifier: Apache-2.0
"""The agent's own code in this process with a machine of the model behind its programs, its sysfs and its netlink."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.drivers.common.machine import Host
from tests.drivers.common.netdev import UPLINK
from tether_hw.agent import command, process, sysfs
from tether_hw.agent import machine as about
from tether_hw.agent.errors import AgentError
from tether_hw.nic.generic import ethtool, netlink


class ModelSysfs(sysfs.Sysfs):
    """agent.sysfs over the model."""

    def __init__(self, machine: Host) -> None:
        super().__init__()
        self.model = machine.sysfs()

    def read_bytes(self, path: str) -> bytes | None:
        self.model.machine.look()
        try:
            return self.model.read_bytes(path)
        except OSError:
            return None

    def entries(self, path: str) -> list[str]:
        try:
            return sorted(self.model.list(path))
        except OSError:
            return []

    def target(self, path: str) -> str | None:
        self.model.machine.look()
        try:
            return self.model.readlink(path).rpartition("/")[2]
        except OSError:
            return None

    def write(self, path: str, text: str) -> None:
        try:
            self.model.write(path, text)
        except OSError as error:
            raise AgentError(f"{text} to {path}: {error.strerror}") from None


def boot_id(machine: Host) -> str:
    """Another one after each boot."""
    return f"00000000-0000-4000-8000-{machine.boots:012d}"


class _Proc:
    """/proc, where boots are the machine's."""

    def __init__(self, machine: Host) -> None:
        self.machine = machine

    def __truediv__(self, path: str) -> Any:
        return _BootId(self.machine) if path.endswith("boot_id") else Path("/proc") / path


class _BootId:
    def __init__(self, machine: Host) -> None:
        self.machine = machine

    def read_text(self) -> str:
        return boot_id(self.machine) + "\n"


def links(machine: Host) -> list[netlink.Link]:
    """A dump of links, as rtnetlink would give it."""
    machine.look()
    found = [netlink.Link(1, "lo", None, None, 65536, 0, 0, None, False, True, True)]
    for index, device in enumerate(machine.devices, 2):
        limits = (68, machine.mtu_max if device.kind == UPLINK else 9000)
        mac = device.mac
        found.append(
            netlink.Link(index, device.name, mac, mac, device.mtu, *limits, None, device.xdp, False, device.up)
        )
    return found


def told(machine: Host, name: str) -> ethtool.Ethtool:
    """What the ethtool ioctl tells."""
    device = machine.device(name)
    if device is None:
        if name == "lo":
            return ethtool.Ethtool(None, None, None, None, None, None)
        raise OSError(19, "No such device")
    function = machine.function_of(device)
    bus = function.bdf if function is not None and device.kind == UPLINK else None
    if device.kind != UPLINK:
        return ethtool.Ethtool(machine.module_name, bus, None, None, None, None)
    counts = ({"combined": device.queues}, {"combined": device.queues_max})
    return ethtool.Ethtool(machine.module_name, bus, *counts, dict(device.ring), dict(device.ring_max))


def locations(machine: Host, name: str) -> int | None:
    """The size of a table of flow filters."""
    device = machine.device(name)
    function = machine.function_of(device) if device is not None and device.kind == UPLINK else None
    return None if function is None or not function.classifies else function.table.size


@contextmanager
def behind(machine: Host, ran: list[tuple[str, ...]] | None = None) -> Iterator[None]:
    """Inside, the agent's code sees this machine and nothing of the real one. ran: takes the commands that ran."""

    def execute(argv: Sequence[str], timeout_s: float, text: str = "") -> command.Done:
        if ran is not None:
            ran.append(tuple(argv))
        try:
            done = machine.run(argv, text)
        except OSError as error:
            raise AgentError(f"{argv[0]}: {error.strerror}") from None
        return command.Done(done.code, done.out, done.err)

    def which(name: str, *more: Any, **named: Any) -> str | None:
        return f"/usr/sbin/{name}" if name in machine.tools else None

    model = ModelSysfs(machine)
    with (
        patch.object(command, "execute", execute),
        patch.object(sysfs, "SYSFS", model),
        patch.object(netlink, "links", lambda: links(machine)),
        patch.object(ethtool, "read", lambda name: told(machine, name)),
        patch.object(ethtool, "filter_locations", lambda name: locations(machine, name)),
        patch.object(platform, "release", lambda: machine.release),
        patch.object(about, "_config", lambda release: machine.config()),
        patch.object(about, "boot_id", lambda: boot_id(machine)),
        patch.object(process, "PROC", _Proc(machine)),
        patch.object(shutil, "which", which),
    ):
        yield
