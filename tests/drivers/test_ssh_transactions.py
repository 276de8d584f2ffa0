# SPDX-License-Identifier: Apache-2.0
"""Random machines behind real SSH: the whole suite, with the model inside the host it talks to."""

from __future__ import annotations

import itertools
import json
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.drivers.common.netdev import UPLINK
from tests.drivers.common.rules import denied, seen
from tests.drivers.common.server import Inside
from tests.drivers.ice import draws as ice
from tests.drivers.mlx5 import draws as mlx5
from tests.support.fleets import Fleet, new_run
from tests.support.labs import Lab
from tether_hw.fleet import bundle, runs

EXAMPLES = 10
SEED = 1  # the same ten each time: what they take of the tier's minutes is known
HOST = "a"
NAMES = ("ice0", "ice1")  # the host has a data0 of its own


def for_veths(wish: Any) -> Any:
    """Counts and rings are those of the veths underneath; what a VF is told in legacy mode, its veth does not know."""

    def one(want: Any) -> Any:
        if isinstance(want, mlx5.Want) and isinstance(want.vfs, tuple) and want.eswitch != "switchdev":
            want = replace(want, vfs=len(want.vfs))
        return None if want is None else replace(want, queues=None, ring=None)

    return type(wish)((one(wish.ports[0]), one(wish.ports[1])))


def as_found(begin: Any) -> Any:
    """The machine with the host's own kernel, its counts those of veths."""
    more: dict[str, Any] = {"told": None} if isinstance(begin, mlx5.Begin) else {}
    first, second = (replace(port, queues=None, **more) for port in begin.ports)
    flower = {"has_flower": True} if isinstance(begin, mlx5.Begin) else {}
    release = platform.release()
    return replace(begin, release=release, late=min(begin.late, 25), ports=(first, second), **flower)


class Behind:
    """A fleet of one host, in which machines of the model come and go."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.fleet = Fleet(self.write({}), bundle.find("x86_64"), lab.reboot, lab.fault, lab.heal)
        self.fleet.enroll()
        self.pid = lab.host(HOST)["pid"]

    def write(self, nics: dict[str, Any]) -> Path:
        """The lab's inventory, of this host alone, with these NICs."""
        document = yaml.safe_load(self.lab.inventory.read_text())
        keep = {name: document[name] for name in ("tether", "known_hosts", "jumps") if name in document}
        defaults = {name: document["defaults"][name] for name in ("user", "identity_file")}
        host = {**document["hosts"][HOST], "nics": nics}
        path = self.folder / "fleet.yaml"
        whole = {**keep, "state": str(self.folder / "state"), "defaults": defaults, "hosts": {HOST: host}}
        path.write_text(yaml.safe_dump(whole))
        for name, data in ice.files().items():
            (self.folder / name).write_bytes(data)
        return path

    def enter(self, draws: Any, begin: Any) -> Inside:
        """A machine as described, inside the host."""
        begin = as_found(begin)
        inside = Inside(self.pid, lambda root: draws.build_machine(root / "usr", begin, NAMES, work=False))
        try:
            draws.worked_on(inside.machine, begin)
            self._set_mtus(inside, begin)
        except BaseException:
            inside.close()
            raise
        return inside

    def _set_mtus(self, inside: Inside, begin: Any) -> None:
        for device, start in zip(list(inside.machine.devices), begin.ports, strict=False):
            argv = ["nsenter", "-t", str(self.pid), "--net", "ip", "link", "set", device.name, "mtu", str(start.mtu)]
            if device.kind == UPLINK:
                subprocess.run(argv, check=True, timeout=30)

    def refresh(self, inside: Inside) -> None:
        """What `ip` set on the veths, into the model."""
        argv = ["nsenter", "-t", str(self.pid), "--net", "ip", "-j", "link", "show"]
        told = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30)
        by_name = {link["ifname"]: link for link in json.loads(told.stdout)}
        for device in inside.machine.devices:
            device.mtu = by_name[device.name]["mtu"]


@pytest.fixture(scope="module")
def behind(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    made = Behind(lab, tmp_path_factory.mktemp("fleet"))
    yield made
    made.fleet.close()


def hold(draws: Any, behind: Behind, begin: Any, wish: Any) -> bool:
    """The law, over SSH. False where the plan is refused, which is told before anything is touched."""
    inside = behind.enter(draws, begin)
    try:
        return _hold(draws, behind, inside, wish)
    finally:
        inside.close()
        assert inside.faults() == []


def _hold(draws: Any, behind: Behind, inside: Inside, wish: Any) -> bool:
    fleet, nics = behind.fleet, wish.nics()
    behind.write(nics)
    inside.machine.settle()
    before = draws.FAMILY.picture(inside.machine)
    plan = fleet.plan({HOST: fleet.facts(HOST)})
    if plan.refusals or not plan.steps:
        assert not before.differences(draws.FAMILY.picture(inside.machine))
        return False
    run = new_run()
    with seen(denied) as noes:
        result = fleet.apply(plan, HOST, run)
    assert result["exit"] == 0, result
    assert not noes, dict(noes)
    behind.refresh(inside)
    assert not draws.unmet(inside.machine, wish)
    again = fleet.plan({HOST: fleet.facts(HOST)})
    assert not again.refusals
    assert not again.steps, [step.summary for step in again.steps]
    taken = runs.rollback(fleet.reach(), [HOST], run)
    assert taken[0]["exit"] == 0, taken
    behind.refresh(inside)
    left = before.differences(draws.FAMILY.picture(inside.machine))
    assert not left, left
    return True


@pytest.mark.pain(7, 11)
@pytest.mark.parametrize("draws", [ice, mlx5], ids=["ice", "mlx5"])
def test_the_law_over_ssh(draws: Any, behind: Behind) -> None:
    done = itertools.count(1)
    last = 0

    @seed(SEED)
    @settings(
        max_examples=12 * EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(begin=draws.begins(), wish=draws.wishes())
    def check(begin: Any, wish: Any) -> None:
        nonlocal last
        if last < EXAMPLES and hold(draws, behind, begin, for_veths(wish)):
            last = next(done)
            print(f"{last} over SSH", flush=True)

    check()
    assert last == EXAMPLES
