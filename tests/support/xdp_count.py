# SPDX-License-Identifier: Apache-2.0
"""Counts, by receive queue, the 0x88B5 frames that reach a NIC: a small XDP program, gone with its descriptors."""

from __future__ import annotations

import ctypes
import os
import socket
import struct

from tether_hw.lab.bpf import ALU64, JEQ, JMP, MOV, R0, R1, R2, R3, R4, R6, R10, SIZE_U16, SYS_BPF, Assembler, K
from tether_hw.lab.netlink import network_of

BPF_MAP_CREATE, BPF_MAP_LOOKUP_ELEM, BPF_PROG_LOAD, BPF_LINK_CREATE = 0, 1, 5, 28
MAP_TYPE_ARRAY, PROG_TYPE_XDP, ATTACH_XDP = 2, 6, 37
DRIVER_MODE = 4
XDP_DROP, XDP_PASS = 1, 2
LOOKUP = 1
PSEUDO_MAP_FD = 1
MAX_QUEUES = 64
ETHERTYPE_LITTLE, VLAN_LITTLE = 0xB588, 0x0081


def bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    libc = ctypes.CDLL(None, use_errno=True)
    number = ctypes.c_long(SYS_BPF[os.uname().machine])
    result = libc.syscall(number, ctypes.c_int(command), buffer, ctypes.c_uint(len(attributes)))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf({command}): {os.strerror(ctypes.get_errno())}")
    return int(result)


class CountingProgram(Assembler):
    """Drops what it counts: slot = 2 x queue + (1 with a VLAN tag in the frame)."""

    def __init__(self, map_fd: int) -> None:
        super().__init__()
        self.copy(R6, R1)
        self.load(R2, R6, 0)
        self.load(R3, R6, 4)
        self.copy(R4, R2)
        self.add(R4, 18)
        self.jump_above(R4, R3, "pass")
        self.load(R4, R6, 16)
        self._add(ALU64 | 0x60 | K, R4, 0, 0, 1)  # shift left
        self.load(R0, R2, 12, SIZE_U16)
        self.jump_is(R0, ETHERTYPE_LITTLE, "count")
        self.jump_not(R0, VLAN_LITTLE, "pass")
        self.load(R0, R2, 16, SIZE_U16)
        self.jump_not(R0, ETHERTYPE_LITTLE, "pass")
        self.add(R4, 1)
        self.label("count")
        self.store(R10, -4, R4)
        self.copy(R2, R10)
        self.add(R2, -4)
        self._add(0x18, R1, PSEUDO_MAP_FD, 0, map_fd)
        self._add(0, 0, 0, 0, 0)
        self.call(LOOKUP)
        self._add(JMP | JEQ | K, R0, 0, "pass", 0)  # of 64 bits: it is a pointer
        self._add(ALU64 | MOV | K, R1, 0, 0, 1)
        self._add(0xDB, R0, R1, 0, 0)  # lock *(u64 *)r0 += r1
        self.move(R0, XDP_DROP)
        self.exit()
        self.label("pass")
        self.move(R0, XDP_PASS)
        self.exit()


class QueueCounter:
    """Attached in driver mode to a device of the namespace of ``pid`` for as long as the ``with`` lasts."""

    def __init__(self, pid: int, device: str) -> None:
        self._fds: list[int] = []
        self._map = self._keep(bpf(BPF_MAP_CREATE, struct.pack("<IIIII", MAP_TYPE_ARRAY, 4, 8, 2 * MAX_QUEUES, 0)))
        code = CountingProgram(self._map).assemble()
        instructions = ctypes.create_string_buffer(code, len(code))
        licence = ctypes.create_string_buffer(b"GPL")
        attributes = struct.pack(
            "<IIQQIIQII16s",
            PROG_TYPE_XDP,
            len(code) // 8,
            ctypes.addressof(instructions),
            ctypes.addressof(licence),
            0,
            0,
            0,
            0,
            0,
            b"count",
        )
        program = self._keep(bpf(BPF_PROG_LOAD, attributes))
        with network_of(pid):
            index = socket.if_nametoindex(device)
            self._keep(bpf(BPF_LINK_CREATE, struct.pack("<IIII", program, index, ATTACH_XDP, DRIVER_MODE)))

    def _keep(self, descriptor: int) -> int:
        self._fds.append(descriptor)
        return descriptor

    def counts(self) -> dict[tuple[int, bool], int]:
        """(queue, tagged) to frames; only what is above zero."""
        found = {}
        for slot in range(2 * MAX_QUEUES):
            key = ctypes.create_string_buffer(struct.pack("<I", slot), 4)
            value = ctypes.create_string_buffer(8)
            bpf(
                BPF_MAP_LOOKUP_ELEM,
                struct.pack("<IxxxxQQQ", self._map, ctypes.addressof(key), ctypes.addressof(value), 0),
            )
            (count,) = struct.unpack("<Q", value.raw)
            if count:
                found[slot // 2, bool(slot % 2)] = count
        return found

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def __enter__(self) -> QueueCounter:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()


def send_frames(pid: int, device: str, target: str, count: int, vlan: int | None = None, length: int = 128) -> None:
    """Sends frames of EtherType 0x88B5 to a MAC address from a device of that namespace."""
    tag = b"" if vlan is None else struct.pack(">HH", 0x8100, vlan)
    with network_of(pid):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with raw:
        raw.bind((device, 0))
        head = bytes.fromhex(target.replace(":", "")) + bytes.fromhex("020000000001") + tag + b"\x88\xb5"
        for _ in range(count):
            raw.send(head + bytes(length))
