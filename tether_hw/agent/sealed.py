# SPDX-License-Identifier: Apache-2.0
"""While this host is only looked at, nothing is written: Python's own audit events refuse it, whoever asks.

Sealed are the opening of files for writing, every change of names, modes and owners, signals, new processes that are
not programs, every program that is not known to only read, every socket to the kernel but the one that only asks, and
every ioctl but ethtool's questions. What a sealed verb does not do it cannot do.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import Any, Iterator, Sequence

from tether_hw.nic.generic import read as links

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_EVENTS = frozenset(
    [
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.mkdir",
        "os.link",
        "os.symlink",
        "os.chmod",
        "os.chown",
        "os.chflags",
        "os.truncate",
        "os.utime",
        "os.setxattr",
        "os.removexattr",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.fork",
        "os.forkpty",
        "os.kill",
        "os.killpg",
        "pty.spawn",
        "shutil.rmtree",
        "shutil.move",
        "shutil.copyfile",
        "shutil.copymode",
        "shutil.copystat",
        "shutil.copytree",
        "tempfile.mkstemp",
        "tempfile.mkdtemp",
        "signal.pthread_kill",
    ]
)
_AF_NETLINK, _AF_PACKET = 16, 17
_TERMINAL = frozenset((0x5401, 0x5413))  # TCGETS, TIOCGWINSZ: what Python itself asks of its standard streams
_SHOW = frozenset(("show", "list", "ls", "info", "get", "dump"))
_CHANGE = frozenset(
    [
        "add",
        "del",
        "delete",
        "set",
        "unset",
        "replace",
        "change",
        "append",
        "prepend",
        "flush",
        "reload",
        "save",
        "restore",
        "flash",
        "new",
        "exec",
        "netns",
        "vrf",
    ]
)
#: Program -> its options that read; none of them is one of another kind.
_OPTIONS = {
    "ethtool": frozenset(
        [
            "-i",
            "-k",
            "-g",
            "-l",
            "-n",
            "-u",
            "-S",
            "-a",
            "-c",
            "-x",
            "-T",
            "-m",
            "-P",
            "-j",
            "--json",
            "--show-priv-flags",
            "--show-fec",
        ]
    ),
    "dmesg": frozenset(["-k", "-x", "-T", "--kernel", "--raw", "--json", "-J"]),
    "uname": frozenset(["-a", "-r", "-m", "-s", "-v"]),
    "lsmod": frozenset(),
    "lspci": frozenset(["-D", "-n", "-nn", "-v", "-vv", "-vvv", "-vmm", "-k", "-s"]),
    "modinfo": frozenset(["-F", "-k"]),
    "nproc": frozenset(),
    "getconf": frozenset(),
}
#: Program -> first words that read, behind options and the device of `-d`.
_VERBS = {
    "systemctl": frozenset(
        ["show", "is-active", "is-enabled", "is-failed", "is-system-running", "cat", "status", "list-units"]
    ),
    "networkctl": frozenset(["list", "status"]),
    "mlxconfig": frozenset(("q", "query", "i", "show_confs")),
    "mstconfig": frozenset(("q", "query", "i", "show_confs")),
    "mlxfwreset": frozenset(("q", "query")),
    "mstfwreset": frozenset(("q", "query")),
    "mlxprivhost": frozenset(("q", "query")),
    "flint": frozenset(("q", "query")),
    "mstflint": frozenset(("q", "query")),
    "tether-engine": frozenset(("identity",)),
}
_OBJECT_SHOW = ("ip", "tc", "devlink", "bridge", "rdma")
_VALUED = frozenset(("-d", "--device", "-p", "--property", "-s"))


class _State:
    depth = 0
    hooked = False


def reads(argv: Sequence[str]) -> bool:
    """True for a command that is known to only read."""
    program, words = os.path.basename(str(argv[0])), [str(word) for word in argv[1:]]
    if program in _OBJECT_SHOW:
        return not {"-b", "-batch", "--batch"} & set(words) and bool(_SHOW & set(words)) and not _CHANGE & set(words)
    if program in _OPTIONS:
        return all(word in _OPTIONS[program] for word in words if word.startswith("-"))
    if program in _VERBS:
        plain = [
            word for before, word in zip(["", *words], words) if not word.startswith("-") and before not in _VALUED
        ]
        chosen = "--make" not in words and bool(plain) and plain[0] in _VERBS[program]
        return chosen and not {"-y", "--yes", "--force"} & set(words)
    return False


class Sealed(RuntimeError):
    """A verb that only reads came to something that writes: a fault of ours, nothing was changed."""


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if not _State.depth:
        return
    if event == "open":
        path, _mode, flags = args
        if isinstance(flags, int) and flags & _WRITES and path != os.devnull:
            raise Sealed("a verb that only reads would write %s" % (path,))
    elif event == "subprocess.Popen":
        argv = args[1]
        if isinstance(argv, (str, bytes)) or not reads(argv):
            raise Sealed("a verb that only reads would run %s" % (argv,))
    elif event == "socket.__new__":
        _socket(*args)
    elif event == "fcntl.ioctl":
        _ioctl(args[1], args[2])
    elif event in _EVENTS:
        raise Sealed("a verb that only reads would do %s %s" % (event, args))


def _socket(made: Any, family: int, kind: int, protocol: int) -> None:
    """A socket of netlink is the one that asks; packets are sent by no verb that reads."""
    if family == _AF_NETLINK and not links.only_asks(made):
        raise Sealed("a verb that only reads would open netlink %d" % protocol)
    if family == _AF_PACKET:
        raise Sealed("a verb that only reads would open a socket of packets, type %d" % kind)


def _ioctl(code: int, request: Any) -> None:
    if code not in _TERMINAL and not links.is_question(code, request):
        raise Sealed("a verb that only reads would do ioctl %#x" % code)


@contextmanager
def sealed() -> Iterator[None]:
    """Nothing in the block can change this host."""
    if not _State.hooked:
        sys.addaudithook(_watch)
        _State.hooked = True
    _State.depth += 1
    try:
        yield
    finally:
        _State.depth -= 1
