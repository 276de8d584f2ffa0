# SPDX-License-Identifier: Apache-2.0
"""What sets off the rules of binding, VFs, modes and queues."""

from __future__ import annotations

from pathlib import Path

from tests.drivers.common.trying import bad_write, good, refused, run
from tests.drivers.ice import build
from tests.drivers.ice.build import PF0, first
from tests.drivers.ice.sysfs import SysFs
from tests.drivers.ice.triggers import FLOW, VFS, safe, sets_off, switchdev


@sets_off("bind-bound")
def _(root: Path) -> None:
    bad_write(build.machine(root), "bus/pci/drivers/ice/bind", PF0, 16)


@sets_off("bind-no-device")
def _(root: Path) -> None:
    bad_write(build.machine(root), "bus/pci/drivers/ice/bind", "0000:99:00.0", 19)


@sets_off("unbind-unbound")
def _(root: Path) -> None:
    bad_write(build.machine(root, bound=False), "bus/pci/drivers/ice/unbind", PF0, 19)


@sets_off("unbind-drops-all")
def _(root: Path) -> None:
    host = switchdev(root, vfs=2)
    good(host, "modprobe -r ice", "modprobe ice")
    function = first(host)[1]
    assert (function.mode, function.vfs) == ("legacy", 0)


@sets_off("no-driver")
def _(root: Path) -> None:
    host = build.machine(root, bound=False)
    refused(host, f"devlink dev eswitch set pci/{PF0} mode switchdev", "No such device", 1)
    try:
        first(host)[1].set_queues(4)
    except Exception as error:  # noqa: BLE001 - whichever it is, its words are looked at
        assert "no-driver" in str(error)


@sets_off("vfs-over-total")
def _(root: Path) -> None:
    bad_write(build.machine(root), VFS, "65", 34)


@sets_off("vfs-no-driver")
def _(root: Path) -> None:
    bad_write(build.machine(root, bound=False), VFS, "2", 2)


@sets_off("vfs-through-zero")
def _(root: Path) -> None:
    host = build.machine(root)
    SysFs(host).write(VFS, "2")
    bad_write(host, VFS, "3", 16)
    SysFs(host).write(VFS, "2")
    SysFs(host).write(VFS, "0")
    SysFs(host).write(VFS, "3")


@sets_off("vfs-safe-mode")
def _(root: Path) -> None:
    bad_write(safe(root), VFS, "2", 95)


@sets_off("vfs-assigned")
def _(root: Path) -> None:
    host = build.machine(root)
    SysFs(host).write(VFS, "2")
    first(host)[1].vfs_assigned = True
    bad_write(host, VFS, "0", 16)


@sets_off("vf-links-late")
def _(root: Path) -> None:
    host = build.machine(root, late=3)
    sysfs = SysFs(host)
    sysfs.write(VFS, "2")
    folder = f"bus/pci/devices/{PF0}"
    assert "virtfn1" not in sysfs.list(folder)
    host.settle()
    assert "virtfn1" in sysfs.list(folder)
    assert sysfs.readlink(f"{folder}/virtfn1") == "../0000:17:01.1"
    assert sysfs.read(f"{folder}/virtfn1/physfn/vendor") == "0x8086\n"


@sets_off("representors-late")
def _(root: Path) -> None:
    host = switchdev(root)
    host.late = 3
    SysFs(host).write(VFS, "2")
    assert "pcivf" not in run(host, "devlink -j port show").out
    host.settle()
    assert '"netdev": "data0_1"' in run(host, "devlink -j port show").out


@sets_off("netdev-late")
def _(root: Path) -> None:
    host = build.machine(root, bound=False, late=2)
    SysFs(host).write("bus/pci/drivers/ice/bind", PF0)
    assert host.device("data0") is None
    host.settle()
    assert host.device("data0") is not None


@sets_off("net-lists-representors")
def _(root: Path) -> None:
    assert SysFs(switchdev(root, vfs=1)).list(f"bus/pci/devices/{PF0}/net") == ["data0", "data0_0"]


@sets_off("mode-with-vfs")
def _(root: Path) -> None:
    host = switchdev(root, vfs=1)
    refused(host, f"devlink dev eswitch set pci/{PF0} mode legacy", "only if there is no VFs created", 1)


@sets_off("mode-with-adq")
def _(root: Path) -> None:
    host = build.machine(root)
    first(host)[1].adq = True
    refused(host, f"devlink dev eswitch set pci/{PF0} mode switchdev", "ADQ is active", 1)


@sets_off("reload-switchdev")
def _(root: Path) -> None:
    refused(switchdev(root), f"devlink dev reload pci/{PF0}", "Go to legacy mode", 1)


@sets_off("reload-adq")
def _(root: Path) -> None:
    host = build.machine(root)
    first(host)[1].adq = True
    refused(host, f"devlink dev reload pci/{PF0}", "Turn off ADQ", 1)


@sets_off("reload-vfs")
def _(root: Path) -> None:
    host = build.machine(root)
    SysFs(host).write(VFS, "1")
    refused(host, f"devlink dev reload pci/{PF0} action driver_reinit", "Remove all VFs", 1)


@sets_off("reload-drops-filters")
def _(root: Path) -> None:
    host = build.machine(root)
    good(host, FLOW, f"devlink dev reload pci/{PF0}")
    assert "Total 0 rules" in run(host, "ethtool -n data0").out


@sets_off("queues-over")
def _(root: Path) -> None:
    refused(build.machine(root), "ethtool -L data0 combined 33", "exceeds maximum", 1)


@sets_off("queues-safe-mode")
def _(root: Path) -> None:
    refused(safe(root), "ethtool -L data0 combined 1", "Operation not supported", 1)


@sets_off("queues-adq")
def _(root: Path) -> None:
    host = build.machine(root)
    first(host)[1].adq = True
    refused(host, "ethtool -L data0 combined 4", "Operation not supported", 1)


@sets_off("queues-with-filters")
def _(root: Path) -> None:
    host = build.machine(root)
    good(host, FLOW)
    refused(host, "ethtool -L data0 combined 4", "Operation not supported", 1)
    good(host, "ethtool -N data0 delete 5", "ethtool -L data0 combined 4")


@sets_off("queues-rdma")
def _(root: Path) -> None:
    host = build.machine(root)
    first(host)[1].rdma = True
    refused(host, "ethtool -L data0 combined 4", "Device or resource busy", 1)
