# SPDX-License-Identifier: Apache-2.0
"""A machine of the model inside a host made of namespaces: its programs before the real ones on the path, its part of
/sys mounted over the real one, and a veth of the host under each of its network devices.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.drivers.common.fuse import Mount
from tests.drivers.common.netdev import UPLINK, NetDev
from tests.drivers.common.rules import Refused

SOCKET = "var/lib/driver-model.sock"
#: What ethtool is asked about a device that has a veth underneath is the veth's to answer.
PASSED = ("-l", "-L", "-g", "-G", "--show-channels", "--set-channels", "--show-ring", "--set-ring")
#: A host starts dozens of these for one look at its facts, so it imports next to nothing.
STAND_IN = (
    """\
#!/usr/bin/python3 -ISs
import sys, os, _socket
name = os.path.basename(sys.argv[0])
model = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
model.connect("/%s")
stdin = sys.stdin.read() if "-b" in sys.argv else ""
model.sendall("\\0".join([stdin, name, *sys.argv[1:]]).encode() + b"\\n\\0\\n")
raw = b"".join(iter(lambda: model.recv(65536), b""))
code, out, err = raw.decode().split("\\0")
if code == "pass":
    os.execv("/usr/sbin/" + name, [name, *sys.argv[1:]])
sys.stdout.write(out)
sys.stdout.flush()
sys.stderr.write(err)
sys.exit(int(code))
"""
    % SOCKET
)
END = b"\n\0\n"
CLONE_NEWNS, MS_BITS, MNT_DETACH = 0x0002_0000, 2 | 4 | 8, 2
libc = ctypes.CDLL(None, use_errno=True)


class Inside:
    """Stands a machine in the place of a host's cards. pid: the host's first process.

    Files are written as the host sees them: what is changed under a mounted overlay, it may go on seeing as before.
    """

    def __init__(self, pid: int, make: Callable[[Path], Any]) -> None:
        self.pid = pid
        self.root = Path(f"/proc/{pid}/root")
        self.lock = threading.RLock()
        self.own_links = self._links()
        holder = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"]
        self.holder = subprocess.Popen(holder, stdin=subprocess.DEVNULL)
        self.mounts: list[Mount] = []
        self.descriptors: list[int] = []
        self.stand_ins: tuple[str, ...] = ()
        self.server = socket.socket(socket.AF_UNIX)
        try:
            self._files()
            self.machine = make(self.root)
            self.machine.hooks = {"plug": self._plug, "unplug": self._unplug, "rename": self._rename}
            self._answer_programs()
            self._mount()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """It goes; the host stays, with its own /sys again and a /usr/lib that it may write to."""
        for mount in self.mounts:
            self._among_mounts(partial(libc.umount2, f"/sys/{mount.top}".encode(), MNT_DETACH))
        for descriptor in self.descriptors:
            os.close(descriptor)
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)  # the thread that waits in accept() would keep it answering
        self.server.close()
        for name in self._links() - self.own_links:
            self._inside("ip", "link", "delete", name, check=False)
        for name in self.stand_ins:
            (self.root / "usr/local/sbin" / name).unlink(missing_ok=True)
        (self.root / SOCKET).unlink(missing_ok=True)
        self.holder.kill()
        self.holder.wait()

    def _links(self) -> set[str]:
        argv = ["nsenter", "-t", str(self.pid), "--net", "ip", "-j", "link", "show"]
        told = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30)
        return {link["ifname"] for link in json.loads(told.stdout)}

    def faults(self) -> list[str]:
        """What went wrong in the model itself."""
        return [fault for mount in self.mounts for fault in mount.faults]

    def _inside(self, *argv: str, check: bool = True) -> None:
        nsenter = ["nsenter", "-t", str(self.pid), "--mount", "--net", "--root", "--wd=/", "--"]
        done = subprocess.run([*nsenter, *argv], capture_output=True, text=True, check=False, timeout=30)
        assert not check or done.returncode == 0, f"{argv}: {done.stderr}"

    def _files(self) -> None:
        """The host's /usr/lib becomes its own to write, so that packages can lie in /lib/firmware."""
        if not Path(f"/proc/{self.pid}/root/run/usr-lib").exists():
            self._inside("mkdir", "-p", "/run/usr-lib/upper", "/run/usr-lib/work")
            options = "lowerdir=/usr/lib,upperdir=/run/usr-lib/upper,workdir=/run/usr-lib/work"
            self._inside("mount", "-t", "overlay", "overlay", "-o", options, "/usr/lib")
        self._inside("rm", "-rf", "/usr/lib/firmware")
        self._inside("mkdir", "-p", "/usr/lib/firmware")

    # Programs

    def _answer_programs(self) -> None:
        self.stand_ins = self.machine.stand_ins
        folder_of_programs = self.root / "usr/local/sbin"
        folder_of_programs.mkdir(parents=True, exist_ok=True)
        for name in self.stand_ins:
            (folder_of_programs / name).write_text(STAND_IN)
            (folder_of_programs / name).chmod(0o755)
        place = self.root / SOCKET
        place.unlink(missing_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(place.parent, os.O_DIRECTORY)  # the path may be longer than a socket's can be
        try:
            self.server.bind(f"/proc/self/fd/{folder}/{place.name}")
        finally:
            os.close(folder)
        self.server.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._one_program, args=(client,), daemon=True).start()

    def _one_program(self, client: socket.socket) -> None:
        with client:
            raw = b""
            while not raw.endswith(END):
                more = client.recv(65536)
                if not more:
                    return
                raw += more
            stdin, *argv = raw[: -len(END)].decode().split("\0")
            client.sendall("\0".join(self._program(argv, stdin)).encode())

    def _program(self, argv: list[str], stdin: str) -> tuple[str, str, str]:
        """Exit code, or "pass"; output; errors."""
        with self.lock:
            try:
                if self._passed(argv):
                    self._may_pass(argv)
                    return "pass", "", ""
                done = self.machine.run(argv, stdin)
            except Refused as refused:
                return "1", "", f"netlink error: {refused.answer}\n"
            except Exception as error:  # noqa: BLE001 - the asker must hear of a fault of the model
                return "70", "", f"model: {type(error).__name__}: {error}\n"
        return str(done.code), done.out, done.err

    def _passed(self, argv: list[str]) -> bool:
        """ethtool's questions about counts and rings go to the veth underneath."""
        if argv[0] != "ethtool" or len(argv) < 3:
            return False
        device = self.machine.device(argv[2])
        if device is None or device.kind != UPLINK:
            return device is None
        return argv[1] in PASSED

    def _may_pass(self, argv: list[str]) -> None:
        """Raises Refused where the driver would not change the number of queues."""
        device = self.machine.device(argv[2])
        function = self.machine.function_of(device) if device is not None else None
        if function is not None and argv[1] in ("-L", "--set-channels"):
            function.check_queues()

    # Network devices

    def _plug(self, device: NetDev) -> None:
        queues = str(4 if device.kind == UPLINK else 1)
        words = ["ip", "link", "add", device.name, "address", device.mac, "numrxqueues", queues, "numtxqueues", queues]
        words += ["type", "veth", "peer", "name", f"x{device.name}"[:15], "numrxqueues", queues, "numtxqueues", queues]
        self._inside(*words)
        # The other end goes where nobody looks.
        self._inside("ip", "link", "set", f"x{device.name}"[:15], "netns", str(self.holder.pid))

    def _unplug(self, device: NetDev) -> None:
        self._inside("ip", "link", "delete", device.name)

    def _rename(self, device: NetDev) -> None:
        # The hook is told after the fact; the kernel's index does not change, so the address says which it is.
        found = subprocess.run(
            ["nsenter", "-t", str(self.pid), "--net", "ip", "-j", "link", "show"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        for link in json.loads(found.stdout):
            if link["address"] == device.mac and link["ifname"] != device.name:
                self._inside("ip", "link", "set", link["ifname"], "name", device.name)

    # /sys

    def _mount(self) -> None:
        names = os.listdir(f"/proc/{self.pid}/root/sys/class/net")
        own = {name: f"../../devices/virtual/net/{name}" for name in names if self.machine.device(name) is None}
        for top in self.machine.places:
            passes = own if top == "class/net" else {}
            descriptor = os.open("/dev/fuse", os.O_RDWR)
            self.descriptors.append(descriptor)
            mount = Mount(descriptor, self.machine.sysfs(), top, self.lock, passes)
            self._mount_one(descriptor, f"/sys/{top}")
            mount.start()
            self.mounts.append(mount)

    def _mount_one(self, descriptor: int, place: str) -> None:
        options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0,allow_other"
        kind = (b"driver-model", place.encode(), b"fuse", ctypes.c_ulong(MS_BITS), options.encode())
        self._among_mounts(lambda: libc.mount(*kind))

    def _among_mounts(self, act: Callable[[], int]) -> None:
        """Do it in the host's mount namespace: in a child, as a process can be in one only."""
        child = os.fork()
        if child == 0:
            try:
                spaces = os.open(f"/proc/{self.pid}/ns/mnt", os.O_RDONLY)
                os._exit(2 if libc.setns(spaces, CLONE_NEWNS) != 0 else 3 if act() != 0 else 0)
            finally:
                os._exit(4)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, f"exit {os.waitstatus_to_exitcode(status)}"


def can_run() -> str:
    """What is missing here for hosts with a model inside; empty when nothing is."""
    if os.geteuid() != 0:
        return "root"
    if not os.path.exists("/dev/fuse"):
        return "/dev/fuse"
    return "" if shutil.which("nsenter") and shutil.which("unshare") else "util-linux"
