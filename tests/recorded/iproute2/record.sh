#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Records what iproute2 prints: runs as root in a guest of Debian's kernel with netdevsim (see README.md).
# record.sh FOLDER-OF-PROGRAMS FOLDER-OF-RECORDS NETDEVSIM-THAT-TAKES-FLOWER.ko
set -u
bin=$1 out=$2
mkdir -p "$out"
tc=$bin/tc devlink=$bin/devlink ip=$bin/ip
bus=/sys/bus/netdevsim
"$tc" -V >"$out/version.txt"
uname -r >"$out/kernel.txt"

# keep NAME COMMAND...: standard output, and where it says something or fails, what it said and how it ended.
keep() {
    name=$1
    shift
    "$@" >"$out/$name" 2>"$out/$name.err"
    code=$?
    if [ "$code" != 0 ] || [ -s "$out/$name.err" ]; then echo "exit $code" >>"$out/$name.err"; else rm "$out/$name.err"; fi
    [ -s "$out/$name" ] || rm -f "$out/$name"
}

clean() {
    echo 7 >$bus/del_device 2>/dev/null
    "$ip" link del lab0 2>/dev/null
    "$ip" link del lab1 2>/dev/null
    "$ip" link del lab2 2>/dev/null
}
modprobe -a netdevsim cls_flower cls_u32 cls_matchall act_mirred act_gact act_police act_skbedit act_vlan sch_ingress dummy veth 2>/dev/null
clean

# ---- devlink
dev=netdevsim/netdevsim7
echo "7 2 4" >$bus/new_device
sleep 1
pf=$(ls $bus/devices/netdevsim7/net | head -n 1)
debug=/sys/kernel/debug/netdevsim/netdevsim7
mount -t debugfs none /sys/kernel/debug 2>/dev/null
keep dev-show.json "$devlink" -j dev show $dev
keep eswitch-legacy.json "$devlink" -j dev eswitch show $dev
keep port-show-legacy.json "$devlink" -j port show
echo 3 >$bus/devices/netdevsim7/sriov_numvfs
keep vfs-again.txt sh -c "echo 2 >$bus/devices/netdevsim7/sriov_numvfs"
keep vfs-over.txt sh -c "echo 0 >$bus/devices/netdevsim7/sriov_numvfs; echo 999 >$bus/devices/netdevsim7/sriov_numvfs"
echo 0 >$bus/devices/netdevsim7/sriov_numvfs
echo 3 >$bus/devices/netdevsim7/sriov_numvfs
keep eswitch-set.txt "$devlink" dev eswitch set $dev mode switchdev
sleep 1
keep eswitch-switchdev.json "$devlink" -j dev eswitch show $dev
keep eswitch-inline.txt "$devlink" dev eswitch set $dev inline-mode transport
keep port-show.json "$devlink" -j port show
keep port-function-show.json "$devlink" -j port function show $dev/128
keep port-function-set.txt "$devlink" port function set $dev/128 hw_addr 02:00:00:00:01:01
keep port-add-sf.txt "$devlink" port add $dev flavour pcisf pfnum 0 sfnum 88
keep dev-info.json "$devlink" -j dev info $dev
keep param-show.json "$devlink" -j dev param show $dev name max_macs
keep param-show-all.json "$devlink" -j dev param show
keep param-set.txt "$devlink" dev param set $dev name max_macs value 16 cmode driverinit
keep param-show-set.json "$devlink" -j dev param show $dev name max_macs
keep health-show.json "$devlink" -j health show
keep health-show-device.txt "$devlink" -j health show $dev
"$devlink" port function rate add $dev/grp1
"$devlink" port function rate set $dev/grp1 tx_share 1gbit
keep rate-partial.txt "$devlink" port function rate set $dev/128 tx_max 10gbit tx_share 1gbit
keep rate-after-partial.json "$devlink" -j port function rate show $dev/128
keep rate-set.txt "$devlink" port function rate set $dev/128 tx_max 5gbit parent grp1
keep rate-show.json "$devlink" -j port function rate show
keep rate-command.txt "$devlink" rate show
keep stats-cpu-hit.json "$ip" -j stats show dev "$pf" group offload subgroup cpu_hit
keep link.json "$ip" -j -d link show dev "$pf"
cat "/sys/class/net/$pf/phys_switch_id" >"$out/phys-switch-id.txt" 2>/dev/null
rep=$("$devlink" port show | sed -n 's/.*netdev \([^ ]*\) flavour pcivf.*vfnum 0.*/\1/p' | head -n 1)
[ -z "$rep" ] || keep link-representor.json "$ip" -j -d link show dev "$rep"

