# SPDX-License-Identifier: Apache-2.0
"""One virtual host: its disk, its identity, power on and off, snapshots."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from tether_hw.lab.errors import LabError
from tether_hw.lab.process import alive, kill, wait_gone
from tether_hw.lab.vm import qmp
from tether_hw.lab.vm.archive import Archive
from tether_hw.lab.vm.files import OWN
from tether_hw.lab.vm.launch import refuse_steering
from tether_hw.lab.vm.packages import call
from tether_hw.lab.vm.recipe import Image

BOOT_S = 900.0  # under emulation, on a machine that does other things too, with a boot check before sshd
BANNER_S = 2.0
SNAPSHOT = "lab"
MEMORY_MB = 640
KERNEL_WORDS = (
    "console=ttyS0 quiet mitigations=off nokaslr audit=0 apparmor=0 selinux=0 net.ifnames=0"
    " systemd.show_status=0 random.trust_cpu=on no_timer_check nowatchdog panic=-1"
)


@dataclass(frozen=True)
class Cards:
    """What is plugged into a host: addresses of its NICs, and how many queues the data NIC has."""

    management_mac: str
    management_address: str  # with the length of its prefix
    data_mac: str
    simulated_mac: str
    queues: int
    netdevsim: str


@dataclass(frozen=True)
class Guest:
    """``folder`` holds the disk, the initramfs with the identity, the control socket and what the console said."""

    name: str
    folder: Path
    image: Image
    environment: dict[str, str]

    @property
    def host_key(self) -> Path:
        return self.folder / "ssh_host_ed25519_key"

    @property
    def control(self) -> Path:
        return self.folder / "qmp"

    @property
    def disk(self) -> Path:
        return self.folder / "disk.qcow2"

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    def pid(self) -> int | None:
        """The qemu process of the host, or None when the host is off."""
        try:
            pid = int((self.folder / "pid").read_text(encoding="ascii"))
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        ours = all(f"{name}={value}".encode() in environment for name, value in self.environment.items())
        return pid if ours and alive(pid) else None

    def make(self, cards: Cards, hosts: str, client_key: str) -> None:
        """The disk and the initramfs with what this host has and no other."""
        seed = Archive()
        lines = {
            "MANAGEMENT_MAC": cards.management_mac,
            "MANAGEMENT_ADDRESS": cards.management_address,
            "DATA_MAC": cards.data_mac,
            "SIMULATED_MAC": cards.simulated_mac,
            "QUEUES": str(cards.queues),
            "NETDEVSIM": cards.netdevsim,
        }
        private, public = self.host_key.read_bytes(), Path(f"{self.host_key}.pub").read_bytes()
        seed.folder("seed/root", 0o700)
        seed.folder("seed/root/.ssh", 0o700)
        for name, content, mode in (
            ("etc/hostname", f"{self.name}\n".encode(), 0o644),
            ("etc/hosts", hosts.encode(), 0o644),
            ("etc/machine-id", f"{uuid.uuid4().hex}\n".encode(), 0o444),
            ("etc/ssh/ssh_host_ed25519_key", private, 0o600),
            ("etc/ssh/ssh_host_ed25519_key.pub", public, 0o644),
            ("root/.ssh/authorized_keys", f"{client_key}\n".encode(), 0o600),
            (f"{OWN}/host", "".join(f"{key}={value}\n" for key, value in lines.items()).encode(), 0o644),
        ):
            seed.file(f"seed/{name}", content, mode)
        (self.folder / "initrd").write_bytes(self.image.initrd.read_bytes() + seed.bytes())
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(self.image.disk)]
        call([*command, str(self.disk)])

    def command(self, cards: Cards, processors: int, management: list[int], data: list[int]) -> list[str]:
        """The same for every start of this host, but for the numbers of the taps' descriptors: snapshots need that."""
        queues = len(data)
        fds = f"fds={':'.join(map(str, data))}" if queues > 1 else f"fd={data[0]}"
        mq = f",mq=on,vectors={2 * queues + 2}" if queues > 1 else ""
        return [
            *("qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max"),
            *("-smp", str(processors), "-m", str(MEMORY_MB), "-nodefaults", "-no-user-config", "-display", "none"),
            *("-serial", f"file:{self.console}", "-qmp", f"unix:{self.control},server=on,wait=off"),
            *("-kernel", str(self.image.kernel), "-initrd", str(self.folder / "initrd"), "-append", KERNEL_WORDS),
            *("-drive", f"file={self.disk},if=none,id=d0,discard=unmap", "-device", "virtio-blk-pci,drive=d0"),
            *("-device", "virtio-rng-pci"),
            *("-netdev", f"tap,id=m0,fd={management[0]},vhost=off"),
            *("-device", f"virtio-net-pci,netdev=m0,mac={cards.management_mac},romfile="),
            *("-netdev", f"tap,id=x0,{fds},vhost=off"),
            *("-device", f"virtio-net-pci,netdev=x0,id=data,mac={cards.data_mac},romfile={mq}"),
        ]

    def power_on(self, cards: Cards, processors: int, taps: tuple[list[int], list[int]], snapshot: bool) -> None:
        """Starts the machine; ``snapshot`` goes on where the snapshot was taken."""
        command = self.command(cards, processors, *taps) + (["-loadvm", SNAPSHOT] if snapshot else [])
        self.control.unlink(missing_ok=True)
        with open(self.folder / "qemu.log", "wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                cwd="/",
                start_new_session=True,
                pass_fds=[*taps[0], *taps[1]],
                preexec_fn=refuse_steering,
            )
        (self.folder / "pid").write_text(f"{process.pid}\n", encoding="ascii")
        process.returncode = 0  # it stays: Popen must not warn that nobody waited for it

    def power_off(self) -> None:
        """As when the plug is pulled: what the host had not made sure to be on its disk is lost."""
        pid = self.pid()
        if pid is not None:
            kill(pid)
            wait_gone([pid])
            wait_threads(pid)
        (self.folder / "pid").unlink(missing_ok=True)

    def wait(self, address: str, within_s: float = BOOT_S) -> None:
        """Returns when sshd answers. Raises LabError when the machine ends before, or the time is over."""
        deadline = time.monotonic() + within_s
        while not answers(address):
            if self.pid() is None:
                raise LabError(f"host {self.name} ended while it started: {self.last_words()}")
            if time.monotonic() > deadline:
                raise LabError(f"host {self.name} has no sshd after {within_s:.0f} s: {self.last_words()}")
            time.sleep(0.1)

    def last_words(self) -> str:
        lines: list[str] = []
        for file in (self.console, self.folder / "qemu.log"):
            if file.exists():
                lines += file.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-4:]
        return "; ".join(line.strip() for line in lines)

    def set_carrier(self, on: bool) -> None:
        qmp.order(self.control, "set_link", name="data", up=on)

    def save(self) -> None:
        """The machine as it is now, with its memory, into its disk; a former snapshot goes."""
        qmp.monitor(self.control, f"savevm {SNAPSHOT}")

    def ssh(self, address: str, client_key: Path, known_hosts: Path, command: str) -> str:
        options = ["BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=20"]
        options.append(f"UserKnownHostsFile={known_hosts}")
        words = [word for option in options for word in ("-o", option)]
        return call(["ssh", "-F", "none", *words, "-i", str(client_key), f"root@{address}", command], 60.0)


def wait_threads(pid: int, within_s: float = 10.0) -> None:
    """A process is called dead when its first thread is; its taps are free when the last one is."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            left = [name for name in os.listdir(f"/proc/{pid}/task") if name != str(pid)]
        except FileNotFoundError:
            return
        if not left:
            return
        if time.monotonic() > deadline:
            raise LabError(f"process {pid} does not end")
        time.sleep(0.01)


def answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), BANNER_S) as connection:
            connection.settimeout(5.0)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
