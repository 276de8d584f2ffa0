# SPDX-License-Identifier: Apache-2.0
"""A small eBPF assembler and the one system call: the lab needs no compiler and leaves no pinned object."""

from __future__ import annotations

import ctypes
import os
import struct

SYS_BPF = {"x86_64": 321, "aarch64": 280}
BPF_PROG_LOAD = 5
PROG_TYPE_SCHED_CLS = 3
LOG_BYTES = 65536

R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = range(11)
ALU64, JMP, JMP32 = 0x07, 0x05, 0x06
ADD, MOV, EXIT, CALL = 0x00, 0xB0, 0x90, 0x80
JEQ, JGT, JNE = 0x10, 0x20, 0x50
K, X = 0x00, 0x08
LDX, STX = 0x61, 0x63  # LDX | MEM and STX | MEM of 32 bits; half words and 64 bits by the size bits
SIZE_U32, SIZE_U16, SIZE_U8, SIZE_U64 = 0x00, 0x08, 0x10, 0x18
LD_ABSOLUTE = 0x20


class Assembler:
    """Collects instructions; jumps name labels, which are resolved at the end."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int | str, int]] = []
        self._labels: dict[str, int] = {}

    def label(self, name: str) -> None:
        self._labels[name] = len(self._code)

    def _add(self, opcode: int, destination: int, source: int, offset: int | str, immediate: int) -> None:
        self._code.append((opcode, destination, source, offset, immediate))

    def move(self, register: int, value: int) -> None:
        self._add(ALU64 | MOV | K, register, 0, 0, value)

    def copy(self, register: int, source: int) -> None:
        self._add(ALU64 | MOV | X, register, source, 0, 0)

    def add(self, register: int, value: int) -> None:
        self._add(ALU64 | ADD | K, register, 0, 0, value)

    def load(self, register: int, base: int, offset: int, size: int = SIZE_U32) -> None:
        self._add(LDX | size, register, base, offset, 0)

    def load_absolute(self, offset: int, size: int) -> None:
        """Register 0 becomes that field of the packet as a number; register 6 must hold the context."""
        self._add(LD_ABSOLUTE | {4: SIZE_U32, 2: SIZE_U16, 1: SIZE_U8}[size], 0, 0, 0, offset)

    def store(self, base: int, offset: int, source: int) -> None:
        self._add(STX, base, source, offset, 0)

    def jump_above(self, register: int, other: int, label: str) -> None:
        self._add(JMP | JGT | X, register, other, label, 0)

    def jump_not(self, register: int, value: int, label: str) -> None:
        """Compares the lower 32 bits with a constant."""
        self._add(JMP32 | JNE | K, register, 0, label, value)

    def jump_is(self, register: int, value: int, label: str) -> None:
        self._add(JMP32 | JEQ | K, register, 0, label, value)

    def call(self, helper: int) -> None:
        self._add(JMP | CALL, 0, 0, 0, helper)

    def exit(self) -> None:
        self._add(JMP | EXIT, 0, 0, 0, 0)

    def assemble(self) -> bytes:
        out = bytearray()
        for index, (opcode, destination, source, offset, immediate) in enumerate(self._code):
            distance = self._labels[offset] - index - 1 if isinstance(offset, str) else offset
            out += struct.pack("<BBhI", opcode, source << 4 | destination, distance, immediate & 0xFFFFFFFF)
        return bytes(out)


def load_classifier(code: bytes, name: str) -> int:
    """Loads a program for tc; returns its descriptor. Raises OSError with the verifier's words."""
    return load_program(PROG_TYPE_SCHED_CLS, code, name)


def load_program(kind: int, code: bytes, name: str) -> int:
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    log = ctypes.create_string_buffer(LOG_BYTES)
    attributes = struct.pack(
        "<IIQQIIQII16s",
        kind,
        len(code) // 8,
        ctypes.addressof(instructions),
        ctypes.addressof(licence),
        1,
        LOG_BYTES,
        ctypes.addressof(log),
        0,
        0,
        name.encode("ascii")[:15],
    )
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    libc = ctypes.CDLL(None, use_errno=True)
    number = SYS_BPF[os.uname().machine]
    descriptor = libc.syscall(
        ctypes.c_long(number), ctypes.c_int(BPF_PROG_LOAD), buffer, ctypes.c_uint(len(attributes))
    )
    if descriptor < 0:
        code_of = ctypes.get_errno()
        words = log.value.decode("ascii", "replace").strip().splitlines()
        raise OSError(code_of, f"bpf(BPF_PROG_LOAD): {os.strerror(code_of)}: {'; '.join(words[-2:])}")
    return int(descriptor)
