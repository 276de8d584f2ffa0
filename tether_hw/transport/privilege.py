# SPDX-License-Identifier: Apache-2.0
"""Runs the engine as its own user with the capabilities of its carriers and nothing else.

Must be called while the process has one thread: capabilities belong to threads, and later threads inherit them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import resource
from collections.abc import Iterable
from typing import Optional

from .errors import TransportError

CAP_SETPCAP = 8
CAP_NET_ADMIN = 12
CAP_NET_RAW = 13
CAP_IPC_LOCK = 14
CAP_SYS_RESOURCE = 24
CAP_BPF = 39
CAP_LAST = 63
NAMES = {
    CAP_NET_ADMIN: "CAP_NET_ADMIN",
    CAP_NET_RAW: "CAP_NET_RAW",
    CAP_IPC_LOCK: "CAP_IPC_LOCK",
    CAP_BPF: "CAP_BPF",
}

# af_xdp: NET_RAW opens the socket, BPF loads the map and the program, NET_ADMIN loads and attaches an XDP program.
# af_packet: NET_RAW opens the socket. udp: nothing.
NEEDS: dict[str, frozenset[int]] = {
    "udp": frozenset(),
    "af_packet": frozenset({CAP_NET_RAW}),
    "af_xdp": frozenset({CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF}),
    "auto": frozenset({CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF}),
}

_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


_libc = ctypes.CDLL(None, use_errno=True)


def needed(carriers: Iterable[str]) -> frozenset[int]:
    """The capabilities that these carriers need; a lane of `auto` with a UDP address counts as udp."""
    found: frozenset[int] = frozenset()
    for carrier in carriers:
        found |= NEEDS[carrier]
    if CAP_BPF in found and not _memory_can_be_locked():
        # A container's low hard limit that nobody here may raise: AF_XDP's buffers would not fit below it.
        found |= {CAP_IPC_LOCK}
    return found


def _memory_can_be_locked() -> bool:
    """True where RLIMIT_MEMLOCK is no limit, or can be lifted."""
    return resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] == resource.RLIM_INFINITY or CAP_SYS_RESOURCE in permitted()


def permitted() -> frozenset[int]:
    """The capabilities that this thread may have."""
    header = _Header(_CAPABILITY_VERSION_3, 0)
    data = (_Data * 2)()
    _call("capget", ctypes.byref(header), data)
    bits = data[0].permitted | data[1].permitted << 32
    return frozenset(number for number in range(CAP_LAST + 1) if bits >> number & 1)


def restrict(user: Optional[str], keep: frozenset[int]) -> None:
    """Become `user` (None = stay who we are) with exactly the capabilities `keep`, for good.

    Raises TransportError when the user does not exist, cannot be taken, or a capability is missing.
    """
    account = None
    if user is not None:
        try:
            account = pwd.getpwnam(user)
        except KeyError:
            raise TransportError(f"there is no user {user!r}", "`tether key enroll` makes it") from None
        if account.pw_uid != os.getuid() and os.geteuid() != 0:
            raise TransportError(f"only root can run the engine as {user!r}", "start it as root or as that user")
    missing = keep - permitted()
    if missing:
        words = ", ".join(NAMES.get(number, str(number)) for number in sorted(missing))
        raise TransportError(f"the carriers need {words}", "start the engine as root, or use the carrier udp")
    if os.geteuid() == 0:
        _unlimited_memory()
        _drop_bounding(keep)
    if account is not None and account.pw_uid != os.getuid():
        _prctl(_PR_SET_KEEPCAPS, 1)
        os.initgroups(account.pw_name, account.pw_gid)
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    _set(keep)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _unlimited_memory() -> None:
    """AF_XDP's buffers and BPF maps are locked memory."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _drop_bounding(keep: frozenset[int]) -> None:
    if CAP_SETPCAP not in permitted():
        return
    for number in range(CAP_LAST + 1):
        if number not in keep and _libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0) == 1:
            _prctl(_PR_CAPBSET_DROP, number)


def _set(keep: frozenset[int]) -> None:
    header = _Header(_CAPABILITY_VERSION_3, 0)
    data = (_Data * 2)()
    for number in keep:
        data[number // 32].effective |= 1 << number % 32
        data[number // 32].permitted |= 1 << number % 32
    _call("capset", ctypes.byref(header), data)


def _prctl(option: int, value: int) -> None:
    _call("prctl", option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise TransportError(f"{name}: {os.strerror(code)}")
