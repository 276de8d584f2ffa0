# SPDX-License-Identifier: Apache-2.0
"""For the rules of mlx5 a mutant that each catches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.drivers.mlx5.build import PF0
from tests.drivers.mlx5.draws import NEW, Begin, Start, Want
from tests.drivers.mlx5.mutants_how import (
    DROPS,
    LATE,
    QUEUED,
    SFS,
    SWITCHED,
    TOLD,
    TWO_VFS,
    Mutant,
    Words,
    after,
    before,
    believing,
    cut,
    edit,
    firmware,
    instead,
    longer,
    moved,
    no_waits,
    port,
    says,
    set,
    swapped,
    twice,
    when,
    without,
    writes,
)
from tether_hw.plan.kinds.nic_eswitch import NicEswitch
from tether_hw.plan.kinds.nic_function import NicFunction
from tether_hw.plan.kinds.nic_param import NicParam
from tether_hw.plan.kinds.nic_queues import NicQueues
from tether_hw.plan.kinds.nic_rules_flower import NicRulesFlower
from tether_hw.plan.kinds.nic_sf import NicSf
from tether_hw.plan.kinds.nic_vf_binding import NicVfBinding
from tether_hw.plan.kinds.nic_vfs import NicVfs

DEV = f"pci/{PF0}"
MODE = when("devlink", "dev", "eswitch", "set")
PARAM = when("devlink", "dev", "param", "set", DEV)
PORT, RATE = when("devlink", "port", "function", "set"), when("devlink", "port", "function", "rate", "set")
ADD = when("devlink", "port", "add")
HOOK, UNHOOK = when("tc", "qdisc", "add"), when("tc", "qdisc", "del")
PUT, TAKE = when("tc", "filter", "replace"), when("tc", "filter", "del")
FLOW = when("ethtool", "-N")
BATCH = when("tc", "-b")
RELOAD = f"devlink dev reload {DEV}"
BOUND = Want(eswitch="switchdev", vfs=2)
DMFS = Want(steering="dmfs")
GONE = Want(eswitch="switchdev", rules=())
U32 = "tc filter replace dev data0 ingress protocol 0x88b5 pref 1205 u32 match u32 0x1 0x1 at 0 skip_sw action drop"
MODE_REFUSED = port(Want(eswitch="switchdev"))


def driverless(path: str, text: str) -> list[tuple[str, str]]:
    away = [("bus/pci/drivers/mlx5_core/unbind", PF0)] if path.endswith("numvfs") else []
    return [*away, (path, text)]


def held_off(path: str, text: str) -> list[tuple[str, str]]:
    off = [(f"bus/pci/devices/{PF0}/sriov_drivers_autoprobe", "0")] if path.endswith("/bind") else []
    return [*off, (path, text)]


def elsewhere(path: str, text: str) -> list[tuple[str, str]]:
    return [(path, "0000:99:00.0" if path.endswith("/bind") else text)]


def world(**values: object) -> Any:
    def act(machine: Any) -> None:
        for name, value in values.items():
            setattr(machine, name, value)

    return act


def added_twice(words: Words) -> list[Words] | None:
    new = ["add" if word == "replace" else word for word in words]
    return [new, new] if PUT(words) else None


def nameless(words: Words) -> list[Words] | None:
    made = cut(PUT, "handle")(words)
    return None if made is None else [["add" if word == "replace" else word for word in made[0]]] * 2


def at_two_places(words: Words) -> list[Words] | None:
    return [[*words[:-1], str(int(words[-1]) + 100)], words] if FLOW(words) and "loc" in words else None


def half(words: Words) -> list[Words] | None:
    """Both rates in one command."""
    return [[*words[:-1], "900gbit", "tx_share", "10mbit"]] if RATE(words) and "tx_max" in words else None


MUTANTS: dict[str, Mutant] = {
    "vfs-over-total": Mutant(port(Want(vfs=4)), edit(NicVfs, lambda data: replace(data, count=100))),
    "vfs-through-zero": Mutant(
        port(Want(vfs=3)),
        without(NicVfs, count=0),
        writes(lambda path, text: [] if path.endswith("numvfs") and text == "0" else [(path, text)]),
        begin=TWO_VFS,
    ),
    "vfs-no-driver": Mutant(port(Want(vfs=2)), None, writes(driverless)),
    "vfs-assigned": Mutant(
        port(Want(vfs=0)), None, believing, begin=TWO_VFS, world=set(vfs_assigned=True), unmoved="fails"
    ),
    "vf-links-late": Mutant(port(SWITCHED), None, no_waits, begin=LATE),
    "representors-late": Mutant(port(SWITCHED), None, no_waits, begin=LATE),
    "vf-probed-before": Mutant(port(TOLD), moved(NicVfBinding, NicFunction)),
    "vf-legacy-address-by-port": Mutant(
        port(Want(vfs=((7, None, None),))),
        None,
        says(instead(when("ip", "link", "set"), f"devlink port function set {DEV}/1 hw_addr 02:00:00:00:00:07")),
    ),
    "vf-address-by-netdev": Mutant(
        port(TOLD), None, says(instead(PORT, "ip link set dev data0 vf 0 mac 02:00:00:00:00:07"))
    ),
    "bind-no-device": Mutant(port(TOLD), None, writes(elsewhere)),
    "bind-without-autoprobe": Mutant(port(TOLD), None, writes(held_off)),
    "no-driver": Mutant(MODE_REFUSED, None, says(before(MODE, "modprobe -r mlx5_core"))),
    "mode-with-bound-vfs": Mutant(port(BOUND), without(NicVfBinding, bound=False), begin=TWO_VFS),
    "mode-busy": Mutant(port(Want(eswitch="legacy")), without(NicRulesFlower), before=(port(DROPS),)),
    "mode-firmware-reset": Mutant(MODE_REFUSED, None, believing, world=firmware(resetting=True), unmoved="fails"),
    "mode-socket-direct": Mutant(MODE_REFUSED, None, believing, world=set(socket_direct=True), unmoved="fails"),
    "mode-ipsec": Mutant(MODE_REFUSED, None, believing, world=set(ipsec=True), unmoved="fails"),
    "mode-traps": Mutant(MODE_REFUSED, None, believing, world=set(traps=True), unmoved="fails"),
    "mode-drops": Mutant(port(Want(eswitch="legacy", sfs=())), without(NicSf), before=(port(SFS),)),
    "mode-rebuilds": Mutant(
        MODE_REFUSED, None, says(instead(when("ethtool", "-L"), "dmesg")), begin=Begin(ports=(Start(queues=8), Start()))
    ),
    "inline-fixed": Mutant(MODE_REFUSED, None, says(longer(MODE, "inline-mode", "link"))),
    "eswitch-half": Mutant(MODE_REFUSED, None, says(longer(MODE, "inline-mode", "transport"))),
    "encap-with-flows": Mutant(port(replace(DROPS, encap="none")), without(NicRulesFlower), before=(port(DROPS),)),
    "steering-unknown": Mutant(port(DMFS), None, says(after(PARAM, "value", "hmfs"))),
    "steering-in-switchdev": Mutant(
        port(Want(eswitch="switchdev", steering="smfs")),
        moved(NicEswitch, NicParam),
        begin=Begin(ports=(Start(steering="dmfs"), Start())),
    ),
    "metadata-in-switchdev": Mutant(port(Want(eswitch="switchdev", metadata=False)), moved(NicEswitch, NicParam)),
    "reload-drops": Mutant(port(DMFS), None, says(before(PARAM, RELOAD)), begin=TWO_VFS),
    "reload-fails": Mutant(
        port(DMFS), None, says(before(PARAM, RELOAD)), world=set(fails_reload=True), unmoved="holds"
    ),
    "reload-lag": Mutant(port(DMFS), None, says(before(PARAM, RELOAD)), world=set(lag=True), unmoved="holds"),
    "reload-sfs": Mutant(port(replace(SFS, encap="none")), None, says(before(MODE, RELOAD)), before=(port(SFS),)),
    "reload-activate": Mutant(port(DMFS), None, says(before(PARAM, f"{RELOAD} action fw_activate"))),
    "port-missing": Mutant(port(TOLD), None, says(swapped(PORT, f"{DEV}/1", f"{DEV}/99"))),
    "address-multicast": Mutant(port(TOLD), None, says(after(PORT, "hw_addr", "03:00:00:00:00:07"))),
    "rate-units": Mutant(port(TOLD), None, says(after(RATE, "tx_max", "1500kbit"))),
    "rate-beyond-link": Mutant(port(TOLD), None, says(after(RATE, "tx_max", "900gbit"))),
    "rate-half": Mutant(port(TOLD), None, says(half)),
    "sf-not-built": Mutant(port(SFS), None, believing, world=world(sf_built=False), unmoved="fails"),
    "sf-in-legacy": Mutant(port(SFS), moved(NicSf, NicEswitch)),
    "sf-no-number": Mutant(port(SFS), None, says(cut(ADD, "sfnum"))),
    "sf-port-index": Mutant(port(SFS), None, says(swapped(ADD, DEV, f"{DEV}/7"))),
    "sf-pfnum": Mutant(port(SFS), None, says(after(ADD, "pfnum", "1"))),
    "sf-controller": Mutant(port(SFS), None, says(longer(ADD, "controller", "1"))),
    "sf-exists": Mutant(port(SFS), None, says(twice(ADD))),
    "sf-attach-late": Mutant(port(SFS), None, no_waits, begin=LATE),
    "sf-without-netdev": Mutant(
        port(SFS), None, says(instead(when("devlink", "dev", "reload"), "dmesg")), begin=Begin(sf_eth=False)
    ),
    "clsact-exists": Mutant(port(DROPS), None, says(twice(HOOK))),
    "clsact-missing": Mutant(port(GONE), None, says(twice(UNHOOK)), before=(port(DROPS),)),
    "filter-without-hook": Mutant(port(DROPS), None, says(instead(HOOK, "dmesg"))),
    "filter-exists": Mutant(port(DROPS), None, says(added_twice)),
    "filter-without-handle": Mutant(port(DROPS), None, says(nameless)),
    "filter-missing": Mutant(port(GONE), None, says(twice(TAKE)), before=(port(DROPS),)),
    "flower-no-driver-code": Mutant(port(DROPS), None, believing, world=world(has_flower=False), unmoved="fails"),
    "flower-offload-off": Mutant(
        port(DROPS), None, says(swapped(when("ethtool", "-K", "data0", "hw-tc-offload"), "on", "off"))
    ),
    "offload-off-with-rules": Mutant(
        port(GONE), None, says(before(BATCH, "ethtool -K data0 hw-tc-offload off")), before=(port(DROPS),)
    ),
    "u32-lies": Mutant(port(DROPS), None, says(instead(PUT, U32))),
    "u32-software": Mutant(port(DROPS), None, says(instead(PUT, U32)), begin=Begin(release=NEW)),
    "queues-over": Mutant(port(QUEUED), edit(NicQueues, lambda data: replace(data, queues={"combined": 64}))),
    "ntuple-full": Mutant(port(QUEUED), None, says(after(FLOW, "loc", "1024"))),
    "ntuple-exit-zero": Mutant(port(QUEUED), None, says(after(FLOW, "loc", "1024"))),
    "ntuple-queue-range": Mutant(port(QUEUED), None, says(after(FLOW, "action", "40"))),
    "ntuple-vf-queue": Mutant(port(QUEUED), None, says(after(FLOW, "action", "0x100000001"))),
    "ntuple-duplicate": Mutant(port(QUEUED), None, says(at_two_places)),
    "ntuple-nothing-there": Mutant(
        port(Want(queues=8)), None, says(twice(when("ethtool", "-N", "data0", "delete"))), before=(port(QUEUED),)
    ),
}
