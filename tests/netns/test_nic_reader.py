# SPDX-License-Identifier: Apache-2.0
"""The reader of NICs against the kernel: what a raw tool changes, it sees; what belongs to others, it does not list."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tether_hw.nic.generic.limits import XDP_MTU_MAX

ROOT = Path(__file__).resolve().parents[2]
# As on a host: standard library only, no site-packages.
READ = """
import json, sys
sys.path.insert(0, sys.argv[1])
from tether_hw.nic.generic.read import read
nics, limits, links, devices = read(json.loads(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4]))
print(json.dumps({"nics": nics, "limits": limits, "links": links, "devices": devices}))
"""


class Space:
    """A namespace of the test's own with one multi-queue veth pair in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        subprocess.run(["ip", "netns", "add", name], check=True)
        self.tool("ip", "link", "set", "lo", "up")
        pair = "link add data0 numtxqueues 4 numrxqueues 4 type veth peer name peer0 numtxqueues 4 numrxqueues 4"
        self.tool("ip", *pair.split())

    def tool(self, *argv: str) -> str:
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, *argv], check=True, capture_output=True, text=True, timeout=30
        )
        return done.stdout

    def read(
        self, selectors: list[dict[str, str]], owned: list[str] | None = None, ours: list[str] | None = None
    ) -> dict[str, Any]:
        words = [json.dumps(selectors), json.dumps(owned or []), json.dumps(ours or [])]
        answer: dict[str, Any] = json.loads(self.tool(sys.executable, "-I", "-S", "-c", READ, str(ROOT), *words))
        return answer

    def data0(self) -> dict[str, Any]:
        nic: dict[str, Any] = self.read([{"name": "data0"}])["nics"]["data0"]
        return nic


@pytest.fixture
def space() -> Iterator[Space]:
    name = f"tnic{os.getpid()}"
    made = Space(name)
    yield made
    subprocess.run(["ip", "netns", "del", name], check=True)


def test_facts_list_exactly_the_links_that_are_there(space: Space) -> None:
    found = space.read([{"name": "data0"}])
    assert [link["name"] for link in found["links"]] == ["data0", "peer0"]
    assert list(found["nics"]) == list(found["limits"]) == ["data0"]


def test_an_untouched_veth(space: Space) -> None:
    found = space.read([{"name": "data0"}])
    nic = found["nics"]["data0"]
    mac = space.tool("cat", "/sys/class/net/data0/address").strip()
    assert nic == {
        "driver": "veth", "mac": mac, "mtu": 1500, "queues": {"rx": 4, "tx": 4}, "ring": None,
        "xdp": {"foreign": False},
    }  # fmt: skip
    limits = found["limits"]["data0"]
    assert limits["queues_max"] == {"rx": 4, "tx": 4}
    assert limits["ring_max"] is None
    assert limits["mtu_min"] == 68


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        ("ip link set data0 mtu 3456", "mtu", 3456),
        ("ethtool -L data0 rx 2 tx 3", "queues", {"rx": 2, "tx": 3}),
        ("ip link set data0 address 02:00:00:00:00:77", "mac", "02:00:00:00:00:77"),
    ],
)
def test_what_a_raw_tool_changes_is_seen(space: Space, argv: str, field: str, value: object) -> None:
    before = space.data0()
    space.tool(*argv.split())
    after = space.data0()
    assert after == {**before, field: value}
    assert after != before


def test_selectors(space: Space) -> None:
    mac = space.data0()["mac"]
    asked = [{"mac": mac}, {"name": "data9"}, {"pci": "0000:00:00.0"}, {"name": "lo"}]
    found = space.read(asked, owned=["peer0", "gone0"])
    assert found["devices"] == [
        {"selector": asked[0], "device": "data0"},
        {"selector": asked[1], "device": None},
        {"selector": asked[2], "device": None},
        {"selector": asked[3], "device": "lo"},
    ]
    assert sorted(found["nics"]) == ["data0", "lo", "peer0"]
    assert found["nics"]["lo"]["driver"] is None


def test_a_foreign_xdp_program_is_seen(space: Space, tmp_path: Path) -> None:
    program = pass_program(tmp_path)
    space.tool("ip", "link", "set", "data0", "xdp", "obj", str(program), "sec", "xdp")
    assert space.data0()["xdp"] == {"foreign": True}
    assert space.read([{"name": "data0"}], ours=["data0"])["nics"]["data0"]["xdp"] == {"foreign": False}
    space.tool("ip", "link", "set", "data0", "xdp", "off")
    assert space.data0()["xdp"] == {"foreign": False}


def test_the_largest_mtu_with_xdp_is_what_the_kernel_takes(space: Space, tmp_path: Path) -> None:
    space.tool("ip", "link", "set", "data0", "xdp", "obj", str(pass_program(tmp_path)), "sec", "xdp")
    space.tool("ip", "link", "set", "peer0", "mtu", str(XDP_MTU_MAX))
    with pytest.raises(subprocess.CalledProcessError):
        space.tool("ip", "link", "set", "peer0", "mtu", str(XDP_MTU_MAX + 1))


def pass_program(folder: Path) -> Path:
    """A BPF object whose XDP program passes everything, assembled here: no compiler for BPF is needed."""
    source = folder / "pass.S"
    # r0 = XDP_PASS; exit
    source.write_text(
        '.section xdp,"ax",@progbits\n.globl pass\n.type pass,@function\npass:\n'
        ".byte 0xb7,0,0,0,2,0,0,0\n.byte 0x95,0,0,0,0,0,0,0\n.size pass,.-pass\n"
        '.section license,"aw",@progbits\n.asciz "GPL"\n'
    )
    target = folder / "pass.o"
    subprocess.run(["gcc", "-c", "-o", str(target), str(source)], check=True)
    data = bytearray(target.read_bytes())
    data[18:20] = (247).to_bytes(2, "little")  # e_machine: EM_BPF instead of this machine's
    target.write_bytes(data)
    return target
