# SPDX-License-Identifier: Apache-2.0
"""What the image of the virtual hosts is made of. Any change here is another image, with another name."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tether_hw.lab.errors import LabError
from tether_hw.lab.image import NOT_UNPACKED, SUITE

RECIPE_VERSION = 1
DISK_MB = 1024
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "udev",
    "openssh-server",
    "iproute2",
    "ethtool",
    "python3",
    "kmod",
    "procps",
    "sudo",
    "iputils-ping",
)
# Units that no test of ours looks at and that cost seconds under emulation.
MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
    "getty-static.service",
    "proc-sys-fs-binfmt_misc.automount",
    "systemd-binfmt.service",
    "systemd-hwdb-update.service",
    "systemd-pstore.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "dev-hugepages.mount",
    "rescue.service",
    "emergency.service",
)
# In the initramfs, in the order of their needs; then everything that a host of ours may ask for.
ROOT_MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")
MODULES = (
    *ROOT_MODULES,
    "virtio_net",
    "virtio_rng",
    "psample",
    "sch_ingress",
    "sch_fq_codel",
    "cls_flower",
    "cls_u32",
    "cls_matchall",
    "cls_bpf",
    "act_mirred",
    "act_gact",
    "act_police",
    "act_vlan",
    "act_skbedit",
    "act_sample",
    "bridge",
    "8021q",
    "bonding",
    "veth",
    "dummy",
    "tun",
    "autofs4",
    "xsk_diag",
    "af_packet_diag",
)


@dataclass(frozen=True)
class Series:
    """One kernel series of Debian: where its packages are."""

    name: str
    image: str  # the package that depends on the newest image
    source: str
    backports: bool


KERNELS = {
    "6.1": Series("6.1", "linux-image-amd64", "linux-source-6.1", backports=False),
}
DEFAULT_KERNEL = "6.1"
STOCK, FLOWER = "stock", "flower"  # the simulated NIC as Debian has it, or with an edit that takes flower rules


def series(name: str) -> Series:
    """Raises LabError for a series that no recipe knows."""
    if name not in KERNELS:
        raise LabError(f"no kernel {name}", hint=f"one of {', '.join(KERNELS)}")
    return KERNELS[name]


def recipe_digest(kernel: Series, texts: dict[str, str]) -> str:
    """Names the image; ``texts`` are the files that it gets."""
    recipe = [RECIPE_VERSION, SUITE, DISK_MB, PACKAGES, MASKED, MODULES, NOT_UNPACKED, asdict(kernel), texts]
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Image:
    """A finished image: a folder that is never written again."""

    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "base.qcow2"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd"
