# SPDX-License-Identifier: Apache-2.0
"""The few rtnetlink requests that no command line tool can make without a pinned object: a tc filter by descriptor."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

RTM_NEWQDISC, RTM_NEWTFILTER = 36, 44
NLM_F_REQUEST, NLM_F_ACK, NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 1, 4, 0x100, 0x200, 0x400
NLMSG_ERROR = 2
TC_H_CLSACT = 0xFFFFFFF1
CLSACT_HANDLE = 0xFFFF0000
CLSACT_INGRESS = 0xFFFFFFF2
TCA_KIND, TCA_OPTIONS = 1, 2
TCA_BPF_FD, TCA_BPF_NAME, TCA_BPF_FLAGS = 6, 7, 8
TCA_BPF_FLAG_ACT_DIRECT = 1
CLONE_NEWNET = 0x40000000
ETH_P_ALL = 0x0003


def attribute(kind: int, value: bytes) -> bytes:
    padding = -len(value) % 4
    return struct.pack("<HH", 4 + len(value), kind) + value + bytes(padding)


@contextmanager
def network_of(pid: int) -> Iterator[None]:
    """This thread in the network namespace of another process; sockets made here stay there."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter(libc, there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            enter(libc, home)
    finally:
        os.close(home)


def enter(libc: ctypes.CDLL, descriptor: int) -> None:
    if libc.setns(descriptor, CLONE_NEWNET) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


class Netlink:
    """A route socket in the namespace of the moment it is made. Errors are OSError with the kernel's number."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._socket.settimeout(10.0)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def request(self, kind: int, flags: int, payload: bytes) -> None:
        self._sequence += 1
        header = struct.pack("<IHHII", 16 + len(payload), kind, flags | NLM_F_REQUEST | NLM_F_ACK, self._sequence, 0)
        self._socket.send(header + payload)
        answer = self._socket.recv(65536)
        _, answer_kind, _, _, _ = struct.unpack_from("<IHHII", answer)
        (error,) = struct.unpack_from("<i", answer, 16)
        if answer_kind != NLMSG_ERROR or error:
            raise OSError(-error, f"netlink request {kind}: {os.strerror(-error)}")

    def add_clsact(self, index: int) -> None:
        """The hook for ingress filters; one that is there already stays."""
        message = struct.pack("<BxxxiIII", 0, index, CLSACT_HANDLE, TC_H_CLSACT, 0)
        try:
            self.request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, message + attribute(TCA_KIND, b"clsact\0"))
        except FileExistsError:
            pass

    def set_ingress_program(self, index: int, program: int, name: str) -> None:
        """Replaces the ingress filter of a link by this program, in one step."""
        info = 1 << 16 | socket.htons(ETH_P_ALL)
        message = struct.pack("<BxxxiIII", 0, index, 1, CLSACT_INGRESS, info)
        options = attribute(TCA_BPF_FD, struct.pack("<I", program))
        options += attribute(TCA_BPF_NAME, name.encode("ascii") + b"\0")
        options += attribute(TCA_BPF_FLAGS, struct.pack("<I", TCA_BPF_FLAG_ACT_DIRECT))
        payload = message + attribute(TCA_KIND, b"bpf\0") + attribute(TCA_OPTIONS, options)
        self.request(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_REPLACE, payload)
