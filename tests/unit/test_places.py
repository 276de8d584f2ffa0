# SPDX-License-Identifier: Apache-2.0
"""Devices of VFs and SFs by what they are: found in sysfs, brought up in a namespace, put back."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tether_hw.transport import engine as engines
from tether_hw.transport import netns, places
from tether_hw.transport.config_model import Address, Lane
from tether_hw.transport.errors import EngineError
from tether_hw.transport.netns import Namespace

PF = "0000:08:00.0"


def lane(device: str, udp: str | None = None) -> Lane:
    address = Address(mac="02:00:00:00:00:01", vlan=None) if udp is None else Address(udp=udp)
    return Lane(0, "data0", device, 0, "f", "auto" if udp is None else "udp", address)


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """A card with one VF that has a device, one that has none, and two SFs."""
    function = tmp_path / "bus/pci/devices" / PF
    for name in ("virtfn0/net/d0", "virtfn1", "net/uplink", "mlx5_core.sf.4/net/d4", "mlx5_core.sf.5/net/d5"):
        (function / name).mkdir(parents=True)
    (function / "mlx5_core.sf.4/sfnum").write_text("88\n")
    (function / "mlx5_core.sf.5/sfnum").write_text("8\n")
    return tmp_path


@pytest.mark.parametrize(
    ("place", "name"),
    [("vf0", "d0"), ("vf1", None), ("vf2", None), ("sf88", "d4"), ("sf8", "d5"), ("sf9", None)],
)
def test_a_function_has_its_device(sysfs: Path, place: str, name: str | None) -> None:
    assert places.device_of(f"{PF}/{place}", str(sysfs)) == name
    assert places.device_of(f"0000:09:00.0/{place}", str(sysfs)) is None


def test_two_devices_are_none_of_them(sysfs: Path) -> None:
    (sysfs / "bus/pci/devices" / PF / "virtfn0/net/other").mkdir()
    assert places.device_of(f"{PF}/vf0", str(sysfs)) is None


@pytest.mark.parametrize("place", ["d0", f"{PF}/vf", f"{PF}/vf01", f"{PF}/pf0", f"{PF}/vf0/..", "../../x/vf0"])
def test_what_is_no_place(place: str, sysfs: Path) -> None:
    with pytest.raises(ValueError, match="is no place"):
        places.device_of(place, str(sysfs))


def test_other_lanes_are_left_alone(sysfs: Path) -> None:
    found = places.Places(str(sysfs), 0)
    for one in (lane("eth0"), lane(f"{PF}/vf9", udp="127.0.0.1:9")):
        assert found.bring(one, 1500) is one


def test_a_function_without_a_device_is_said(sysfs: Path) -> None:
    with pytest.raises(EngineError, match=f"lane 0 is on {PF}/vf1: it has no network device"):
        places.Places(str(sysfs), 0).bring(lane(f"{PF}/vf1"), 1500)


def test_a_device_that_goes_away_is_said(sysfs: Path) -> None:
    with pytest.raises(EngineError, match=f"lane 0 is on {PF}/vf0: d0: No such device"):
        places.Places(str(sysfs), 0).bring(lane(f"{PF}/vf0"), 1500)


@pytest.fixture
def space() -> Iterator[Namespace]:
    if os.geteuid() != 0:
        pytest.skip("needs root, for a network namespace of its own")
    made = netns.Namespace()
    made.call(lambda: ip("link add d0 mtu 1500 type veth peer name far"))
    yield made
    made.close()


def ip(words: str) -> str:
    return subprocess.run(["ip", *words.split()], check=True, capture_output=True, text=True).stdout


def test_a_device_is_brought_up_and_put_back(sysfs: Path, space: Namespace) -> None:
    found = places.Places(str(sysfs), 0)
    placed = space.call(lambda: found.bring(lane(f"{PF}/vf0"), 3498))
    assert (placed.device, placed.lane, placed.address) == ("d0", 0, lane("d0").address)
    shown = space.call(lambda: ip("link show dev d0"))
    assert "mtu 3498" in shown and ",UP" in shown.partition(">")[0].replace("<UP", ",UP")
    space.call(lambda: found.bring(lane(f"{PF}/vf0"), 3498))  # the same place for a second time is remembered once
    space.call(found.leave)
    shown = space.call(lambda: ip("link show dev d0"))
    assert "mtu 1500" in shown and "UP" not in shown.partition(">")[0]


def test_a_device_that_is_up_and_wide_stays_so(sysfs: Path, space: Namespace) -> None:
    found = places.Places(str(sysfs), 0)
    space.call(lambda: ip("link set dev d0 up mtu 9000"))
    space.call(lambda: found.bring(lane(f"{PF}/vf0"), 1500))
    space.call(found.leave)
    shown = space.call(lambda: ip("link show dev d0"))
    assert "mtu 9000" in shown and "UP" in shown.partition(">")[0]


def test_an_engine_runs_on_a_place(
    sysfs: Path, space: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "Places", lambda: places.Places(str(sysfs), 0))
    from tether_hw.transport.config_model import Link

    one = Lane(0, "data0", f"{PF}/vf0", 0, "f", "af_packet", Address(mac="02:00:00:00:00:01", vlan=None))
    links = {"f": Link(mtu=1500, rate_bps=10**9, rtt_ns=10**6)}
    made = space.call(lambda: engines.Engine(bytes(32), [one], links, str(tmp_path / "counter")))
    try:
        assert made.lanes[0].device == f"{PF}/vf0"
        assert "UP" in space.call(lambda: ip("link show dev d0")).partition(">")[0]
    finally:
        space.call(made.close)
    assert "UP" not in space.call(lambda: ip("link show dev d0")).partition(">")[0]
