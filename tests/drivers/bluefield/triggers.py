# SPDX-License-Identifier: Apache-2.0
"""What sets off each rule, by the programs and files that agents of both sides would use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.drivers.bluefield import build
from tests.drivers.bluefield.build import ARM0, ARM1, HOST0, HOST1
from tests.drivers.bluefield.chip import ENGINE, NIC, ZERO_TRUST, Chip
from tests.drivers.common.trying import bad_write, good, refused, run

Trigger = Callable[[Path], None]
TRIGGERS: dict[str, Trigger] = {}
ARM, HOST = f"pci/{ARM0}", f"pci/{HOST0}"
VFS = f"bus/pci/devices/{HOST0}/sriov_numvfs"
DRIVER = "bus/pci/drivers/mlx5_core"
SET_NIC = f"-y set {ENGINE}=1"


def sets_off(rule: str) -> Callable[[Trigger], Trigger]:
    def keep(trigger: Trigger) -> Trigger:
        TRIGGERS[rule] = trigger
        return trigger

    return keep


def all_triggers() -> dict[str, Trigger]:
    return TRIGGERS


def chip(root: Path, mode: str = "dpu", **more: Any) -> Chip:
    return build.chip(root / "arm", root / "host", mode, **more)


def driver(made: Chip, bdf: str) -> bool:
    """Whether a function of the host has one."""
    return made.server.sysfs().exists(f"bus/pci/devices/{bdf}/driver")


@sets_off("host-eswitch")
def _(root: Path) -> None:
    made = chip(root)
    refused(made.server, f"devlink dev eswitch set {HOST} mode switchdev", "Operation not permitted")
    refused(made.server, f"devlink -j dev eswitch show {HOST}", "Operation not permitted")
    good(made.arm, f"devlink dev eswitch set {ARM} mode legacy", f"devlink dev eswitch set {ARM} mode switchdev")


@sets_off("host-vf-attributes")
def _(root: Path) -> None:
    made = chip(root)
    made.server.sysfs().write(VFS, "2")
    refused(made.server, "ip link set dev data0 vf 1 mac 02:00:00:00:00:77", "Operation not permitted", 2)
    refused(made.server, "ip link set dev data0 vf 1 max_tx_rate 100", "Operation not permitted", 2)
    assert "vfinfo" not in run(made.server, "ip -j link show dev data0").out
    good(made.arm, f"devlink port function set {ARM}/2 hw_addr 02:00:00:00:00:77")
    assert made.virtuals[0][1].address == "02:00:00:00:00:77"


@sets_off("host-steering")
def _(root: Path) -> None:
    made = chip(root)
    told = json.loads(run(made.server, f"devlink -j dev param show {HOST}").out)["param"][HOST]
    assert [(one["name"], one["values"][0]["value"]) for one in told] == [("flow_steering_mode", "dmfs")]
    words = f"devlink dev param set {HOST} name flow_steering_mode value smfs cmode runtime"
    refused(made.server, words, "not supported by current device")


@sets_off("restricted-host")
def _(root: Path) -> None:
    made = chip(root, ZERO_TRUST)
    refused(made.server, f"mlxconfig -d {HOST0} {SET_NIC}", "Operation not permitted", 3)
    refused(made.server, f"mlxfwreset -d {HOST0} -y -l 3 --sync 1 reset", "Operation not permitted", 1)
    assert "RESTRICTED" in run(made.server, f"mlxprivhost -d {HOST0} q").out
    good(made.arm, f"mlxprivhost -d {ARM0} p")
    good(made.server, f"mlxconfig -d {HOST0} {SET_NIC}")


@sets_off("privhost-from-host")
def _(root: Path) -> None:
    refused(chip(root, ZERO_TRUST).server, f"mlxprivhost -d {HOST0} p", "embedded CPU", 1)


@sets_off("rshim-next-power")
def _(root: Path) -> None:
    made = chip(root)
    good(made.arm, f"mlxprivhost -d {ARM0} r --disable_rshim --disable_tracer")
    assert (made.mode, made.rshim) == (ZERO_TRUST, (True, False))
    made.power_cycle()
    assert made.rshim == (False, False)


@sets_off("arm-without-card")
def _(root: Path) -> None:
    made = chip(root, NIC)
    assert made.arm.sysfs().list("bus/pci/devices") == []
    good(made.server, f"devlink dev eswitch set {HOST} mode switchdev")
    made.server.sysfs().write(VFS, "2")
    assert '"controller": 0' in run(made.server, "devlink -j port show").out


@sets_off("host-before-arm")
def _(root: Path) -> None:
    made = chip(root, bound=False)
    bad_write(made.server, f"{DRIVER}/bind", HOST0, 110)
    assert "pre-initializing state" in run(made.server, "dmesg").out
    build.start(made)
    assert driver(made, HOST0)


@sets_off("host-needs-both")
def _(root: Path) -> None:
    made = chip(root, bound=False)
    for bdf in (ARM0, ARM1):
        made.arm.sysfs().write(f"{DRIVER}/bind", bdf)
    good(made.arm, f"devlink dev eswitch set {ARM} mode switchdev")
    bad_write(made.server, f"{DRIVER}/bind", HOST0, 110)
    good(made.arm, f"devlink dev eswitch set pci/{ARM1} mode switchdev")
    made.server.sysfs().write(f"{DRIVER}/bind", HOST0)
    made.arm.boot()
    made.server.boot()
    assert not driver(made, HOST0)
    assert not driver(made, HOST1)


@sets_off("host-vfs-late")
def _(root: Path) -> None:
    made = chip(root, late=3)
    made.server.sysfs().write(VFS, "2")
    assert "pcivf" not in run(made.arm, "devlink -j port show").out
    made.arm.settle()
    port = json.loads(run(made.arm, "devlink -j port show").out)["port"][f"{ARM}/2"]
    assert (port["flavour"], port["controller"], port["vfnum"], port["external"]) == ("pcivf", 1, 1, True)
    assert made.arm.sysfs().read(f"class/net/{port['netdev']}/phys_port_name") == "c1pf0vf1\n"
    host = json.loads(run(made.arm, "devlink -j port show").out)["port"][f"{ARM}/0"]
    assert (host["flavour"], host["controller"]) == ("pcipf", 1)
    assert made.arm.sysfs().read(f"class/net/{host['netdev']}/phys_port_name") == "c1pf0\n"
    assert "sriov_numvfs" not in made.arm.sysfs().list(f"bus/pci/devices/{ARM0}")


@sets_off("host-takes-targets")
def _(root: Path) -> None:
    made = chip(root)
    made.server.sysfs().write(VFS, "1")
    rule = "protocol 0x88b5 pref 10 handle 0x1 flower dst_mac 02:00:00:00:00:01 skip_sw"
    good(made.arm, "tc qdisc add dev p0 clsact", "ethtool -K p0 hw-tc-offload on")
    good(made.arm, f"tc filter replace dev p0 ingress {rule} action mirred egress redirect dev p0g1r0")
    made.server.sysfs().write(VFS, "0")
    assert '"to_dev": "*"' in run(made.arm, "tc -s -j filter show dev p0 ingress").out


@sets_off("reboot-keeps-firmware")
def _(root: Path) -> None:
    made = chip(root)
    good(made.arm, f"mlxconfig -d {ARM0} {SET_NIC}")
    made.server.boot()
    made.arm.boot()
    assert made.mode == "dpu"
    made.power_cycle()
    assert made.mode == NIC
    assert driver(made, HOST0)


@sets_off("warm-reboot-keeps")
def _(root: Path) -> None:
    made = chip(root)
    good(made.server, f"mlxconfig -d {HOST0} {SET_NIC}", f"mlxfwreset -d {HOST0} -y -l 4 reset")
    assert (made.mode, made.server.boots) == (NIC, 1)
    made.warm_works = False
    good(made.server, f"mlxconfig -d {HOST0} -y set NUM_OF_VFS=4")
    made.firmware.current[ENGINE] = made.firmware.next[ENGINE] = "0"
    good(made.server, f"mlxfwreset -d {HOST0} -y -l 4 reset")
    assert made.firmware.current["NUM_OF_VFS"] == "16"


@sets_off("reset-reboots-arm")
def _(root: Path) -> None:
    made = chip(root)
    good(made.arm, f"mlxconfig -d {ARM0} -y set NUM_OF_VFS=8", f"mlxfwreset -d {ARM0} -y -l 3 --sync 1 reset")
    assert (made.arm.boots, made.server.boots) == (1, 0)
    assert made.firmware.current["NUM_OF_VFS"] == "8"
    assert not driver(made, HOST0)


@sets_off("reset-sync-both")
def _(root: Path) -> None:
    made = chip(root)
    told = run(made.arm, f"mlxfwreset -d {ARM0} q").out
    assert f"0: {'Tool is the owner':<62}-Not supported" in told
    refused(made.arm, f"mlxfwreset -d {ARM0} -y -l 3 --sync 0 reset", "fsm sync timed out", 1)
    made.firmware.syncs = ()
    words = "Synchronization by driver is not supported in the current state of this device"
    refused(made.arm, f"mlxfwreset -d {ARM0} -y -l 3 reset", words, 1)
