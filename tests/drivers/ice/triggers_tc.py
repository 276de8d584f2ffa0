# SPDX-License-Identifier: Apache-2.0
"""What sets off the rules of tc and its offload."""

from __future__ import annotations

from pathlib import Path

from tests.drivers.common.trying import good, refused, run
from tests.drivers.ice import build
from tests.drivers.ice.build import first
from tests.drivers.ice.sysfs import SysFs
from tests.drivers.ice.triggers import RULE, VFS, safe, sets_off, switchdev


@sets_off("offload-off-with-rules")
def _(root: Path) -> None:
    host = switchdev(root)
    good(host, f"tc {RULE} skip_sw action drop", "ethtool -K data0 hw-tc-offload off")


@sets_off("flower-chain")
def _(root: Path) -> None:
    line = RULE.replace("flower", "chain 1 flower")
    refused(switchdev(root), f"tc {line} skip_sw action drop", "Operation not supported", 2)


@sets_off("flower-lldp-agent")
def _(root: Path) -> None:
    host = switchdev(root)
    first(host)[1].lldp = True
    assert "fw-lldp-agent           : on" in run(host, "ethtool --show-priv-flags data0").out
    refused(host, f"tc {RULE} skip_sw action drop", "RTNETLINK answers: Invalid argument", 2)


@sets_off("flower-offload-off")
def _(root: Path) -> None:
    host = switchdev(root)
    good(host, "ethtool -K data0 hw-tc-offload off")
    refused(host, f"tc {RULE} skip_sw action drop", "turn ON hw-tc-offload", 2)


@sets_off("flower-keys")
def _(root: Path) -> None:
    line = "filter replace dev data0 ingress protocol 0 pref 10 handle 0x1 flower skip_sw action drop"
    refused(switchdev(root), f"tc {line}", "Invalid argument", 2)


@sets_off("flower-safe-mode")
def _(root: Path) -> None:
    host = safe(root)
    good(host, "tc qdisc add dev data0 clsact")
    device = host.device("data0")
    assert device is not None
    device.features["hw-tc-offload"] = True  # as if it were not fixed
    refused(host, f"tc {RULE} skip_sw action drop", "driver is in safe mode", 2)


@sets_off("flower-switchdev-queue")
def _(root: Path) -> None:
    refused(switchdev(root), f"tc {RULE} skip_sw action skbedit queue_mapping 1", "in switchdev mode", 2)


@sets_off("flower-foreign-target")
def _(root: Path) -> None:
    line = f"tc {RULE} skip_sw action mirred egress redirect dev data1"
    refused(switchdev(root), line, "Unsupported netdevice", 2)


@sets_off("flower-legacy-redirect")
def _(root: Path) -> None:
    host = build.machine(root)
    good(host, "tc qdisc add dev data0 clsact", "ethtool -K data0 hw-tc-offload on")
    refused(host, f"tc {RULE} skip_sw action mirred egress redirect dev data1", "Unsupported TC action", 2)


@sets_off("flower-queue-range")
def _(root: Path) -> None:
    host = build.machine(root)
    good(host, "tc qdisc add dev data0 clsact", "ethtool -K data0 hw-tc-offload on")
    good(host, f"tc {RULE} skip_sw action skbedit queue_mapping 15")
    refused(host, f"tc {RULE} skip_sw action skbedit queue_mapping 16", "queue is invalid", 2)


@sets_off("flower-software")
def _(root: Path) -> None:
    host = switchdev(root)
    good(host, f"tc {RULE} action skbedit queue_mapping 1")
    assert '"not_in_hw": true' in run(host, "tc -s -j filter show dev data0 ingress").out


@sets_off("flower-target-gone")
def _(root: Path) -> None:
    host = switchdev(root, vfs=2)
    good(host, f"tc {RULE} skip_sw action mirred egress redirect dev data0_1")
    SysFs(host).write(VFS, "0")
    shown = run(host, "tc -s -j filter show dev data0 ingress").out
    assert '"to_dev": "*"' in shown
    assert '"in_hw": true' in shown


@sets_off("clsact-exists")
def _(root: Path) -> None:
    refused(switchdev(root), "tc qdisc add dev data0 clsact", "Error: Exclusivity flag on, cannot modify.", 2)


@sets_off("clsact-missing")
def _(root: Path) -> None:
    refused(build.machine(root), "tc qdisc del dev data0 clsact", "Cannot find specified qdisc", 2)


@sets_off("filter-without-hook")
def _(root: Path) -> None:
    refused(build.machine(root), f"tc {RULE} action drop", "Parent Qdisc doesn't exists", 2)


@sets_off("filter-exists")
def _(root: Path) -> None:
    host = switchdev(root)
    good(host, f"tc {RULE} action drop", f"tc {RULE} action drop")
    refused(host, f"tc {RULE.replace('replace', 'add')} action drop", "File exists", 2)


@sets_off("filter-without-handle")
def _(root: Path) -> None:
    host = switchdev(root)
    line = f"tc {RULE.replace('handle 0x1 ', '')} action drop"
    good(host, line)
    refused(host, line, "File exists", 2)


@sets_off("filter-missing")
def _(root: Path) -> None:
    host = switchdev(root)
    line = "tc filter del dev data0 ingress protocol 0x88b5 pref 10 handle 0x1 flower"
    refused(host, line, "Filter with specified priority/protocol not found", 2)


@sets_off("pref-one-protocol")
def _(root: Path) -> None:
    host = switchdev(root)
    good(host, f"tc {RULE} action drop")
    line = "tc filter add dev data0 ingress protocol ip pref 10 handle 0x2 flower action drop"
    refused(host, line, "Filter with specified priority/protocol not found", 2)


@sets_off("batch-stops")
def _(root: Path) -> None:
    host = switchdev(root)
    lines = [f"{RULE} action drop", "qdisc add dev data0 clsact", RULE.replace("0x1", "0x2") + " action drop"]
    done = run(host, "tc -b -", "\n".join(lines) + "\n")
    assert (done.code, done.err) == (1, "Error: Exclusivity flag on, cannot modify.\nCommand failed -:2\n")
    device = host.device("data0")
    assert device is not None
    assert [one.handle for one in device.filters] == [1]
