# SPDX-License-Identifier: Apache-2.0
"""What sets off the rules of ports, rates, subfunctions and firmware settings."""

from __future__ import annotations

from pathlib import Path

from tests.drivers.common.trying import good, refused, run
from tests.drivers.mlx5 import build
from tests.drivers.mlx5.build import PF0, first
from tests.drivers.mlx5.triggers import AUTOPROBE, DEV, MODE, VFS, sets_off, switchdev, with_vfs

SET, RATE = "devlink port function set", "devlink port function rate set"
ADD = f"devlink port add {DEV} flavour pcisf pfnum 0 sfnum 88"
NV = f"mlxconfig -d {PF0}"


@sets_off("port-missing")
def _(root: Path) -> None:
    refused(switchdev(root), f"{SET} {DEV}/1 hw_addr 02:00:00:00:00:77", "No such device", 1)


@sets_off("address-multicast")
def _(root: Path) -> None:
    refused(switchdev(root, vfs=1), f"{SET} {DEV}/1 hw_addr 03:00:00:00:00:77", "Invalid argument", 1)


@sets_off("rate-units")
def _(root: Path) -> None:
    refused(switchdev(root, vfs=1), f"{RATE} {DEV}/1 tx_max 1500kbit", "not in link speed units of 1Mbps", 1)


@sets_off("rate-beyond-link")
def _(root: Path) -> None:
    refused(switchdev(root, vfs=1), f"{RATE} {DEV}/1 tx_max 300gbit", "exceed link maximum speed", 1)


@sets_off("rate-half")
def _(root: Path) -> None:
    host = switchdev(root, vfs=1)
    refused(host, f"{RATE} {DEV}/1 tx_max 300gbit tx_share 1gbit", "exceed link maximum speed", 1)
    shown = run(host, "devlink -j port function rate show").out
    assert '{"type": "leaf", "tx_share": 125000000}' in shown


@sets_off("sf-not-built")
def _(root: Path) -> None:
    refused(switchdev(root, sf_built=False), ADD, "Operation not supported", 1)


@sets_off("sf-in-legacy")
def _(root: Path) -> None:
    refused(build.machine(root), ADD, "only supported in eswitch switchdev mode", 1)


@sets_off("sf-no-number")
def _(root: Path) -> None:
    refused(switchdev(root), ADD.replace(" sfnum 88", ""), "User must provide unique sfnum", 1)


@sets_off("sf-port-index")
def _(root: Path) -> None:
    refused(switchdev(root), ADD.replace(DEV, f"{DEV}/7"), "user defined port index", 1)


@sets_off("sf-pfnum")
def _(root: Path) -> None:
    refused(switchdev(root), ADD.replace("pfnum 0", "pfnum 1"), "Invalid pfnum supplied", 1)


@sets_off("sf-controller")
def _(root: Path) -> None:
    refused(switchdev(root), f"{ADD} controller 1", "External controller is unsupported", 1)


@sets_off("sf-exists")
def _(root: Path) -> None:
    host = switchdev(root)
    good(host, ADD)
    refused(host, ADD, "Choose different sfnum", 1)


@sets_off("sf-none-left")
def _(root: Path) -> None:
    host = switchdev(root)
    for number in range(8):
        good(host, ADD.replace("88", str(number)))
    refused(host, ADD, "No space left on device", 1)


@sets_off("sf-attach-late")
def _(root: Path) -> None:
    host = switchdev(root)
    host.late = 3
    good(host, ADD, f"{SET} {DEV}/32768 state active")
    assert '"state": "active", "opstate": "detached"' in run(host, "devlink -j port show").out
    host.settle()
    assert '"opstate": "attached"' in run(host, "devlink -j port show").out
    assert host.sysfs().read("bus/auxiliary/devices/mlx5_core.sf.2/sfnum") == "88\n"
    good(host, f"{SET} {DEV}/32768 state inactive", f"devlink port del {DEV}/32768")
    assert "pcisf" not in run(host, "devlink -j port show").out


@sets_off("sf-without-netdev")
def _(root: Path) -> None:
    host = switchdev(root, sf_eth=False)
    good(host, ADD, f"{SET} {DEV}/32768 state active")
    sf, at = first(host)[1].sfs[88], "auxiliary/mlx5_core.sf.2"
    assert sf.attached
    assert sf.device is None
    assert '"value": false' in run(host, f"devlink -j dev param show {at} name enable_eth").out
    good(host, f"devlink dev param set {at} name enable_eth value true cmode driverinit")
    assert sf.device is None
    good(host, f"devlink dev reload {at}")
    assert sf.device is not None


