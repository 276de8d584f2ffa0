# SPDX-License-Identifier: Apache-2.0
"""What sets off the rules of tc and ethtool."""

from __future__ import annotations

import json
from pathlib import Path

from tests.drivers.common.trying import flow_told, good, refused, run
from tests.drivers.mlx5 import build
from tests.drivers.mlx5.build import NO_FLOWER, first
from tests.drivers.mlx5.triggers import FLOW, RULE, VFS, sets_off, switchdev

SHOW = "tc -s -j filter show dev data0 ingress"


@sets_off("clsact-exists")
def _(root: Path) -> None:
    refused(switchdev(root), "tc qdisc add dev data0 clsact", "Exclusivity flag on, cannot modify.", 2)


@sets_off("clsact-missing")
def _(root: Path) -> None:
    refused(build.machine(root), "tc qdisc del dev data0 clsact", "Cannot find specified qdisc", 2)


@sets_off("filter-without-hook")
def _(root: Path) -> None:
    refused(build.machine(root), f"{RULE} action drop", "Parent Qdisc doesn't exists", 2)


@sets_off("filter-exists")
def _(root: Path) -> None:
    host = switchdev(root)
    good(host, f"{RULE} action drop")
    refused(host, f"{RULE} action drop".replace("replace", "add"), "File exists", 2)


@sets_off("filter-without-handle")
def _(root: Path) -> None:
    host = switchdev(root)
    good(host, f"{RULE} action drop".replace(" handle 0x1", ""))
    refused(host, f"{RULE} action drop".replace(" handle 0x1", ""), "File exists", 2)


@sets_off("filter-missing")
def _(root: Path) -> None:
    refused(switchdev(root), "tc filter del dev data0 ingress pref 10", "", 2)


@sets_off("pref-one-protocol")
def _(root: Path) -> None:
    host = switchdev(root)
    good(host, f"{RULE} action drop")
    line = f"{RULE} action drop".replace("0x88b5", "ip").replace("0x1 ", "0x2 ")
    refused(host, line, "Filter with specified priority/protocol not found", 2)


@sets_off("batch-stops")
def _(root: Path) -> None:
    host = switchdev(root)
    lines = [f"{RULE} action drop"[3:], "filter add dev nothing ingress", f"{RULE} action drop"[3:].replace("10", "11")]
    done = run(host, "tc -b -", "\n".join(lines))
    assert (done.code, "Command failed -:2" in done.err) == (1, True)
    device = host.device("data0")
    assert device is not None
    assert len(device.filters) == 1


@sets_off("flower-software")
def _(root: Path) -> None:
    host = switchdev(root)
    good(host, f"{RULE} action skbedit queue_mapping 3")
    assert '"not_in_hw": true' in run(host, SHOW).out


@sets_off("flower-no-driver-code")
def _(root: Path) -> None:
    host = switchdev(root, vfs=1, release=NO_FLOWER, has_flower=False)
    refused(host, f"{RULE} skip_sw action drop", "Operation not supported", 2)
    good(host, f"{RULE} action drop")
    assert '"not_in_hw": true' in run(host, SHOW).out
    assert "# CONFIG_MLX5_CLS_ACT is not set" in host.config()


@sets_off("flower-offload-off")
def _(root: Path) -> None:
    host = switchdev(root)
    good(host, "ethtool -K data0 hw-tc-offload off")
    refused(host, f"{RULE} skip_sw action drop", "TC offload is disabled on net device", 2)


@sets_off("offload-off-with-rules")
def _(root: Path) -> None:
    host = switchdev(root)
    good(host, f"{RULE} skip_sw action drop")
    refused(host, "ethtool -K data0 hw-tc-offload off", "Could not change any device features", 1)
    assert "Active offloaded tc filters" in run(host, "dmesg").out


@sets_off("flower-queue-action")
def _(root: Path) -> None:
    line = f"{RULE} skip_sw action skbedit queue_mapping 3"
    refused(switchdev(root), line, "offload action is not supported", 2)


@sets_off("flower-legacy-redirect")
def _(root: Path) -> None:
    host = build.machine(root)
    good(host, "tc qdisc add dev data0 clsact", "ethtool -K data0 hw-tc-offload on")
    refused(host, f"{RULE} skip_sw action mirred egress redirect dev data1", "not supported", 2)


