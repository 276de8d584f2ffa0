# SPDX-License-Identifier: Apache-2.0
"""What sets off each rule of VFs, binding, modes and reload, by the programs and files that an agent would use."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.drivers.common.trying import bad_write, good, refused, run
from tests.drivers.mlx5 import build
from tests.drivers.mlx5.build import PF0, first
from tests.drivers.mlx5.machine import Machine
from tests.drivers.mlx5.sysfs import vf_address

Trigger = Callable[[Path], None]
TRIGGERS: dict[str, Trigger] = {}
FOLDER = f"bus/pci/devices/{PF0}"
VFS, AUTOPROBE = f"{FOLDER}/sriov_numvfs", f"{FOLDER}/sriov_drivers_autoprobe"
DEV = f"pci/{PF0}"
MODE = f"devlink dev eswitch set {DEV} mode"
DRIVER = "bus/pci/drivers/mlx5_core"
FLOW = "ethtool -N data0 flow-type ether dst 02:00:00:00:00:01 proto 0x88b5 action 1 loc 5"
RULE = "tc filter replace dev data0 ingress protocol 0x88b5 pref 10 handle 0x1 flower dst_mac 02:00:00:00:00:01"


def sets_off(rule: str) -> Callable[[Trigger], Trigger]:
    def keep(trigger: Trigger) -> Trigger:
        TRIGGERS[rule] = trigger
        return trigger

    return keep


def all_triggers() -> dict[str, Trigger]:
    """Those of this file and of the others."""
    for name in ("triggers_ports", "triggers_tc"):
        importlib.import_module(f"tests.drivers.mlx5.{name}")
    return TRIGGERS


def with_vfs(root: Path, count: int = 2, autoprobe: bool = True, **more: Any) -> Machine:
    """A host whose first function has VFs."""
    host = build.machine(root, **more)
    host.sysfs().write(AUTOPROBE, str(int(autoprobe)))
    host.sysfs().write(VFS, str(count))
    return host


def switchdev(root: Path, vfs: int = 0, **more: Any) -> Machine:
    """A host whose first function is in switchdev mode, with its hook and offload; no driver has its VFs."""
    host = build.machine(root, **more)
    good(host, f"{MODE} switchdev")
    if vfs:
        host.sysfs().write(AUTOPROBE, "0")
        host.sysfs().write(VFS, str(vfs))
    good(host, "tc qdisc add dev data0 clsact", "ethtool -K data0 hw-tc-offload on")
    return host


@sets_off("vfs-over-total")
def _(root: Path) -> None:
    bad_write(build.machine(root), VFS, "17", 34)


@sets_off("vfs-through-zero")
def _(root: Path) -> None:
    host = with_vfs(root)
    bad_write(host, VFS, "3", 16)
    for count in "203":
        host.sysfs().write(VFS, count)


@sets_off("vfs-no-driver")
def _(root: Path) -> None:
    bad_write(build.machine(root, bound=False), VFS, "2", 2)


@sets_off("vfs-assigned")
def _(root: Path) -> None:
    host = with_vfs(root)
    first(host)[1].vfs_assigned = True
    bad_write(host, VFS, "0", 1)


@sets_off("vf-links-late")
def _(root: Path) -> None:
    host = build.machine(root, late=3)
    host.sysfs().write(VFS, "2")
    assert "virtfn1" not in host.sysfs().list(FOLDER)
    host.settle()
    assert host.sysfs().readlink(f"{FOLDER}/virtfn1") == "../0000:08:00.3"
    assert host.sysfs().readlink(f"{FOLDER}/virtfn1/driver").endswith("mlx5_core")


@sets_off("representors-late")
def _(root: Path) -> None:
    host = switchdev(root)
    host.late = 3
    host.sysfs().write(VFS, "2")
    assert "pcivf" not in run(host, "devlink -j port show").out
    host.settle()
    assert '"netdev": "data0g1r1"' in run(host, "devlink -j port show").out


@sets_off("netdev-late")
def _(root: Path) -> None:
    host = build.machine(root, bound=False, late=2)
    host.sysfs().write(f"{DRIVER}/bind", PF0)
    assert host.device("data0") is None
    host.settle()
    assert host.device("data0") is not None


@sets_off("net-lists-representors")
def _(root: Path) -> None:
    assert switchdev(root, vfs=1).sysfs().list(f"{FOLDER}/net") == ["data0", "data0g1r0"]


@sets_off("names-change")
def _(root: Path) -> None:
    host = switchdev(root, vfs=1)
    for count in "01":
        host.sysfs().write(VFS, count)
    assert host.sysfs().list(f"{FOLDER}/net") == ["data0", "data0g2r0"]


@sets_off("vf-probed-before")
def _(root: Path) -> None:
    host = switchdev(root, vfs=1)
    place = vf_address(first(host)[1], 0)
    host.sysfs().write(AUTOPROBE, "1")
    host.sysfs().write(f"{DRIVER}/bind", place)
    good(host, f"devlink port function set {DEV}/1 hw_addr 02:00:00:00:00:77")
    net = host.sysfs().list(f"bus/pci/devices/{place}/net")[0]
    assert host.sysfs().read(f"class/net/{net}/address") != "02:00:00:00:00:77\n"
    host.sysfs().write(f"{DRIVER}/unbind", place)
    host.sysfs().write(f"{DRIVER}/bind", place)
    net = host.sysfs().list(f"bus/pci/devices/{place}/net")[0]
    assert host.sysfs().read(f"class/net/{net}/address") == "02:00:00:00:00:77\n"


@sets_off("vf-legacy-address-by-port")
def _(root: Path) -> None:
    host = with_vfs(root)
    refused(host, f"devlink port function set {DEV}/1 hw_addr 02:00:00:00:00:77", "No such device", 1)
    good(host, "ip link set dev data0 vf 0 mac 02:00:00:00:00:77 max_tx_rate 100")
    told = run(host, "ip -j link show dev data0").out
    assert '"address": "02:00:00:00:00:77"' in told
    assert '"max_tx": 100' in told


@sets_off("vf-address-by-netdev")
def _(root: Path) -> None:
    host = switchdev(root, vfs=1)
    refused(host, "ip link set dev data0 vf 0 mac 02:00:00:00:00:77", "Operation not supported", 2)


@sets_off("bind-bound")
def _(root: Path) -> None:
    host = with_vfs(root)
    bad_write(host, f"{DRIVER}/bind", PF0, 16)
    bad_write(host, f"{DRIVER}/bind", vf_address(first(host)[1], 0), 16)


@sets_off("bind-no-device")
def _(root: Path) -> None:
    bad_write(build.machine(root), f"{DRIVER}/bind", "0000:99:00.0", 19)


@sets_off("unbind-unbound")
def _(root: Path) -> None:
    bad_write(build.machine(root, bound=False), f"{DRIVER}/unbind", PF0, 19)
    host = with_vfs(root, autoprobe=False)
    bad_write(host, f"{DRIVER}/unbind", vf_address(first(host)[1], 0), 19)


@sets_off("bind-without-autoprobe")
def _(root: Path) -> None:
    host = with_vfs(root, autoprobe=False)
    bad_write(host, f"{DRIVER}/bind", vf_address(first(host)[1], 0), 19)
    host.sysfs().write(AUTOPROBE, "1")
    host.sysfs().write(f"{DRIVER}/bind", vf_address(first(host)[1], 0))


@sets_off("mode-rebuilds")
def _(root: Path) -> None:
    host = build.machine(root)
    good(host, "ethtool -L data0 combined 4", FLOW, f"{MODE} switchdev")
    assert "Total 0 rules" in run(host, "ethtool -n data0").out
    assert "Combined:\t16" in run(host, "ethtool -l data0").out


@sets_off("no-driver")
def _(root: Path) -> None:
    refused(build.machine(root, bound=False), f"{MODE} switchdev", "No such device", 1)


@sets_off("mode-with-bound-vfs")
def _(root: Path) -> None:
    host = with_vfs(root)
    refused(host, f"{MODE} switchdev", "Device or resource busy", 1)
    for vf in range(2):
        host.sysfs().write(f"{DRIVER}/unbind", vf_address(first(host)[1], vf))
    good(host, f"{MODE} switchdev")
    assert "pcivf" in run(host, "devlink -j port show").out


@sets_off("mode-while-vfs-appear")
def _(root: Path) -> None:
    host = with_vfs(root, autoprobe=False, late=5)
    refused(host, f"{MODE} switchdev", "Failed setting eswitch to offloads", 1)
    assert "0x98afbb" in run(host, "dmesg").out


@sets_off("mode-busy")
def _(root: Path) -> None:
    host = switchdev(root)
    good(host, f"{RULE} skip_sw action drop")
    refused(host, f"{MODE} legacy", "E-Switch is busy", 1)
    good(host, "tc filter del dev data0 ingress pref 10", f"{MODE} legacy")


def _in_the_way(root: Path, name: str, words: str) -> None:
    host = build.machine(root)
    setattr(first(host)[1], name, True)
    refused(host, f"{MODE} switchdev", words, 1)


@sets_off("mode-firmware-reset")
def _(root: Path) -> None:
    host = build.machine(root)
    first(host)[0].firmware.resetting = True
    refused(host, f"{MODE} switchdev", "during firmware reset", 1)


@sets_off("mode-socket-direct")
def _(root: Path) -> None:
    _in_the_way(root, "socket_direct", "multi-PF netdev")


@sets_off("mode-ipsec")
def _(root: Path) -> None:
    _in_the_way(root, "ipsec", "IPsec SA")


@sets_off("mode-traps")
def _(root: Path) -> None:
    _in_the_way(root, "traps", "devlink traps are active")


@sets_off("mode-not-supported")
def _(root: Path) -> None:
    host = build.machine(root, switchdev_built=False)
    refused(host, f"{MODE} switchdev", "Operation not supported", 1)


@sets_off("mode-drops")
def _(root: Path) -> None:
    host = switchdev(root, vfs=1)
    good(host, f"devlink port function rate set {DEV}/1 tx_max 1gbit", f"{MODE} legacy", f"{MODE} switchdev")
    assert "tx_max" not in run(host, "devlink -j port function rate show").out


@sets_off("inline-fixed")
def _(root: Path) -> None:
    refused(build.machine(root), f"devlink dev eswitch set {DEV} inline-mode link", "Inline mode can't be set", 1)


@sets_off("eswitch-half")
def _(root: Path) -> None:
    host = build.machine(root)
    refused(host, f"{MODE} switchdev inline-mode transport encap-mode none", "Inline mode can't be set", 1)
    told = run(host, f"devlink -j dev eswitch show {DEV}").out
    assert '"mode": "switchdev", "inline-mode": "none", "encap-mode": "basic"' in told


@sets_off("encap-with-flows")
def _(root: Path) -> None:
    host = switchdev(root)
    good(host, f"{RULE} skip_sw action drop")
    refused(host, f"devlink dev eswitch set {DEV} encap-mode none", "Can't set encapsulation when flows", 1)


@sets_off("steering-unknown")
def _(root: Path) -> None:
    line = f"devlink dev param set {DEV} name flow_steering_mode value hmfs cmode runtime"
    refused(build.machine(root), line, "supported values are", 1)


@sets_off("steering-in-switchdev")
def _(root: Path) -> None:
    host = switchdev(root)
    line = f"devlink dev param set {DEV} name flow_steering_mode value smfs cmode runtime"
    refused(host, line, "not supported when eswitch offloads enabled", 1)
    good(host, f"{MODE} legacy", line.replace("smfs", "dmfs"))
    assert '"value": "dmfs"' in run(host, "devlink -j dev param show").out


@sets_off("metadata-in-switchdev")
def _(root: Path) -> None:
    line = f"devlink dev param set {DEV} name esw_port_metadata value false cmode runtime"
    refused(switchdev(root), line, "non switchdev mode", 1)


@sets_off("reload-drops")
def _(root: Path) -> None:
    host = switchdev(root, vfs=1)
    done = run(host, f"devlink dev reload {DEV}")
    assert (done.code, "VFs are present is unfavorable" in done.err) == (0, True)
    assert '"mode": "legacy"' in run(host, f"devlink -j dev eswitch show {DEV}").out
    assert host.sysfs().read(VFS) == "0\n"


@sets_off("reload-fails")
def _(root: Path) -> None:
    host = switchdev(root, vfs=1)
    first(host)[1].fails_reload = True
    refused(host, f"devlink dev reload {DEV}", "Failed to load device", 1)
    assert '"reload_failed": true' in run(host, "devlink -j dev show").out
    assert f"{DEV}/" not in run(host, "devlink -j port show").out


@sets_off("reload-lag")
def _(root: Path) -> None:
    host = build.machine(root)
    first(host)[1].lag = True
    refused(host, f"devlink dev reload {DEV}", "unsupported in Lag mode", 1)


@sets_off("reload-sfs")
def _(root: Path) -> None:
    host = switchdev(root)
    good(host, f"devlink port add {DEV} flavour pcisf pfnum 0 sfnum 88")
    refused(host, f"devlink dev reload {DEV}", "when SFs are allocated", 1)


@sets_off("reload-activate")
def _(root: Path) -> None:
    host = build.machine(root)
    refused(host, f"devlink dev reload {DEV} action fw_activate", "FW activate requires reboot", 1)
    first(host)[0].firmware.levels = (3, 4)
    good(host, f"devlink dev reload {DEV} action fw_activate")
