# SPDX-License-Identifier: Apache-2.0
"""What is set in a child before it becomes qemu: the taps' steering is the lab's, so qemu may not take it off.

qemu clears the steering program of its taps whenever the guest resets the device or sets its number of queues; it
does not mind when the kernel refuses that.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from tether_hw.lab.vm.tap import TUNSETSTEERINGEBPF

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
NUMBER, ARCHITECTURE, SECOND_ARGUMENT = 0, 4, 24
IOCTL = {"x86_64": (0xC000003E, 16), "aarch64": (0xC00000B7, 29)}


def refuse_steering() -> None:
    """From here on this process and its children cannot change the steering program of a tap."""
    architecture, ioctl = IOCTL[os.uname().machine]
    rows = (
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_EQUAL, 0, 5, architecture),
        (LOAD, 0, 0, NUMBER),
        (JUMP_EQUAL, 0, 3, ioctl),
        (LOAD, 0, 0, SECOND_ARGUMENT),
        (JUMP_EQUAL, 0, 1, TUNSETSTEERINGEBPF),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in rows))
    filter_program = struct.pack("HxxxxxxQ", len(rows), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    none = ctypes.c_ulong(0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), none, none, none) < 0:
        os._exit(126)
    if libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), filter_program, none, none) < 0:
        os._exit(126)
