# SPDX-License-Identifier: Apache-2.0
"""Taps: the lab's end of a virtual NIC, with as many queues, and a program of ours that picks one by lane address.

The kernel has no rule of its own that would spread our EtherType over queues, as a NIC's rule does; the program is it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tether_hw.lab.bpf import R0, R1, R6, R8, Assembler, load_program
from tether_hw.lab.errors import LabError
from tether_hw.lab.netlink import network_of

TUNSETIFF, TUNSETPERSIST, TUNSETSTEERINGEBPF = 0x400454CA, 0x400454CB, 0x800454E0
TUNSETIFINDEX = 0x400454DA
IFF_TAP, IFF_NO_PI, IFF_MULTI_QUEUE, IFF_VNET_HDR = 0x0002, 0x1000, 0x0100, 0x4000
PROG_TYPE_SOCKET_FILTER = 1
SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438
HEADER_BYTES = 14


def open_queues(pid: int, name: str, queues: int, offloads: bool, index: int = 0) -> list[int]:
    """Opens all queues of a tap in the network namespace of a process, in their order; the tap outlives them.

    A tap that is not there yet is made, with this interface index if one is given.

    ``offloads`` lets the guest leave checksums and segmentation to whoever receives.
    """
    flags = IFF_TAP | IFF_NO_PI | (IFF_MULTI_QUEUE if queues > 1 else 0) | (IFF_VNET_HDR if offloads else 0)
    request = struct.pack("16sH22x", name.encode("ascii"), flags)
    opened: list[int] = []
    try:
        with network_of(pid):
            for _ in range(queues):
                descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
                opened.append(descriptor)
                if index and len(opened) == 1:
                    fcntl.ioctl(descriptor, TUNSETIFINDEX, struct.pack("I", index))
                fcntl.ioctl(descriptor, TUNSETIFF, request)
        fcntl.ioctl(opened[0], TUNSETPERSIST, 1)
    except OSError as error:
        for descriptor in opened:
            os.close(descriptor)
        raise LabError(f"tap {name}: {error.strerror}") from error
    return opened


def program(queue_of: dict[str, int]) -> bytes:
    """Code that answers with the queue of the frame's destination address, and with 0 for every other frame."""
    code = Assembler()
    code.copy(R6, R1)
    code.load_absolute(0, 4)
    code.copy(R8, R0)
    code.load_absolute(4, 2)
    for mac, queue in queue_of.items():
        octets = bytes.fromhex(mac.replace(":", ""))
        following = f"after {mac}"
        code.jump_not(R8, int.from_bytes(octets[:4], "big"), following)
        code.jump_not(R0, int.from_bytes(octets[4:], "big"), following)
        code.move(R0, queue)
        code.exit()
        code.label(following)
    code.move(R0, 0)
    code.exit()
    return code.assemble()


def steer(descriptor: int, queue_of: dict[str, int]) -> None:
    """Puts the program into force; ``descriptor`` is any queue of the tap."""
    loaded = load_program(PROG_TYPE_SOCKET_FILTER, program(queue_of), "lanes")
    try:
        fcntl.ioctl(descriptor, TUNSETSTEERINGEBPF, struct.pack("i", loaded))
    finally:
        os.close(loaded)


@contextmanager
def queue_of_process(pid: int, name: str) -> Iterator[int]:
    """A descriptor of our own for a queue of the tap that another process has open."""
    number = next((int(fd.name) for fd in Path(f"/proc/{pid}/fdinfo").iterdir() if is_queue(fd, name)), None)
    if number is None:
        raise LabError(f"process {pid} has no queue of tap {name} open")
    libc = ctypes.CDLL(None, use_errno=True)
    process = check(libc.syscall(SYS_PIDFD_OPEN, pid, 0), "pidfd_open")
    try:
        descriptor = check(libc.syscall(SYS_PIDFD_GETFD, process, number, 0), "pidfd_getfd")
    finally:
        os.close(process)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_queue(info: Path, name: str) -> bool:
    try:
        return f"iff:\t{name}\n" in info.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False


def check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise LabError(f"{what}: {os.strerror(number)}")
    return result
