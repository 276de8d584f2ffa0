# SPDX-License-Identifier: Apache-2.0
"""For each rule a mutant that it catches."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

from tests.drivers.ice import sign
from tests.drivers.ice.build import PF0
from tests.drivers.ice.draws import OLD, Begin, Start, Want
from tests.drivers.ice.mutants import Mutant, port
from tests.drivers.ice.mutants_how import (
    AWAY,
    DROPS,
    LATE,
    LEGACY,
    PACKAGE,
    QUEUED,
    SAFE,
    SECOND,
    SIGNED,
    SWITCHED,
    TWO_VFS,
    added,
    all_again,
    at_place,
    behind,
    believing,
    both,
    broken_own,
    by_devlink,
    cut,
    drop_foreign,
    edit,
    elsewhere,
    flower_words,
    hook_twice,
    legacy_flower,
    lock_after_unbind,
    moved,
    no_waits,
    none,
    ntuple_words,
    offload_free,
    one_function,
    placed,
    reader_takes_last,
    removed,
    rule_with,
    rules_stay,
    safe_flower,
    safe_ntuple,
    set,
    swap,
    to_plain_name,
    twice,
    vfs_straight,
    without,
    word_after,
    words_of,
    writes,
)
from tests.support.e810_variants import variant
from tether_hw.agent import nic_driver, nic_rules
from tether_hw.nic.e810.capability import Capabilities
from tether_hw.plan.kinds import nic_rules_flower
from tether_hw.plan.kinds.ddp_package import DdpPackage
from tether_hw.plan.kinds.nic_driver import NicDriver
from tether_hw.plan.kinds.nic_eswitch import NicEswitch
from tether_hw.plan.kinds.nic_queues import NicQueues
from tether_hw.plan.kinds.nic_rules_flower import NicRulesFlower
from tether_hw.plan.kinds.nic_rules_ntuple import NicRulesNtuple
from tether_hw.plan.kinds.nic_vfs import NicVfs

MUTANTS: dict[str, Mutant] = {
    "ddp-first-pf-only": Mutant(port(PACKAGE), None, one_function),
    "ddp-other-stays": Mutant(port(PACKAGE), without(NicDriver, action="unbind"), one_function),
    "ddp-nvm-format": placed(sign.signed(variant(segment_format=(1, 9)))),
    "ddp-invalid-file": placed(b"rubbish"),
    "ddp-too-high": placed(sign.signed(variant(version=(1, 4, 0, 0)))),
    "ddp-too-low": placed(sign.signed(variant(version=(1, 2, 0, 0)))),
    "ddp-no-manifest": placed(variant()),
    "ddp-signature": placed(SIGNED(spoil="signature"), read_back=False),
    "ddp-revision": placed(SIGNED(svn=0), read_back=False),
    "ddp-bad-manifest": placed(SIGNED(spoil="manifest"), read_back=False),
    "ddp-bad-buffer": placed(SIGNED(spoil="buffer"), read_back=False),
    "ddp-locked": Mutant(port(PACKAGE), None, lock_after_unbind),
    "ddp-no-file": Mutant(port(PACKAGE), lambda steps: edit(DdpPackage, removed)(to_plain_name(steps))),
    "ddp-no-fall-back": Mutant(port(PACKAGE), to_plain_name, begin=SAFE, prepare=broken_own),
    "ntuple-off": Mutant(
        port(QUEUED),
        None,
        lambda machine: [words_of(nic_rules, "ntuple_switch", lambda argv: ("dmesg",))],
        begin=Begin(ports=(Start(ntuple=False), Start())),
    ),
    "ntuple-off-wipes": Mutant(
        port(QUEUED), drop_foreign, naive=True, begin=Begin(ports=(Start(flows=2, queues=8), Start()))
    ),
    "ntuple-one-input-set": Mutant(
        port(QUEUED),
        rule_with(
            NicRulesNtuple, source={"address": "02:00:00:00:00:09", "mask": "ff:ff:ff:ff:ff:ff"}, destination=None
        ),
    ),
    "ntuple-full": Mutant(port(QUEUED), at_place(1, "99999")),
    "ntuple-vf-queue": Mutant(
        port(QUEUED), None, lambda machine: ntuple_words(word_after("action", "0x100000001")), naive=True
    ),
    "ntuple-queue-range": Mutant(port(QUEUED), rule_with(NicRulesNtuple, queue=40)),
    "ntuple-duplicate": Mutant(
        port(QUEUED),
        rule_with(NicRulesNtuple, destination={"address": "02:7e:00:00:00:01", "mask": "ff:ff:ff:ff:ff:ff"}),
    ),
    "ntuple-no-ether": Mutant(
        port(QUEUED),
        None,
        lambda machine: [patch.object(Capabilities, "no_ethtool_rules", lambda *more: None)],
        begin=Begin(release=OLD),
        unmoved="refused",
    ),
    "ntuple-masks": Mutant(
        port(QUEUED),
        rule_with(NicRulesNtuple, destination={"address": "02:7e:00:00:00:00", "mask": "ff:ff:ff:ff:ff:00"}),
    ),
    "ntuple-vlan-etype": Mutant(
        port(QUEUED),
        rule_with(NicRulesNtuple, vlan=100),
        naive=True,
    ),
    "ntuple-vlan-mask": Mutant(
        port(QUEUED),
        rule_with(NicRulesNtuple, vlan=100),
        lambda machine: ntuple_words(behind("0x88b5", "vlan-etype", "0x8100")),
        naive=True,
    ),
    "ntuple-vlan-hidden": Mutant(
        port(replace(QUEUED, rules=QUEUED.rules[:1])),
        rule_with(NicRulesNtuple, vlan=100),
        lambda machine: ntuple_words(lambda argv: behind("0x88b5", "vlan-etype", "0x8100")(cut("m", 2)(argv))),
        naive=True,
    ),
    "ntuple-nothing-there": Mutant(
        port(replace(QUEUED, rules=())),
        edit(NicRulesNtuple, lambda data: replace(data, gone=(*data.gone, "777"))),
        stops=True,
        before=(port(QUEUED),),
    ),
    "ntuple-safe-mode": Mutant(port(Want(mtu=3000)), added(safe_ntuple()), naive=True, begin=SAFE),
    "ntuple-exit-zero": Mutant(port(QUEUED), rule_with(NicRulesNtuple, queue=40), naive=True),
    "feature-fixed": Mutant(port(Want(mtu=3000)), added(safe_ntuple()), naive=True, begin=SAFE),
    "offload-off-with-rules": Mutant(
        port(replace(DROPS, rules=DROPS.rules[:1])),
        edit(NicRulesFlower, lambda data: replace(data, offload=False)),
        naive=True,
        before=(port(DROPS),),
    ),
    "flower-chain": Mutant(
        port(DROPS), None, lambda machine: flower_words(behind("ingress", "chain", "1")), naive=True
    ),
    "flower-lldp-agent": Mutant(port(DROPS), unmoved="fails", world=set(lldp=True), patches=believing),
    "flower-offload-off": Mutant(
        port(DROPS), None, lambda machine: [words_of(nic_rules, "tc_offload", lambda argv: ("dmesg",))]
    ),
    "flower-keys": Mutant(
        port(replace(DROPS, rules=DROPS.rules[:1])),
        None,
        lambda machine: flower_words(lambda argv: cut("dst_mac", 2)(word_after("protocol", "0")(argv))),
        naive=True,
    ),
    "flower-safe-mode": Mutant(
        port(Want(mtu=3000)), added(safe_flower()), naive=True, begin=SAFE, prepare=offload_free
    ),
    "flower-switchdev-queue": Mutant(port(DROPS), rule_with(NicRulesFlower, action="queue", queue=1)),
    "flower-foreign-target": Mutant(port(SWITCHED), rule_with(NicRulesFlower, 0, action="redirect", target="data1")),
    "flower-legacy-redirect": Mutant(
        port(Want(mtu=3000)), added(legacy_flower(action="redirect", target="data1")), begin=Begin()
    ),
    "flower-queue-range": Mutant(port(Want(mtu=3000)), added(legacy_flower(action="queue", queue=40))),
    "flower-software": Mutant(port(DROPS), rule_with(NicRulesFlower, action="queue", queue=1, offload="preferred")),
    "flower-target-gone": Mutant(port(LEGACY), moved(NicVfs, NicRulesFlower), before=(port(SWITCHED),), naive=True),
    "clsact-exists": Mutant(port(SWITCHED), stops=True, before=(port(DROPS),)),
    "clsact-missing": Mutant(
        port(LEGACY), edit(NicRulesFlower, lambda data: replace(data, hook=False)), hook_twice, before=(port(DROPS),)
    ),
    "filter-without-hook": Mutant(
        port(DROPS), None, lambda machine: [words_of(nic_rules, "tc_hook", lambda argv: ("dmesg",))]
    ),
    "filter-exists": Mutant(
        port(replace(DROPS, rules=(*DROPS.rules, (3, "drop", 0)))),
        edit(NicRulesFlower, all_again),
        lambda machine: flower_words(swap("replace", "add")),
        stops=True,
    ),
    "filter-without-handle": Mutant(
        port(DROPS), edit(NicRulesFlower, all_again), lambda machine: flower_words(cut("handle", 2)), stops=True
    ),
    "filter-missing": Mutant(
        port(LEGACY),
        None,
        lambda machine: [words_of(nic_rules_flower, "tc_remove", word_after("handle", "0x88b50077"))],
        stops=True,
        before=(port(DROPS),),
    ),
    "pref-one-protocol": Mutant(
        port(DROPS),
        None,
        lambda machine: flower_words(lambda argv: word_after("protocol", "ip")(argv) if SECOND in argv else argv),
        naive=True,
    ),
    "batch-stops": Mutant(
        port(replace(DROPS, rules=(*DROPS.rules, (3, "drop", 0)))),
        rule_with(NicRulesFlower, 1, action="queue", queue=1),
    ),
    "bind-bound": Mutant(
        port(PACKAGE), without(NicDriver, action="unbind"), lambda machine: [patch.object(nic_driver, "_driver", none)]
    ),
    "bind-no-device": Mutant(port(PACKAGE), None, lambda machine: writes(elsewhere)),
    "unbind-unbound": Mutant(port(PACKAGE), None, lambda machine: writes(twice)),
    "unbind-drops-all": Mutant(port(replace(QUEUED, package="1.3.40.0")), rules_stay, before=(port(QUEUED),)),
    "no-driver": Mutant(port(replace(DROPS, package="1.3.40.0")), moved(NicEswitch, DdpPackage)),
    "vfs-over-total": Mutant(port(Want(vfs=4)), edit(NicVfs, lambda data: replace(data, count=100))),
    "vfs-no-driver": Mutant(port(Want(vfs=4, package="1.3.40.0")), moved(NicVfs, DdpPackage)),
    "vfs-through-zero": Mutant(port(Want(vfs=4)), without(NicVfs, count=0), vfs_straight, begin=TWO_VFS),
    "vfs-safe-mode": Mutant(port(Want(mtu=3000)), added(NicVfs(PF0, 2)), begin=SAFE),
    "vfs-assigned": Mutant(
        port(Want(vfs=0)), None, believing, begin=TWO_VFS, world=set(vfs_assigned=True), unmoved="fails"
    ),
    "vf-links-late": Mutant(port(SWITCHED), None, lambda machine: no_waits(), begin=LATE),
    "representors-late": Mutant(port(SWITCHED), None, lambda machine: no_waits(), begin=LATE),
    "netdev-late": Mutant(port(PACKAGE), None, lambda machine: no_waits(), begin=LATE),
    "net-lists-representors": Mutant(port(SWITCHED), None, reader_takes_last),
    "mode-with-vfs": Mutant(port(LEGACY), moved(NicEswitch, NicVfs), before=(port(SWITCHED),)),
    "mode-with-adq": Mutant(port(DROPS), None, believing, world=set(adq=True), unmoved="fails"),
    "reload-switchdev": Mutant(
        port(replace(DROPS, package="1.3.40.0")), both(without(NicEswitch), AWAY), by_devlink, before=(port(DROPS),)
    ),
    "reload-adq": Mutant(port(PACKAGE), AWAY, by_devlink, world=set(adq=True), unmoved="holds"),
    "reload-vfs": Mutant(
        port(Want(vfs=2, package="1.3.40.0")), both(without(NicVfs), AWAY), by_devlink, before=(port(Want(vfs=2)),)
    ),
    "reload-drops-filters": Mutant(
        port(replace(QUEUED, package="1.3.40.0")), both(rules_stay, AWAY), by_devlink, before=(port(QUEUED),)
    ),
    "queues-over": Mutant(port(QUEUED), edit(NicQueues, lambda data: replace(data, queues={"combined": 64}))),
    "queues-safe-mode": Mutant(port(Want(mtu=3000)), added(NicQueues("data0", {"combined": 4})), begin=SAFE),
    "queues-adq": Mutant(port(Want(queues=8)), None, believing, world=set(adq=True), unmoved="fails"),
    "queues-with-filters": Mutant(port(replace(QUEUED, rules=((1, "queue", 1),))), moved(NicRulesNtuple, NicQueues)),
    "queues-rdma": Mutant(port(Want(queues=8)), None, believing, world=set(rdma=True), unmoved="fails"),
}
