# SPDX-License-Identifier: Apache-2.0
"""The engine runs as its user with the capabilities of its carriers, no more, and needs each of them."""

from __future__ import annotations

import os
import pwd
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines import ROOT, Node, introduce, running, udp_lanes
from tests.support.wires import LINK, Wire, wired
from tether_hw.transport import privilege
from tether_hw.transport.library import find

USER = "nobody"
CAPABILITY = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_IPC_LOCK": 14, "CAP_SYS_RESOURCE": 24, "CAP_BPF": 39}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may look into; pytest's own is 0700."""
    folder = Path(tempfile.mkdtemp(prefix="tether-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def give(node: Node) -> None:
    """The state folder belongs to the engine's user, as enrolling makes it."""
    account = pwd.getpwnam(USER)
    for path in (node.state, *node.state.iterdir()):
        os.chown(path, account.pw_uid, account.pw_gid)


def locked_memory_is_free() -> bool:
    """Whether this machine lets root lock any amount of memory; some containers do not."""
    unlimited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] == resource.RLIM_INFINITY
    bits = int(status(os.getpid())[0]["CapPrm"], 16)
    return unlimited or bool(bits >> CAPABILITY["CAP_SYS_RESOURCE"] & 1)


def status(pid: int) -> list[dict[str, str]]:
    """/proc/PID/task/*/status as words."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        found.append({line.split(":")[0]: line.split(":", 1)[1].strip() for line in lines})
    return found


@pytest.mark.parametrize(
    ("carrier", "names"),
    [("udp", []), ("af_packet", ["CAP_NET_RAW"]), ("af_xdp", ["CAP_BPF", "CAP_NET_ADMIN", "CAP_NET_RAW"])],
)
def test_every_thread_has_exactly_the_capabilities_of_the_carrier(
    open_folder: Path, carrier: str, names: list[str]
) -> None:
    with wired("cap", 1) as wire:
        made = []
        for side in "ab":
            lanes = udp_lanes(1) if carrier == "udp" else wire.lanes(side, carrier)
            prefix = () if carrier == "udp" else wire.prefix(side)
            made.append(Node(open_folder, side, lanes, LINK, prefix, user=USER))
        a, b = made
        introduce(a, b)
        give(a)
        give(b)
        if carrier == "af_xdp" and not locked_memory_is_free():
            names = [*names, "CAP_IPC_LOCK"]
        bits = sum(1 << CAPABILITY[name] for name in names)
        with running(a, b):
            a.wait_up("b")
            assert a.process is not None
            threads = status(a.process.pid)
            assert len(threads) > 4
            for thread in threads:
                assert thread["Uid"].split() == [str(pwd.getpwnam(USER).pw_uid)] * 4
                assert thread["Gid"].split() == [str(pwd.getpwnam(USER).pw_gid)] * 4
                assert int(thread["CapEff"], 16) == int(thread["CapPrm"], 16) == int(thread["CapBnd"], 16) == bits
                assert int(thread["CapInh"], 16) == int(thread["CapAmb"], 16) == 0
                assert thread["NoNewPrivs"] == "1"
            assert a.document("ping", "b", "-c", "3")["lost"] == 0
            assert Path(a.config.socket).stat().st_mode & 0o777 == 0o660


PROBE = """
import sys
from tether_hw.transport import identity, privilege
from tether_hw.transport.config import Address, Lane, Limits, Link
from tether_hw.transport.engine import Engine
carrier, counter, *kept = sys.argv[1:]
privilege.restrict("nobody", frozenset(int(number) for number in kept))
lane = Lane(0, "data0", "data0", 0, "l", carrier, Address(mac="02:00:00:00:00:01"))
limits = Limits(max_message_bytes=1 << 20, rx_cells=2048, tx_cells=2048)
with Engine(bytes(range(32)), [lane], {"l": Link()}, counter, limits) as engine:
    print(engine.lane_info(0).carrier.decode())
"""


def opens(wire: Wire, folder: Path, carrier: str, kept: frozenset[int]) -> bool:
    """Whether a process with these capabilities can open the carrier."""
    state = Path(tempfile.mkdtemp(dir=folder))
    os.chown(state, pwd.getpwnam(USER).pw_uid, -1)
    argv = [*wire.prefix("a"), sys.executable, "-c", PROBE, carrier, str(state / "counter"), *map(str, sorted(kept))]
    environment = {**os.environ, "TETHER_LIBRARY": str(find())}
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=60, check=False)
    if done.returncode == 0:
        assert done.stdout.strip() == carrier
    else:
        assert "EngineError" in done.stderr, done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("carrier", ["af_packet", "af_xdp"])
def test_the_kernel_demands_each_of_them(open_folder: Path, carrier: str) -> None:
    needs = privilege.needed({carrier})
    with wired("need", 1) as wire:
        assert opens(wire, open_folder, carrier, needs)
        for one in needs - {privilege.CAP_IPC_LOCK}:  # whether that is needed depends on the size of the rings
            assert not opens(wire, open_folder, carrier, needs - {one}), privilege.NAMES[one]