# ---- ethtool, which prints some things as JSON only
if [ -x "$bin/ethtool" ]; then
    for what in k a g c l n; do
        keep "ethtool-json-$what.txt" "$bin/ethtool" --json -$what "$pf"
        keep "ethtool-$what.txt" "$bin/ethtool" -$what "$pf"
    done
fi

# ---- what netdevsim says to rules for hardware
"$tc" qdisc add dev "$pf" clsact
keep skip-sw-refused.txt "$tc" filter replace dev "$pf" ingress protocol 0x88b5 pref 1205 handle 0x88b50000 flower dst_mac 02:00:00:00:00:12 skip_sw action drop
keep filter-skip-sw.json "$tc" -s -j filter show dev "$pf" ingress
"$tc" filter replace dev "$pf" ingress protocol 0x88b5 pref 1205 handle 0x88b50000 flower dst_mac 02:00:00:00:00:12 action drop
keep filter-either.json "$tc" -s -j filter show dev "$pf" ingress
keep u32-skip-sw.txt "$tc" filter add dev "$pf" ingress protocol 0x88b5 pref 7 u32 skip_sw match u32 0 0 action drop
keep filter-u32-skip-sw.json "$tc" -s -j filter show dev "$pf" ingress pref 7

# ---- reload
echo Y >"$debug/fail_reload"
keep reload-failed.txt "$devlink" dev reload $dev
keep dev-show-reload-failed.json "$devlink" -j dev show $dev
keep eswitch-reload-failed.json "$devlink" -j dev eswitch show $dev
keep port-show-reload-failed.json "$devlink" -j port show
echo N >"$debug/fail_reload"
"$devlink" dev reload $dev >/dev/null 2>&1
keep eswitch-after-reload.json "$devlink" -j dev eswitch show $dev
keep port-show-after-reload.json "$devlink" -j port show
keep options-together.txt "$devlink" -jp dev show $dev

