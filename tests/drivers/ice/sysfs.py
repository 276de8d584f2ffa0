# SPDX-License-Identifier: Apache-2.0
"""The part of /sys that shows PCI functions and their drivers: paths into the model, for agents in this process and,
by FUSE, for those on a host."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.drivers.ice.netdev import REPRESENTOR, NetDev
from tests.drivers.ice.rules import Refused, bite

if TYPE_CHECKING:
    from tests.drivers.ice.card import Function
    from tests.drivers.ice.machine import Machine

PF_ID, VF_ID = "0x1592", "0x1889"
CONFIG_BYTES = 4096
DSN_AT = 0x150


@dataclass(frozen=True)
class Dir:
    names: tuple[str, ...]


@dataclass(frozen=True)
class Link:
    target: str


@dataclass(frozen=True)
class File:
    """content: None where it cannot be read; write: None where it cannot be written."""

    content: bytes | None
    write: Callable[[str], None] | None = None


Node = Dir | Link | File
Tree = dict[str, "Tree | Node"]


def config_space(function: Function) -> bytes:
    """Extended configuration space with a device serial number capability, as the kernel shows it to root."""
    raw = bytearray(CONFIG_BYTES)
    struct.pack_into("<HH", raw, 0, 0x8086, int(PF_ID, 16))
    struct.pack_into("<I", raw, 0x100, 0x0001 | 1 << 16 | DSN_AT << 20)  # AER, then the serial number
    struct.pack_into("<I", raw, DSN_AT, 0x0003 | 1 << 16)
    struct.pack_into("<Q", raw, DSN_AT + 4, function.card.dsn)
    return bytes(raw)


def vf_address(function: Function, vf: int) -> str:
    """The PCI address of a virtual function: behind the physical ones, one range for each."""
    domain, bus, rest = function.bdf.split(":")
    number = (int(bus, 16) << 8) + int(rest[:2], 16) * 8 + 8 + function.port * function.vfs_max + vf
    return f"{domain}:{number >> 8:02x}:{number >> 3 & 0x1F:02x}.{number & 7}"


class SysFs:
    """Paths are below /sys, without a leading slash."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def node(self, path: str) -> Node:
        """What lies at a path; links inside it are followed, a last one is not. Raises OSError."""
        return self._find(path.strip("/"), 0)

    def _find(self, path: str, depth: int) -> Node:
        if depth > 8:
            raise OSError(errno.ELOOP, "Too many levels of symbolic links", path)
        here: Tree | Node = self._root()
        parts = [part for part in path.split("/") if part and part != "."]
        for at, part in enumerate(parts):
            if isinstance(here, Link):
                base = "/".join(parts[: at - 1])
                return self._find("/".join([_join(base, here.target), *parts[at:]]), depth + 1)
            if not isinstance(here, dict) or part not in here:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", f"/sys/{path}")
            here = here[part]
        return Dir(tuple(sorted(here))) if isinstance(here, dict) else here

    def follow(self, path: str) -> Node:
        """The same, a last link followed too."""
        found = self.node(path)
        if isinstance(found, Link):
            return self.node(_join(path.strip("/").rpartition("/")[0], found.target))
        return found

    # What an agent does

    def read(self, path: str) -> str:
        self.machine.look()
        return self.read_bytes(path).decode()

    def read_bytes(self, path: str) -> bytes:
        found = self.follow(path)
        if isinstance(found, Dir):
            raise IsADirectoryError(errno.EISDIR, "Is a directory", path)
        assert isinstance(found, File)
        if found.content is None:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return found.content

    def write(self, path: str, text: str) -> None:
        self.machine.look()
        found = self.follow(path)
        if not isinstance(found, File) or found.write is None:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        try:
            found.write(text.strip())
        except Refused as refused:
            raise OSError(refused.number, refused.answer, path) from None
        except ValueError:
            raise OSError(errno.EINVAL, "Invalid argument", path) from None

    def list(self, path: str) -> list[str]:
        self.machine.look()
        found = self.follow(path)
        if not isinstance(found, Dir):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
        return list(found.names)

    def readlink(self, path: str) -> str:
        found = self.node(path)
        if not isinstance(found, Link):
            raise OSError(errno.EINVAL, "Invalid argument", path)
        return found.target

    def exists(self, path: str) -> bool:
        try:
            self.follow(path)
        except OSError:
            return False
        return True

    # The tree

    def _root(self) -> Tree:
        machine = self.machine
        devices: Tree = {}
        drivers: Tree = {}
        if machine.module:
            mine = [one.bdf for one in machine.functions if one.driver == "ice"]
            bound: Tree = {bdf: Link(f"../../devices/{bdf}") for bdf in mine}
            doors: Tree = {"bind": File(None, self._bind), "unbind": File(None, self._unbind)}
            drivers["ice"] = doors | bound
        for function in machine.functions:
            devices[function.bdf] = self._function(function)
            for vf in range(function.links):
                devices[vf_address(function, vf)] = {
                    "vendor": _text("0x8086"),
                    "device": _text(VF_ID),
                    "class": _text("0x020000"),
                    "physfn": Link(f"../{function.bdf}"),
                }
        modules: Tree = {"firmware_class": {"parameters": {"path": _text(machine.firmware_path)}}}
        if machine.module:
            module: Tree = {"refcnt": _text("0")}
            if machine.driver_version:
                module["version"] = _text(machine.driver_version)
            modules["ice"] = module
        net: Tree = {device.name: self._net(device) for device in machine.devices}
        pci: Tree = {"devices": devices, "drivers": drivers, "drivers_probe": File(None, self._probe)}
        return {"bus": {"pci": pci}, "class": {"net": net}, "module": modules}

    def _function(self, function: Function) -> Tree:
        entry: Tree = {
            "vendor": _text("0x8086"),
            "device": _text(PF_ID),
            "class": _text("0x020000"),
            "config": File(config_space(function)),
            "sriov_numvfs": File(f"{function.vfs}\n".encode(), lambda text: function.set_vfs(int(text))),
            "sriov_totalvfs": _text(str(function.vfs_max)),
            "sriov_drivers_autoprobe": _text("1"),
        }
        if function.driver is not None:
            entry["driver"] = Link(f"../../drivers/{function.driver}")
        mine = [device for device in self.machine.devices if device.function == function.bdf]
        if mine:
            if any(device.kind == REPRESENTOR for device in mine):
                bite("net-lists-representors")
            entry["net"] = {device.name: self._net(device) for device in mine}
        for vf in range(function.links):
            entry[f"virtfn{vf}"] = Link(f"../{vf_address(function, vf)}")
        return entry

    def _net(self, device: NetDev) -> Tree:
        entry: Tree = {"address": _text(device.mac), "mtu": _text(str(device.mtu))}
        entry["operstate"] = _text("up" if device.up else "down")
        function = self.machine.function_of(device)
        if function is not None:
            port = f"p{function.port}" if device.vf is None else f"pf{function.number}vf{device.vf}"
            entry["phys_port_name"] = _text(port)
            entry["device"] = Link(f"../../../bus/pci/devices/{function.bdf}")
            if function.mode == "switchdev":
                entry["phys_switch_id"] = _text(f"{function.card.dsn:016x}")
        return entry

    def _named(self, bdf: str) -> Function:
        found = self.machine.function(bdf)
        if found is None:
            raise Refused("bind-no-device", errno.ENODEV)
        return found

    def _bind(self, bdf: str) -> None:
        self._named(bdf).bind()

    def _unbind(self, bdf: str) -> None:
        function = self._named(bdf)
        if function.driver != "ice":
            raise Refused("unbind-unbound", errno.ENODEV)
        function.unbind()

    def _probe(self, bdf: str) -> None:
        function = self._named(bdf)
        if function.driver is None and self.machine.module:
            function.bind()


def _text(value: str) -> File:
    return File(f"{value}\n".encode())


def _join(base: str, target: str) -> str:
    parts = base.split("/") if base else []
    for part in target.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part:
            parts.append(part)
    return "/".join(parts)
