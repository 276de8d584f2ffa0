# SPDX-License-Identifier: Apache-2.0
"""The part of /sys that shows ConnectX functions, their VFs and drivers."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from tests.drivers.common import sysfs
from tests.drivers.common.netdev import REPRESENTOR, UPLINK, NetDev
from tests.drivers.common.rules import Refused, bite
from tests.drivers.common.sysfs import File, Link, Tree, text_file
from tests.drivers.mlx5.card import DRIVER, SWITCHDEV, Function
from tests.drivers.mlx5.subfunctions import attached, auxiliary
from tests.drivers.mlx5.virtual import Vf

if TYPE_CHECKING:
    from tests.drivers.mlx5.machine import Machine

VENDOR, PF_ID, VF_ID = "0x15b3", "0x1021", "0x101e"
_VFS_EACH = 127


def vf_address(function: Function, vf: int) -> str:
    """The PCI address of a virtual function: behind the physical ones, one range for each."""
    domain, bus, rest = function.bdf.split(":")
    number = (int(bus, 16) << 8) + int(rest[:2], 16) * 8 + 2 + function.port * _VFS_EACH + vf
    return f"{domain}:{number >> 8:02x}:{number >> 3 & 0x1F:02x}.{number & 7}"


def vpd(serial: str) -> bytes:
    """Vital product data with the serial number of the board."""
    name = b"NVIDIA ConnectX-7"
    values = b"".join(
        key + bytes([len(value)]) + value for key, value in ((b"PN", b"MCX75510AAS"), (b"SN", serial.encode()))
    )
    head = b"\x82" + len(name).to_bytes(2, "little") + name
    return head + b"\x90" + len(values).to_bytes(2, "little") + values + b"\x78"


class SysFs(sysfs.SysFs):
    """The tree of a host with mlx5."""

    machine: Machine
    pf_id = PF_ID

    def _root(self) -> Tree:
        machine = self.machine
        devices: Tree = {}
        bound: Tree = {}
        for function in machine.functions:
            devices[function.bdf] = self._function(function)
            if function.driver == DRIVER:
                bound[function.bdf] = Link(f"../../devices/{function.bdf}")
            for vf in function.virtuals[: function.links]:
                devices[vf_address(function, vf.number)] = self._virtual(function, vf)
                if vf.driver == DRIVER:
                    address = vf_address(function, vf.number)
                    bound[address] = Link(f"../../devices/{address}")
        doors: Tree = {"bind": File(None, self._bind), "unbind": File(None, self._unbind)}
        drivers: Tree = {DRIVER: doors | bound, "vfio-pci": {}} if machine.module else {}
        module: Tree = {"refcnt": text_file("0")}
        if machine.driver_version:
            module["version"] = text_file(machine.driver_version)
        net: Tree = {device.name: self._net(device) for device in machine.devices}
        pci: Tree = {"devices": devices, "drivers": drivers, "drivers_probe": File(None, self._bind)}
        modules: Tree = {DRIVER: module} if machine.module else {}
        return {
            "bus": {"pci": pci, "auxiliary": {"devices": self._all_auxiliary()}},
            "class": {"net": net},
            "module": modules,
        }

    def _function(self, function: Function) -> Tree:
        entry: Tree = {
            "vendor": text_file(VENDOR),
            "device": text_file(self.pf_id),
            "class": text_file("0x020000"),
            "vpd": File(vpd(function.card.serial)),
        }
        if function.vfs_max:
            entry["sriov_numvfs"] = File(f"{function.vfs}\n".encode(), lambda text: function.set_vfs(int(text)))
            entry["sriov_totalvfs"] = text_file(str(function.vfs_max))
            entry["sriov_drivers_autoprobe"] = File(
                f"{int(function.autoprobe)}\n".encode(), lambda text: setattr(function, "autoprobe", bool(int(text)))
            )
        if function.driver is not None:
            entry["driver"] = Link(f"../../drivers/{function.driver}")
        mine = [device for device in self.machine.devices if device.function == function.bdf]
        if mine:
            if any(device.kind == REPRESENTOR for device in mine):
                bite("net-lists-representors")
            entry["net"] = {device.name: self._net(device) for device in mine}
        entry |= self._auxiliary(function)
        for vf in range(function.links):
            entry[f"virtfn{vf}"] = Link(f"../{vf_address(function, vf)}")
        return entry

    def _virtual(self, function: Function, vf: Vf) -> Tree:
        entry: Tree = {
            "vendor": text_file(VENDOR),
            "device": text_file(VF_ID),
            "class": text_file("0x020000"),
            "physfn": Link(f"../{function.bdf}"),
        }
        if vf.driver is not None:
            entry["driver"] = Link(f"../../drivers/{vf.driver}")
        if vf.device is not None:
            entry["net"] = {vf.device.name: self._net(vf.device)}
        return entry

    def _auxiliary(self, function: Function) -> Tree:
        """Subfunctions that a driver has."""
        return {auxiliary(function, sf): {"sfnum": text_file(str(sf.number))} for sf in attached(function)}

    def _all_auxiliary(self) -> Tree:
        found: Tree = {}
        for function in self.machine.functions:
            for name in self._auxiliary(function):
                found[name] = Link(f"../../pci/devices/{function.bdf}/{name}")
        return found

    def _net(self, device: NetDev) -> Tree:
        entry: Tree = {"address": text_file(device.mac), "mtu": text_file(str(device.mtu))}
        entry["operstate"] = text_file("up" if device.up else "down")
        function = self.machine.function_of(device)
        if function is not None:
            port = function.port_name(device)
            if device.kind != UPLINK or function.mode == SWITCHDEV:
                entry["phys_switch_id"] = text_file("".join(reversed(function.card.serial.encode().hex()[:16])))
            entry["phys_port_name"] = text_file(port)
            entry["device"] = Link(f"../../../bus/pci/devices/{function.bdf}")
        return entry

    def _named(self, bdf: str) -> Function | tuple[Function, Vf]:
        for function in self.machine.functions:
            if function.bdf == bdf:
                return function
            for vf in function.virtuals[: function.links]:
                if vf_address(function, vf.number) == bdf:
                    return function, vf
        raise Refused("bind-no-device", errno.ENODEV)

    def _bind(self, bdf: str) -> None:
        found = self._named(bdf)
        if isinstance(found, Function):
            found.bind()
        elif not found[0].autoprobe:
            raise Refused("bind-without-autoprobe", errno.ENODEV)
        else:
            found[0].take(found[1])

    def _unbind(self, bdf: str) -> None:
        found = self._named(bdf)
        if isinstance(found, Function):
            found.unbind()
        else:
            found[0].leave(found[1])