@sets_off("sf-probed-before")
def _(root: Path) -> None:
    host = switchdev(root)
    good(host, ADD, f"{SET} {DEV}/32768 state active", f"{SET} {DEV}/32768 hw_addr 02:00:00:00:00:78")
    sf = first(host)[1].sfs[88]
    assert sf.device is not None
    assert sf.device.mac != "02:00:00:00:00:78"


@sets_off("nv-unknown")
def _(root: Path) -> None:
    host = build.machine(root)
    refused(host, f"{NV} -y set NUM_OF_VF=8", "doesn't support NUM_OF_VF parameter", 3)
    refused(host, f"{NV} -e q NUM_OF_VF", "doesn't support NUM_OF_VF parameter", 3)


@sets_off("nv-value")
def _(root: Path) -> None:
    host = build.machine(root)
    refused(host, f"{NV} -y set NUM_OF_VFS=8 SRIOV_EN=7", "Invalid value 7", 3)
    assert first(host)[0].firmware.next["NUM_OF_VFS"] == "16"


@sets_off("nv-next-boot")
def _(root: Path) -> None:
    host = build.machine(root)
    good(host, f"{NV} -y set NUM_OF_VFS=32 SRIOV_EN=True")
    shown = run(host, f"{NV} -e q NUM_OF_VFS SRIOV_EN").out.splitlines()
    assert [line.split() for line in shown if "NUM_OF_VFS" in line] == [["*", "NUM_OF_VFS", "0", "16", "32"]]
    assert [line.split()[2:] for line in shown if "SRIOV_EN" in line] == [["False(0)", "True(1)", "True(1)"]]
    assert host.sysfs().read(f"bus/pci/devices/{PF0}/sriov_totalvfs") == "16\n"
    host.boot()
    assert host.sysfs().read(f"bus/pci/devices/{PF0}/sriov_totalvfs") == "32\n"
    assert run(host, f"mstconfig -d {PF0} -e q NUM_OF_VFS").out.splitlines()[-2].split()[-1] == "32"


@sets_off("nv-lockdown")
def _(root: Path) -> None:
    host = build.machine(root)
    first(host)[0].firmware.locked = True
    refused(host, f"{NV} -y set NUM_OF_VFS=32", "Operation not permitted", 3)


@sets_off("reset-with-vfs")
def _(root: Path) -> None:
    host = with_vfs(root)
    first(host)[0].firmware.levels = (3, 4)
    refused(host, f"mlxfwreset -d {PF0} -y -l 3 reset", "VFs are enabled", 1)
    host.sysfs().write(VFS, "0")
    good(host, f"{NV} -y set NUM_OF_VFS=4", f"mlxfwreset -d {PF0} -y -l 3 reset")
    assert first(host)[1].vfs_max == 4


@sets_off("reset-level")
def _(root: Path) -> None:
    host = build.machine(root)
    assert "3: Driver restart and PCI reset" in run(host, f"mlxfwreset -d {PF0} q").out
    refused(host, f"mlxfwreset -d {PF0} -y -l 3 reset", "is not supported", 1)


@sets_off("reset-sync")
def _(root: Path) -> None:
    host = build.machine(root)
    first(host)[0].firmware.levels = (3, 4)
    sync = next(line for line in run(host, f"mlxfwreset -d {PF0} q").out.splitlines() if "Driver is the owner" in line)
    assert sync.split("-")[-1].strip() == "Not supported"
    refused(host, f"mlxfwreset -d {PF0} -y -l 3 --sync 1 reset", "Requested reset sync '1' is not supported", 1)
    good(host, f"mlxfwreset -d {PF0} -y -l 3 --sync 0 reset")


@sets_off("boot-wipes")
def _(root: Path) -> None:
    host = switchdev(root, vfs=2)
    good(host, "ethtool -L data0 combined 4")
    host.boot()
    function = first(host)[1]
    assert (function.mode, function.vfs, function.autoprobe) == ("legacy", 0, True)
    assert function.device is not None
    assert (function.device.queues, function.device.hook) == (16, False)
    assert host.sysfs().read(AUTOPROBE) == "1\n"
    good(host, f"{MODE} switchdev")