@sets_off("flower-foreign-target")
def _(root: Path) -> None:
    host = switchdev(root, vfs=2)
    refused(host, f"{RULE} skip_sw action mirred egress redirect dev data1", "not on same switch HW", 2)
    mirror = "action mirred egress mirror dev data1 action mirred egress redirect dev data0g1r0"
    refused(host, f"{RULE} skip_sw {mirror}", "not on same switch HW", 2)
    police = "action police rate 10000000000bit burst 1048576 mtu 65535 conform-exceed drop/pipe"
    good(host, f"{RULE} skip_sw {police} {mirror.replace('data1', 'data0g1r1')}")
    options = json.loads(run(host, SHOW).out)[1]["options"]
    assert [one["kind"] for one in options["actions"]] == ["police", "mirred", "mirred"]
    assert "police 0x1 rate 10Gbit burst 1Mb mtu 64Kb action drop/pipe" in run(host, SHOW.replace(" -j", "")).out


@sets_off("flower-goto-back")
def _(root: Path) -> None:
    host = switchdev(root)
    refused(host, f"{RULE} skip_sw action goto chain 0", "Goto lower numbered chain", 2)
    good(host, f"{RULE} skip_sw action goto chain 7", f"{RULE} skip_sw action drop".replace("pref", "chain 7 pref"))
    listed = json.loads(run(host, SHOW).out)
    assert [(item["chain"], "options" in item) for item in listed] == [(0, False), (0, True), (7, False), (7, True)]


@sets_off("flower-target-gone")
def _(root: Path) -> None:
    host = switchdev(root, vfs=1)
    good(host, f"{RULE} skip_sw action mirred egress redirect dev data0g1r0")
    host.sysfs().write(VFS, "0")
    shown = run(host, SHOW).out
    assert '"to_dev": "*"' in shown
    assert '"in_hw": true' in shown


U32 = "tc filter add dev data0 ingress protocol 0x88b5 pref 11 u32 match u32 0xff 0xff at 0 skip_sw action drop"


@sets_off("u32-software")
def _(root: Path) -> None:
    refused(switchdev(root, release=NO_FLOWER), U32, "Operation not supported", 2)


@sets_off("u32-lies")
def _(root: Path) -> None:
    host = switchdev(root)
    good(host, U32)
    options = json.loads(run(host, SHOW).out)[1]["options"]
    assert options["skip_sw"]
    assert options["not_in_hw"]


@sets_off("feature-fixed")
def _(root: Path) -> None:
    refused(switchdev(root, vfs=1), "ethtool -K data0g1r0 ntuple on", "Could not change any device features", 1)


@sets_off("queues-over")
def _(root: Path) -> None:
    refused(build.machine(root), "ethtool -L data0 combined 64", "exceeds maximum", 1)


@sets_off("queues-below-rules")
def _(root: Path) -> None:
    host = build.machine(root, release=NO_FLOWER)
    good(host, FLOW.replace("action 1", "action 9"))
    refused(host, "ethtool -L data0 combined 8", "too low for existing ntuple filter settings", 1)
    older = build.machine(root)
    good(older, FLOW.replace("action 1", "action 9"), "ethtool -L data0 combined 8")


@sets_off("ntuple-full")
def _(root: Path) -> None:
    flow_told(build.machine(root), FLOW.replace("loc 5", "loc 1024"), "No space left on device")


@sets_off("ntuple-queue-range")
def _(root: Path) -> None:
    flow_told(build.machine(root), FLOW.replace("action 1", "action 16"), "Invalid argument")


@sets_off("ntuple-vf-queue")
def _(root: Path) -> None:
    flow_told(build.machine(root), FLOW.replace("action 1", "action 0x100000001"), "Invalid argument")


@sets_off("ntuple-duplicate")
def _(root: Path) -> None:
    host = build.machine(root)
    good(host, FLOW, FLOW)  # the same again at its place is taken
    flow_told(host, FLOW.replace("loc 5", "loc 6"), "File exists")


@sets_off("ntuple-vlan")
def _(root: Path) -> None:
    host = build.machine(root)
    flow_told(host, FLOW.replace("action", "vlan-etype 0x8100 vlan 100 m 0xf000 action"), "Invalid argument")
    flow_told(host, FLOW.replace("action", "vlan 100 action"), "Invalid argument")
    good(host, FLOW.replace("action", "vlan 100 m 0xf000 action"))
    assert "\tVLAN: 0x64 mask: 0xf000\n" in run(host, "ethtool -n data0").out


@sets_off("ntuple-no-keys")
def _(root: Path) -> None:
    flow_told(build.machine(root), "ethtool -N data0 flow-type ether action 1 loc 5", "Invalid argument")


@sets_off("ntuple-nothing-there")
def _(root: Path) -> None:
    refused(build.machine(root), "ethtool -N data0 delete 7", "No such file or directory", 1)


@sets_off("ntuple-exit-zero")
def _(root: Path) -> None:
    host = build.machine(root)
    done = run(host, FLOW.replace("loc 5", "loc 1024"))
    assert (done.code, done.err) == (0, "rmgr: Cannot insert RX class rule: No space left on device\n")
    assert not first(host)[1].table.flows
