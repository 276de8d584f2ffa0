# SPDX-License-Identifier: Apache-2.0
"""Power on of one host: makes its namespaces and its root, then becomes its first process.

Run as a program by its path with ``python -I``; it imports nothing of the package. Protocol: it prints the pid of the
host's first process and ends; that process waits for a line on standard input (the end of it, which is the death of
whoever powers on, ends the host), goes on and prints ``ready`` when sshd listens.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import stat
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: Path, kind: str, flags: int = 0, options: str = "") -> None:
    done = libc.mount(source.encode(), str(target).encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    check(done, f"mount {source} on {target}")


def bind(source: Path, target: Path, read_only: bool = False) -> None:
    mount(str(source), target, "", MS_BIND)
    if read_only:
        mount(str(source), target, "", MS_BIND | MS_REMOUNT | MS_RDONLY)


def private_folder(image: Path, disk: Path, name: str) -> Path:
    """The host's own copy of a folder of the image; made at its first power on, whole or not at all."""
    own = disk / name
    if not own.is_dir():
        own.parent.mkdir(parents=True, exist_ok=True)
        partial = own.with_name(own.name + ".partial")
        subprocess.run(["cp", "-a", "--reflink=auto", "-T", str(image / name), str(partial)], check=True)
        partial.rename(own)
    return own


def make_root(root: Path, image: Path, disk: Path, private: list[str]) -> None:
    bind(image, root, read_only=True)
    for name in private:
        bind(private_folder(image, disk, name), root / name)
    mount("proc", root / "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("sysfs", root / "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("bpf", root / "sys/fs/bpf", "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700")
    for name, options in (("run", "mode=755"), ("tmp", "mode=1777")):
        mount("tmpfs", root / name, "tmpfs", MS_NOSUID | MS_NODEV, options)
    make_devices(root / "dev")
    own_boot_id(root)


def make_devices(dev: Path) -> None:
    mount("tmpfs", dev, "tmpfs", MS_NOSUID, "mode=755,size=64k")
    for name, number in DEVICES.items():
        os.mknod(dev / name, stat.S_IFCHR | 0o666, os.makedev(*number))
        (dev / name).chmod(0o666)
    for name, mode in (("pts", 0o755), ("shm", 0o1777)):
        (dev / name).mkdir()
        (dev / name).chmod(mode)
    mount("devpts", dev / "pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,gid=5")
    mount("tmpfs", dev / "shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    for link, target in (
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
    ):
        (dev / link).symlink_to(target)


def own_boot_id(root: Path) -> None:
    """The kernel's boot_id is the machine's: without one of its own a host would never be seen to have rebooted."""
    holder = root / "mnt"
    mount("tmpfs", holder, "tmpfs", MS_NOSUID | MS_NODEV, "size=4k")
    file = holder / "boot_id"
    file.write_text(f"{uuid.uuid4()}\n", encoding="ascii")
    file.chmod(0o444)
    bind(file, root / "proc/sys/kernel/random/boot_id", read_only=True)
    check(libc.umount2(str(holder).encode(), MNT_DETACH), "umount")


def write(file: Path, text: str, mode: int = 0o644) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(text)
    file.chmod(mode)


def furnish(root: Path, spec: dict[str, Any]) -> None:
    """What one host has and no other: its names, its keys, sshd's settings. What its owner changed later stays."""
    machine_id = root / "etc/machine-id"
    if not machine_id.exists():
        write(machine_id, uuid.uuid4().hex + "\n", 0o444)
    for name, text, mode in spec["files"]:
        if not (root / name).exists():
            write(root / name, text, mode)
            (root / name).parent.chmod(0o700 if name.startswith("root/") else 0o755)
    write(root / "run/host/init.py", spec["init"])
    (root / "run/sshd").mkdir(mode=0o755)
    (root / "run/lock").mkdir(mode=0o755)
    (root / "run/lock").chmod(0o1777)


def enter(root: Path) -> None:
    os.chdir(root)
    number = SYS_PIVOT_ROOT[os.uname().machine]
    check(libc.syscall(ctypes.c_long(number), b".", b"."), "pivot_root")
    check(libc.umount2(b".", MNT_DETACH), "umount of the old root")
    os.chdir("/")


def first_process(spec: dict[str, Any]) -> None:
    root = Path(spec["root"])
    mount("none", Path("/"), "", MS_REC | MS_PRIVATE)
    socket.sethostname(spec["name"])
    make_root(root, Path(spec["image"]), Path(spec["disk"]), spec["private"])
    furnish(root, spec)
    if sys.stdin.readline() != "go\n":
        sys.exit(1)
    enter(root)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "LANG": "C.UTF-8", **spec["environment"]}
    os.execve("/usr/bin/python3", ["/usr/bin/python3", "-I", "/run/host/init.py"], environment)  # noqa: S606


def main() -> None:
    spec = json.loads(sys.stdin.readline())
    os.umask(0o022)
    os.setsid()
    check(libc.unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET), "unshare")
    pid = os.fork()
    if pid == 0:
        try:
            first_process(spec)
        except Exception as error:  # noqa: BLE001
            print(f"failed: {type(error).__name__}: {error}", flush=True)
            os._exit(1)
    print(pid, flush=True)


if __name__ == "__main__":
    main()
