# SPDX-License-Identifier: Apache-2.0
"""The user that the engine runs as, and becoming it with just the capabilities of its carriers."""

from __future__ import annotations

import ctypes
import os
import pwd
import re
import resource
import shutil
import signal
from typing import Optional, Sequence

from tether_hw.agent import command
from tether_hw.agent.errors import AgentError, Refused

NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z")

#: Numbers of linux/capability.h.
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_IPC_LOCK": 14, "CAP_BPF": 39}

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def known(name: str) -> Optional[pwd.struct_passwd]:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def ensure(name: str) -> bool:
    """Make the system user if there is none; True when it was made. Refused where only root could."""
    if not NAME.match(name):
        raise Refused("%r is not the name of a user" % name)
    if known(name) is not None:
        return False
    if os.geteuid() != 0:
        raise Refused("user %s does not exist and only root can make it; engine.user may name the login user" % name)
    path = command.SEARCH
    if shutil.which("useradd", path=path):
        argv = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        argv += ["--shell", "/usr/sbin/nologin", name]
    elif shutil.which("adduser", path=path):  # busybox
        argv = ["adduser", "-S", "-D", "-H", "-h", "/nonexistent", "-s", "/sbin/nologin", name]
    else:
        raise Refused("user %s does not exist and this host has neither useradd nor adduser" % name)
    command.run(argv, 30.0)
    if known(name) is None:
        raise AgentError("%s ended well but there is no user %s" % (argv[0], name))
    return True


def become(name: str, capabilities: Sequence[str]) -> None:
    """Turn this process (about to exec the engine) into `name` with exactly these capabilities, kept through exec.

    Without root the process stays who it is; it dies with its supervisor in both cases.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        entry = known(name)
        if entry is None:
            raise AgentError("there is no user %s" % name)
        try:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        except (OSError, ValueError):
            pass  # a container without CAP_SYS_RESOURCE; the engine says so where its memory does not fit
        numbers = [CAPABILITIES[capability] for capability in capabilities]
        if entry.pw_uid != 0:
            _change_user(libc, entry, numbers)
    _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)
    # After the change of user, which clears it. By force: an engine without its supervisor must not linger, and nobody
    # would be left to insist.
    _prctl(libc, _PR_SET_PDEATHSIG, signal.SIGKILL)
    os.umask(0o077)


def _change_user(libc: ctypes.CDLL, entry: pwd.struct_passwd, numbers: Sequence[int]) -> None:
    _prctl(libc, _PR_SET_KEEPCAPS, 1)
    for number in range(64):
        if number not in numbers and libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            break  # past the kernel's last capability
    os.setgroups([entry.pw_gid])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    header = _Header(_CAPABILITY_VERSION_3, 0)
    data = (_Data * 2)()
    for number in numbers:
        bit = 1 << (number % 32)
        word = data[number // 32]
        word.effective |= bit
        word.permitted |= bit
        word.inheritable |= bit
    if libc.capset(ctypes.byref(header), data) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    for number in numbers:
        _prctl(libc, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number)


def _prctl(libc: ctypes.CDLL, option: int, first: int, second: int = 0) -> None:
    if libc.prctl(option, ctypes.c_ulong(first), ctypes.c_ulong(second), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl %d" % option)
