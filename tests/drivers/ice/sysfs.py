# SPDX-License-Identifier: Apache-2.0
"""The part of /sys that shows PCI functions and their drivers: paths into the model, for agents in this process and,
by FUSE, for those on a host."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from tests.drivers.common import sysfs
from tests.drivers.common.netdev import REPRESENTOR, NetDev
from tests.drivers.common.rules import Refused, bite
from tests.drivers.common.sysfs import File, Link, Tree, text_file

if TYPE_CHECKING:
    from tests.drivers.ice.card import Function
    from tests.drivers.ice.machine import Machine

PF_ID, VF_ID = "0x1592", "0x1889"
CONFIG_BYTES = 4096
DSN_AT = 0x150


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


class SysFs(sysfs.SysFs):
    """The tree of a host with ice."""

    machine: Machine

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
                    "vendor": text_file("0x8086"),
                    "device": text_file(VF_ID),
                    "class": text_file("0x020000"),
                    "physfn": Link(f"../{function.bdf}"),
                }
        modules: Tree = {"firmware_class": {"parameters": {"path": text_file(machine.firmware_path)}}}
        if machine.module:
            module: Tree = {"refcnt": text_file("0")}
            if machine.driver_version:
                module["version"] = text_file(machine.driver_version)
            modules["ice"] = module
        net: Tree = {device.name: self._net(device) for device in machine.devices}
        pci: Tree = {"devices": devices, "drivers": drivers, "drivers_probe": File(None, self._probe)}
        return {"bus": {"pci": pci}, "class": {"net": net}, "module": modules}

    def _function(self, function: Function) -> Tree:
        entry: Tree = {
            "vendor": text_file("0x8086"),
            "device": text_file(PF_ID),
            "class": text_file("0x020000"),
            "config": File(config_space(function)),
            "sriov_numvfs": File(f"{function.vfs}\n".encode(), lambda text: function.set_vfs(int(text))),
            "sriov_totalvfs": text_file(str(function.vfs_max)),
            "sriov_drivers_autoprobe": text_file("1"),
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
        entry: Tree = {"address": text_file(device.mac), "mtu": text_file(str(device.mtu))}
        entry["operstate"] = text_file("up" if device.up else "down")
        function = self.machine.function_of(device)
        if function is not None:
            port = f"p{function.port}" if device.vf is None else f"pf{function.number}vf{device.vf}"
            entry["phys_port_name"] = text_file(port)
            entry["device"] = Link(f"../../../bus/pci/devices/{function.bdf}")
            if function.mode == "switchdev":
                entry["phys_switch_id"] = text_file(f"{function.card.dsn:016x}")
        return entry

    def _named(self, bdf: str) -> Function:
        found: Function | None = self.machine.function(bdf)
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