# ---- tc
"$ip" link add lab0 type veth peer name lab1
"$ip" link add lab2 type dummy
"$ip" link set lab0 up
"$ip" link set lab1 up
"$ip" link set lab2 up
keep qdisc-before.json "$tc" -j qdisc show dev lab0
"$tc" qdisc add dev lab0 clsact
keep qdisc.json "$tc" -j qdisc show dev lab0
keep clsact-again.txt "$tc" qdisc add dev lab0 clsact
u="filter replace dev lab0 ingress"
keep batch.txt "$tc" -b - <<BATCH
$u protocol 0x88b5 pref 1205 chain 7 handle 0x88b50004 flower src_mac 02:00:00:00:00:00/ff:ff:ff:00:00:00 skip_hw action police rate 10000000000bit burst 1048576 mtu 65535 conform-exceed drop/pipe action mirred egress mirror dev lab2 action mirred egress redirect dev lab1
$u protocol 0x88b5 pref 1205 chain 7 handle 0x88b50005 flower dst_mac 02:00:00:00:00:aa/ff:00:ff:00:ff:ff skip_hw action drop
$u protocol 0x88b5 pref 1205 handle 0x88b50000 flower dst_mac 02:00:00:00:00:12 skip_hw action mirred egress redirect dev lab2
$u protocol 0x88b5 pref 1205 handle 0x88b50001 flower dst_mac 02:00:00:00:00:00/ff:ff:ff:ff:ff:00 src_mac 02:00:00:00:01:01 skip_hw action goto chain 7
$u protocol 0x88b5 pref 1205 handle 0x88b50002 flower dst_mac 02:00:00:00:00:13 action police rate 1500000000bit burst 16384 mtu 65535 conform-exceed drop/pipe action goto chain 7
$u protocol 802.1q pref 1206 handle 0x88b50003 flower vlan_id 100 vlan_ethtype 0x88b5 dst_mac 02:00:00:00:00:14 action skbedit queue_mapping 3
BATCH
keep filter.json "$tc" -s -j filter show dev lab0 ingress
keep filter.txt "$tc" -s filter show dev lab0 ingress
keep filter-pref.json "$tc" -s -j filter show dev lab0 ingress pref 1205
keep filter-get.json "$tc" -s -j filter get dev lab0 ingress protocol 0x88b5 pref 1205 handle 0x88b50000 flower
keep filter-pretty.json "$tc" -j -p filter show dev lab0 ingress pref 1206
keep filter-options-together.txt "$tc" -jp filter show dev lab0 ingress
keep other-protocol.txt "$tc" filter add dev lab0 ingress protocol ip pref 1205 flower action drop
keep without-handle.txt "$tc" filter add dev lab0 ingress protocol 0x88b5 pref 21 flower dst_mac 02:00:00:00:00:15 action drop
keep without-handle-again.txt "$tc" filter replace dev lab0 ingress protocol 0x88b5 pref 21 flower dst_mac 02:00:00:00:00:15 action drop
keep with-handle-again.txt "$tc" $u protocol 0x88b5 pref 1205 handle 0x88b50000 flower dst_mac 02:00:00:00:00:12 skip_hw action mirred egress redirect dev lab2
keep batch-stops.txt "$tc" -b - <<BATCH
$u protocol 0x88b5 pref 22 handle 0x1 flower dst_mac 02:00:00:00:00:16 action drop
$u protocol 0x88b5 pref 22 handle 0x2 flower dst_mac 02:00:00:00:00:17 action mirred egress redirect dev nowhere
$u protocol 0x88b5 pref 22 handle 0x3 flower dst_mac 02:00:00:00:00:18 action drop
BATCH
"$tc" filter del dev lab0 ingress pref 21
# Rules of others.
"$tc" filter add dev lab0 ingress protocol 0x88b5 flower dst_mac 02:00:00:00:00:19 action drop
"$tc" filter add dev lab0 ingress protocol all pref 30 matchall action mirred egress mirror dev lab2
"$tc" filter add dev lab0 ingress protocol ip pref 31 flower ip_proto udp dst_port 53 hw_tc 0 2>/dev/null
"$tc" filter add dev lab0 ingress protocol ip pref 31 flower ip_proto udp dst_port 53 action pass
"$tc" filter add dev lab0 ingress protocol 0x88b5 pref 32 u32 match u32 0 0 action drop
"$tc" filter add dev lab0 ingress protocol 0x88b5 pref 33 handle 1 flower action police rate 1mbit burst 10k conform-exceed drop/ok
"$tc" filter add dev lab0 ingress protocol 0x88b5 pref 33 handle 2 flower dst_mac 02:00:00:00:00:1a action police rate 5mbit burst 20k conform-exceed drop/pipe action mirred egress redirect dev lab1
"$tc" filter add dev lab0 ingress protocol 0x88b5 pref 33 handle 3 flower dst_mac 02:00:00:00:00:1b action drop random determ ok 10
"$tc" filter add dev lab0 ingress protocol 802.1ad pref 34 handle 1 flower vlan_id 5 vlan_ethtype 802.1q cvlan_id 6 cvlan_ethtype 0x88b5 action drop
"$tc" filter add dev lab0 ingress protocol 802.1q pref 35 handle 1 flower vlan_id 7 vlan_prio 3 vlan_ethtype 0x88b5 action vlan pop pipe action mirred egress redirect dev lab1
keep filter-others.json "$tc" -s -j filter show dev lab0 ingress
keep filter-others.txt "$tc" -s filter show dev lab0 ingress
"$tc" chain add dev lab0 ingress chain 9 proto 0x88b5 flower dst_mac 00:00:00:00:00:00
keep chain.json "$tc" -j chain show dev lab0 ingress
keep template-mask.txt "$tc" filter add dev lab0 ingress chain 9 protocol 0x88b5 pref 1205 handle 0x88b50008 flower src_mac 02:00:00:00:00:12 action drop
"$ip" link del lab2
keep filter-lost.json "$tc" -s -j filter show dev lab0 ingress
keep filter-lost.txt "$tc" -s filter show dev lab0 ingress
keep no-hook.txt "$tc" filter show dev lo ingress
keep no-device.json "$tc" -j filter show dev nowhere ingress
clean

# ---- a device that takes flower rules
sleep 1
rmmod netdevsim
insmod "$3"
echo "7 1 4" >$bus/new_device
sleep 1
pf=$(ls $bus/devices/netdevsim7/net | head -n 1)
echo 2 >$bus/devices/netdevsim7/sriov_numvfs
"$devlink" dev eswitch set $dev mode switchdev
sleep 1
rep=$("$devlink" port show | sed -n 's/.*netdev \([^ ]*\) flavour pcivf.*vfnum 1.*/\1/p' | head -n 1)
"$tc" qdisc add dev "$pf" clsact
f="filter replace dev $pf ingress protocol 0x88b5 pref 1205"
keep batch-in-hw.txt "$tc" -b - <<BATCH
$f handle 0x88b50000 flower dst_mac 02:00:00:00:00:12 skip_sw action mirred egress redirect dev $rep
$f handle 0x88b50001 flower dst_mac 02:00:00:00:00:13 skip_sw action drop
BATCH
keep filter-in-hw.json "$tc" -s -j filter show dev "$pf" ingress
"$devlink" dev eswitch set $dev mode legacy
sleep 1
keep filter-in-hw-lost.json "$tc" -s -j filter show dev "$pf" ingress
clean
rmmod netdevsim
modprobe netdevsim
