# SPDX-License-Identifier: Apache-2.0
"""Verbs that only read cannot write: not by files, not by names, not by programs; and every reader lives with that."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tether_hw.agent import drift, durable, facts, listing
from tether_hw.agent.sealed import Sealed, reads, sealed
from tether_hw.nic.generic import ethtool, netlink
from tether_hw.plan.verbs import READING, VERBS


def into(path: Path) -> dict[str, Callable[[], object]]:
    return {
        "write": lambda: path.write_text("x"),
        "append": lambda: path.open("a").close(),
        "update": lambda: path.open("r+").close(),
        "os.open": lambda: os.open(path, os.O_WRONLY | os.O_CREAT),
        "durable": lambda: durable.write(path, b"x"),
        "unlink": lambda: path.unlink(),
        "rename": lambda: path.rename(path.with_suffix(".new")),
        "mkdir": lambda: path.with_suffix(".d").mkdir(),
        "chmod": lambda: path.chmod(0o777),
        "chown": lambda: os.chown(path, -1, -1),
        "link": lambda: os.link(path, path.with_suffix(".link")),
        "symlink": lambda: path.with_suffix(".sym").symlink_to(path),
        "truncate": lambda: os.truncate(path, 0),
        "temporary": lambda: tempfile.mkstemp(dir=path.parent),
        "copy": lambda: shutil.copy(path, path.with_suffix(".copy")),
        "fork": os.fork,
        "system": lambda: os.system("true"),
        "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "program": lambda: subprocess.run(["touch", str(path)], check=True),
        "shell": lambda: subprocess.run("true", shell=True, check=True),
        "kill": lambda: os.kill(os.getpid(), signal.SIGUSR1),
    }


@pytest.mark.parametrize("what", into(Path()))
def test_nothing_is_written_while_sealed(what: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    with sealed(), pytest.raises(Sealed):
        into(path)[what]()
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "before"


def netlink_message(kind: int, more: bytes = b"") -> bytes:
    """RTM_*LINK and the like, with an empty body."""
    body = struct.pack("=BBHiII", 0, 0, 0, 0, 0, 0) + more
    return struct.pack("=IHHII", 16 + len(body), kind, 0x301, 1, 0) + body


def ethtool_request(command: int, data: ctypes.Array[ctypes.c_char]) -> bytes:
    struct.pack_into("=I", data, 0, command)
    return struct.pack("16sP", b"lo", ctypes.addressof(data)).ljust(40, b"\0")


# RTM_NEWLINK, DELLINK, SETLINK, NEWADDR, NEWROUTE, DELROUTE, NEWQDISC, NEWTFILTER, DELTFILTER; and control messages
@pytest.mark.parametrize("kind", [16, 17, 19, 20, 24, 25, 36, 44, 45, 0, 1, 2, 3])
def test_the_socket_that_asks_changes_nothing(kind: int) -> None:
    with sealed(), netlink.Asking() as asking:
        with pytest.raises(ValueError, match="is no question"):
            asking.ask(netlink_message(kind))
        for send in (asking.send, asking.sendall, asking.sendto, asking.sendmsg):
            with pytest.raises(ValueError, match="by ask"):
                send(netlink_message(kind))


def test_a_change_behind_a_question_is_refused() -> None:
    with netlink.Asking() as asking, pytest.raises(ValueError, match="is no question"):
        asking.ask(netlink_message(18) + netlink_message(16))


@pytest.mark.parametrize("protocol", [socket.NETLINK_ROUTE, 12, 16])  # rtnetlink, netfilter, generic (devlink, ethtool)
def test_no_other_socket_to_the_kernel_is_opened(protocol: int) -> None:
    with sealed(), pytest.raises(Sealed, match="netlink"):
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    with sealed(), pytest.raises(Sealed, match="packets"):
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    assert netlink.links()


# ETHTOOL_SRINGPARAM, SCHANNELS, SRXCLSRLINS, SPFLAGS, RESET
@pytest.mark.parametrize("command", [0x11, 0x3D, 0x32, 0x28, 0x34])
def test_settings_of_devices_are_not_set_by_ioctl(command: int) -> None:
    data = ctypes.create_string_buffer(192)
    request = ethtool_request(command, data)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, sealed():
        with pytest.raises(Sealed, match="ioctl"):
            fcntl.ioctl(sock.fileno(), 0x8946, request)
        with pytest.raises(Sealed, match="ioctl"):
            fcntl.ioctl(sock.fileno(), 0x8946, 7)
        with pytest.raises(Sealed, match="ioctl 0x8914"):  # SIOCSIFFLAGS
            fcntl.ioctl(sock.fileno(), 0x8914, bytes(40))
        assert ethtool.read("lo").ring is None


def test_after_the_seal_all_is_as_before(tmp_path: Path) -> None:
    with sealed():
        pass
    (tmp_path / "file").write_text("x")
    assert subprocess.run(["true"], check=False).returncode == 0


@pytest.mark.parametrize(
    "command",
    [
        "ip -j route get 10.0.0.1",
        "ip -j link show",
        "tc -j -s filter show dev eth0 ingress",
        "tc -j qdisc show",
        "devlink -j dev info",
        "devlink -j dev eswitch show pci/0000:08:00.0",
        "devlink -j port show",
        "ethtool -n eth0",
        "ethtool -i eth0",
        "ethtool eth0",
        "dmesg",
        "systemctl is-active --quiet tether-engine.service",
        "mlxconfig -d 0000:08:00.0 -j query",
        "mstconfig -d 0000:08:00.0 q",
        "/opt/tether/0/bin/tether-engine identity --public /etc/tether/identity.key",
        "modinfo mlx5_core",
    ],
)
def test_programs_that_read(command: str) -> None:
    assert reads(command.split())


@pytest.mark.parametrize(
    "command",
    [
        "ip link set eth0 mtu 1500",
        "ip -b commands",
        "tc -b -",
        "tc filter add dev eth0 ingress flower",
        "tc qdisc del dev eth0 clsact",
        "devlink dev eswitch set pci/0000:08:00.0 mode legacy",
        "devlink dev reload pci/0000:08:00.0",
        "devlink dev flash pci/0000:08:00.0 file show",
        "ethtool -N eth0 flow-type ether",
        "ethtool -L eth0 combined 4",
        "ethtool --set-priv-flags eth0 x on",
        "dmesg -C",
        "dmesg --clear",
        "systemctl restart tether-engine.service",
        "systemctl --now disable show",
        "mlxconfig -d query set SRIOV_EN=1",
        "mlxconfig -y -d 0000:08:00.0 query",
        "mstfwreset -d 0000:08:00.0 reset",
        "modprobe ice",
        "sh -c true",
        "tether-engine identity --make /etc/tether/identity.key",
        "python3 -c 0",
    ],
)
def test_programs_that_may_write(command: str) -> None:
    assert not reads(command.split())


def test_the_readers_of_this_machine_do_not_write(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    for bare in (facts.bare, drift.bare):
        assert bare({"root": root, "host": "here", "devices": [{"name": "lo"}], "nv": []})
    nothing = {"plan": None, "result": None}
    assert listing.bare({"root": root}) == {"runs": [], "pending": None, "boot": nothing}
    assert not (tmp_path / "root").exists()
    assert {"facts", "drift", "runs", "status", "counts"} == set(READING) < set(VERBS)
