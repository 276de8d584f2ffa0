# SPDX-License-Identifier: Apache-2.0
"""What sets off each rule of rules.yaml, by the programs and files that an agent would use."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from tests.drivers.common.trying import flow_told, good, refused, run
from tests.drivers.ice import build, sign
from tests.drivers.ice.build import PF0, PF1, first
from tests.drivers.ice.firmware import GLOBAL_CONFIG
from tests.drivers.ice.machine import Done, Machine
from tests.drivers.ice.sysfs import SysFs
from tests.support.e810_variants import variant

Trigger = Callable[[Path], None]
TRIGGERS: dict[str, Trigger] = {}
VFS = f"bus/pci/devices/{PF0}/sriov_numvfs"
FLOW = "ethtool -N data0 flow-type ether dst 02:00:00:00:00:01 proto 0x88b5 action 1 loc 5"
RULE = "filter replace dev data0 ingress protocol 0x88b5 pref 10 handle 0x1 flower dst_mac 02:00:00:00:00:01"


def sets_off(rule: str) -> Callable[[Trigger], Trigger]:
    def keep(trigger: Trigger) -> Trigger:
        TRIGGERS[rule] = trigger
        return trigger

    return keep


def all_triggers() -> dict[str, Trigger]:
    """Those of this file and of the others."""
    for name in ("triggers_tc", "triggers_functions"):
        importlib.import_module(f"tests.drivers.ice.{name}")
    return TRIGGERS


def switchdev(root: Path, vfs: int = 0) -> Machine:
    """A host whose first function is in switchdev mode, with its hook and offload."""
    host = build.machine(root)
    good(host, f"devlink dev eswitch set pci/{PF0} mode switchdev")
    if vfs:
        SysFs(host).write(VFS, str(vfs))
    good(host, "tc qdisc add dev data0 clsact", "ethtool -K data0 hw-tc-offload on")
    return host


def safe(root: Path) -> Machine:
    return build.machine(root, package=None)


def _loading(root: Path, content: bytes | None, **nvm: object) -> None:
    host = build.machine(root, package=content, bound=False)
    for key, value in nvm.items():
        setattr(host.cards[0].firmware, key, value)
    SysFs(host).write("bus/pci/drivers/ice/bind", PF0)
    assert first(host)[1].safe_mode


@sets_off("ddp-first-pf-only")
def _(root: Path) -> None:
    assert any("already present" in line for line in build.machine(root).kernel_log)


@sets_off("ddp-other-stays")
def _(root: Path) -> None:
    host = build.machine(root)
    build.put(root, sign.signed(variant(version=(1, 3, 40, 0))))
    SysFs(host).write("bus/pci/drivers/ice/unbind", PF0)
    SysFs(host).write("bus/pci/drivers/ice/bind", PF0)
    assert '"fw.app": "1.3.36.0"' in run(host, f"devlink -j dev info pci/{PF0}").out


@sets_off("ddp-nvm-format")
def _(root: Path) -> None:
    _loading(root, sign.signed(variant(segment_format=(1, 9))))


@sets_off("ddp-invalid-file")
def _(root: Path) -> None:
    _loading(root, b"rubbish")


@sets_off("ddp-too-high")
def _(root: Path) -> None:
    _loading(root, sign.signed(variant(version=(1, 4, 0, 0))))


@sets_off("ddp-too-low")
def _(root: Path) -> None:
    _loading(root, sign.signed(variant(version=(1, 2, 0, 0))))


@sets_off("ddp-no-manifest")
def _(root: Path) -> None:
    _loading(root, variant())


@sets_off("ddp-signature")
def _(root: Path) -> None:
    _loading(root, sign.signed(variant(), spoil="signature"))


@sets_off("ddp-revision")
def _(root: Path) -> None:
    _loading(root, sign.signed(variant(), svn=1), least_svn=2)


@sets_off("ddp-bad-manifest")
def _(root: Path) -> None:
    _loading(root, sign.signed(variant(), spoil="manifest"))


@sets_off("ddp-bad-buffer")
def _(root: Path) -> None:
    _loading(root, sign.signed(variant(), spoil="buffer"))


@sets_off("ddp-locked")
def _(root: Path) -> None:
    _loading(root, build.PACKAGE, locks={GLOBAL_CONFIG: (PF1, 1000)})


@sets_off("ddp-no-file")
def _(root: Path) -> None:
    host = safe(root)
    assert '"fw.app": "0.0.0.0"' in run(host, f"devlink -j dev info pci/{PF0}").out


@sets_off("ddp-no-fall-back")
def _(root: Path) -> None:
    build.put(root, b"rubbish", f"lib/firmware/intel/ice/ddp/ice-{build.DSN:016x}.pkg")
    _loading(root, build.PACKAGE)


@sets_off("ntuple-off")
def _(root: Path) -> None:
    host = build.machine(root)
    good(host, "ethtool -K data0 ntuple off")
    flow_told(host, FLOW, "Operation not supported")


@sets_off("ntuple-off-wipes")
def _(root: Path) -> None:
    host = build.machine(root)
    good(host, FLOW, "ethtool -K data0 ntuple off", "ethtool -K data0 ntuple on")
    assert "Total 0 rules" in run(host, "ethtool -n data0").out


@sets_off("ntuple-one-input-set")
def _(root: Path) -> None:
    host = build.machine(root)
    good(host, FLOW)
    flow_told(host, "ethtool -N data0 flow-type ether proto 0x88b5 action 2 loc 6", "Invalid argument")
    assert "must have the same input set" in host.kernel_log[-1]
    good(host, "ethtool -N data0 delete 5")
    good(host, "ethtool -N data0 flow-type ether proto 0x88b5 action 2 loc 6")
    assert "Total 1 rules" in run(host, "ethtool -n data0").out


@sets_off("ntuple-full")
def _(root: Path) -> None:
    flow_told(build.machine(root), FLOW.replace("loc 5", "loc 99999"), "No space left on device")


@sets_off("ntuple-vf-queue")
def _(root: Path) -> None:
    flow_told(build.machine(root), FLOW.replace("action 1", "action 0x100000001"), "Invalid argument")


@sets_off("ntuple-queue-range")
def _(root: Path) -> None:
    flow_told(build.machine(root), FLOW.replace("action 1", "action 16"), "Invalid argument")


@sets_off("ntuple-duplicate")
def _(root: Path) -> None:
    host = build.machine(root)
    good(host, FLOW)
    flow_told(host, FLOW, "Invalid argument")
    flow_told(host, FLOW.replace("loc 5", "loc 6"), "Invalid argument")
    done = run(host, FLOW.replace("action 1", "action 2"))  # another queue at the same place is a change
    assert done == Done(0)


@sets_off("ntuple-no-ether")
def _(root: Path) -> None:
    flow_told(build.machine(root, release="6.1.0-56-amd64"), FLOW, "Operation not supported")
    outside = build.machine(root, release="6.1.0-56-amd64", driver_version="1.15.4")
    assert run(outside, FLOW) == Done(0)
    assert "Direct to queue 1" in run(outside, "ethtool -n data0").out


@sets_off("ntuple-masks")
def _(root: Path) -> None:
    host = build.machine(root)
    flow_told(host, FLOW.replace("01 proto", "01 m 00:00:00:00:00:ff proto"), "Operation not supported")
    flow_told(host, FLOW.replace("0x88b5", "0x88b5 m 0x00ff"), "Operation not supported")


@sets_off("ntuple-vlan-etype")
def _(root: Path) -> None:
    host = build.machine(root)
    flow_told(host, FLOW.replace("action", "vlan 100 action"), "Invalid argument")
    flow_told(host, FLOW.replace("action", "vlan-etype 0x8100 vlan 5000 action"), "Invalid argument")


@sets_off("ntuple-vlan-mask")
def _(root: Path) -> None:
    line = FLOW.replace("action", "vlan-etype 0x8100 vlan 100 m 0xf000 action")
    flow_told(build.machine(root), line, "Operation not supported")


@sets_off("ntuple-vlan-hidden")
def _(root: Path) -> None:
    host = build.machine(root)
    good(host, FLOW.replace("action", "vlan-etype 0x8100 vlan 100 action"))
    shown = run(host, "ethtool -n data0").out
    assert "Filter: 5" in shown
    assert "VLAN" not in shown


@sets_off("ntuple-nothing-there")
def _(root: Path) -> None:
    refused(build.machine(root), "ethtool -N data0 delete 7", "No such file or directory", 1)


@sets_off("ntuple-safe-mode")
def _(root: Path) -> None:
    host = safe(root)
    assert "Operation not supported" in run(host, FLOW).err
    refused(host, "ethtool -n data0", "Operation not supported", 1)


@sets_off("ntuple-exit-zero")
def _(root: Path) -> None:
    done = run(build.machine(root), FLOW.replace("loc 5", "loc 99999"))
    assert done == Done(0, "", "rmgr: Cannot insert RX class rule: No space left on device\n")


@sets_off("feature-fixed")
def _(root: Path) -> None:
    refused(safe(root), "ethtool -K data0 ntuple on", "Could not change any device features", 1)
