# SPDX-License-Identifier: Apache-2.0
"""The files that make a Debian a host of the lab: its first program, its cards, its sshd."""

from __future__ import annotations

OWN = "etc/tether-lab"  # what the lab puts on one host and no other
PROGRAMS = "usr/lib/tether-lab"

# Runs in the initramfs. A failure ends the machine: one that waits in a shell would cost its starter minutes.
INIT = f"""\
#!/bin/busybox sh
PATH=/bin
fail() {{ echo "lab: $1"; /bin/busybox dmesg | /bin/busybox tail -20; /bin/busybox poweroff -f; }}
/bin/busybox mkdir -p /dev /proc /sys /root
/bin/busybox mount -t devtmpfs dev /dev || fail "no /dev"
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
for module in /modules/*.ko; do /bin/busybox insmod $module || fail "no $module"; done
n=0
until [ -b /dev/vda ]; do
    n=$((n + 1)); [ $n -gt 200 ] && fail "no disk"
    /bin/busybox usleep 50000
done
/bin/busybox mount -t ext4 -o noatime /dev/vda /root || fail "the disk does not mount"
if [ ! -e /root/{OWN}/seeded ]; then
    /bin/busybox cp -a /seed/. /root/ || fail "no seed"
    : >/root/{OWN}/seeded
fi
/bin/busybox umount /proc /sys
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
"""

# The host's cards: named, as after power on. Nothing else of the host starts before.
DEVICES = f"""\
#!/bin/sh
set -u
. /{OWN}/host
find_nic() {{
    for nic in /sys/class/net/*; do
        [ "$(cat "$nic/address")" = "$1" ] && [ -e "$nic/device" ] && echo "${{nic##*/}}" && return
    done
}}
name_nic() {{
    n=0
    until found=$(find_nic "$1"); [ -n "$found" ]; do
        n=$((n + 1))
        [ $n -gt 200 ] && echo "no NIC with $1" && return 1
        sleep 0.05
    done
    [ "$found" = "$2" ] || ip link set dev "$found" name "$2"
}}
modprobe virtio_net
name_nic "$MANAGEMENT_MAC" mgmt0 && ip address add "$MANAGEMENT_ADDRESS" dev mgmt0 && ip link set dev mgmt0 up
name_nic "$DATA_MAC" data0 && ip link set dev data0 up
[ "$QUEUES" -gt 1 ] && ethtool -L data0 combined 1
if [ "$NETDEVSIM" = flower ]; then
    for needed in $(modinfo -F depends /{PROGRAMS}/netdevsim-flower.ko | tr , ' '); do modprobe "$needed"; done
    insmod /{PROGRAMS}/netdevsim-flower.ko
else
    modprobe netdevsim
fi
echo "1 1 4" >/sys/bus/netdevsim/new_device
for port in /sys/bus/netdevsim/devices/netdevsim1/net/*; do
    ip link set dev "${{port##*/}}" address "$SIMULATED_MAC" name sim0
done
exit 0
"""

DEVICES_UNIT = f"""\
[Unit]
Description=Cards of the lab host
DefaultDependencies=no
After=systemd-udevd.service systemd-remount-fs.service
Before=sysinit.target network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/{PROGRAMS}/devices
"""

SSHD = """\
UsePAM no
UseDNS no
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100:30:200
MaxSessions 100
"""

# path, text, mode
FILES: tuple[tuple[str, str, int], ...] = (
    (f"{PROGRAMS}/devices", DEVICES, 0o755),
    ("etc/systemd/system/lab-devices.service", DEVICES_UNIT, 0o644),
    ("etc/ssh/sshd_config.d/lab.conf", SSHD, 0o600),
    ("etc/fstab", "", 0o644),
    ("etc/modprobe.d/lab.conf", "options dummy numdummies=0\n", 0o644),
    ("etc/systemd/journald.conf.d/lab.conf", "[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n", 0o644),
)
# folder of links, name, target
LINKS = (("etc/systemd/system/sysinit.target.wants", "lab-devices.service", "../lab-devices.service"),)


def texts() -> dict[str, str]:
    """Everything that the name of the image depends on."""
    return {"init": INIT, "links": repr(LINKS), **{name: f"{mode:o} {text}" for name, text, mode in FILES}}
