# SPDX-License-Identifier: Apache-2.0
"""Verbs that only read cannot write: not by files, not by names, not by programs; and every reader lives with that."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tether_hw.agent import drift, durable, facts, listing
from tether_hw.agent.sealed import Sealed, reads, sealed
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
