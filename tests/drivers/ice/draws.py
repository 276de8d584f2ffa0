# SPDX-License-Identifier: Apache-2.0
"""Machines that somebody has worked on before us, and what an inventory may want of their cards."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.drivers.common import picture
from tests.drivers.common.law import Family
from tests.drivers.common.netdev import DROP, REDIRECT, Filter
from tests.drivers.ice import build, sign
from tests.drivers.ice.card import Function
from tests.drivers.ice.machine import Machine
from tests.drivers.ice.sysfs import SysFs
from tests.support.e810_variants import variant
from tether_hw.nic.e810.ddp.container import version_text

OWN = f"lib/firmware/intel/ice/ddp/ice-{build.DSN:016x}.pkg"
VERSIONS = ((1, 3, 36, 0), (1, 3, 40, 0), (1, 3, 43, 0))
PACKAGES = {version_text(version): sign.signed(variant(version=version)) for version in VERSIONS}
NEW, OLD = "6.12.95+deb12-amd64", "6.1.0-56-amd64"
TETHER = 0x88B5


@dataclass(frozen=True)
class Start:
    """One function as it is found. flows, filters: somebody else's."""

    mode: str = "legacy"
    vfs: int = 0
    queues: int | None = None
    mtu: int = 1500
    ntuple: bool = True
    flows: int = 0
    filters: int = 0


@dataclass(frozen=True)
class Begin:
    """A machine as it is found. own: the package lies under the card's serial number. package: None is safe mode."""

    release: str = NEW
    package: str | None = "1.3.36.0"
    own: bool = False
    late: int = 0
    ports: tuple[Start, Start] = (Start(), Start())


@dataclass(frozen=True)
class Want:
    """What the inventory says of one port; None leaves it out. rules: (address, action, queue or VF)."""

    eswitch: str | None = None
    vfs: int | None = None
    package: str | None = None
    queues: int | None = None
    mtu: int | None = None
    ring: tuple[int, int] | None = None
    rules: tuple[tuple[int, str, int], ...] = ()

    def document(self, port: int) -> dict[str, Any]:
        """As an inventory has it."""
        nic: dict[str, Any] = {"family": "e810", "device": {"pci": (build.PF0, build.PF1)[port]}}
        for name in ("eswitch", "vfs", "queues", "mtu"):
            value = getattr(self, name)
            if value is not None:
                nic[name] = value
        if self.ring is not None:
            nic["ring"] = {"rx": self.ring[0], "tx": self.ring[1]}
        if self.package is not None:
            nic["ddp"] = {"package": f"{self.package}.pkg", "sha256": sha256(self.package)}
        if self.rules:
            nic["steering"] = {"rules": [_rule(number, rule) for number, rule in enumerate(self.rules)]}
        return nic


@dataclass(frozen=True)
class Wish:
    """Both ports; None where the inventory does not have the port."""

    ports: tuple[Want | None, Want | None]

    def nics(self) -> dict[str, Any]:
        return {f"data{at}": want.document(at) for at, want in enumerate(self.ports) if want is not None}


def sha256(version: str) -> str:
    return hashlib.sha256(PACKAGES[version]).hexdigest()


def files() -> dict[str, bytes]:
    """What lies beside every inventory."""
    return {f"{version}.pkg": data for version, data in PACKAGES.items()}


def _mac(number: int) -> str:
    return f"02:7e:00:00:00:{number:02x}"


def _rule(number: int, rule: tuple[int, str, int]) -> dict[str, Any]:
    address, action, which = rule
    actions: dict[str, Any] = {"queue": {"queue": which}, REDIRECT: {"redirect": {"vf": which}}, DROP: "drop"}
    return {"name": f"r{number}", "match": {"destination": _mac(address)}, "action": actions[action]}


# Strategies


@st.composite
def starts(draw: st.DrawFn) -> Start:
    mode = draw(st.sampled_from(("legacy", "legacy", "switchdev")))
    plain = draw(st.integers(0, 3)) > 0  # without anything of somebody else
    return Start(
        mode=mode,
        vfs=draw(st.sampled_from((0, 0, 0, 2, 3))),
        queues=draw(st.sampled_from((None, 4, 32))),
        mtu=draw(st.sampled_from((1500, 1500, 9000))),
        ntuple=draw(st.integers(0, 5)) > 0,
        flows=0 if plain else draw(st.integers(0, 2)),
        filters=0 if plain else draw(st.integers(0, 2)),
    )


@st.composite
def begins(draw: st.DrawFn) -> Begin:
    package = draw(st.sampled_from((None, *PACKAGES, *PACKAGES)))
    ports = (Start(), Start()) if package is None else (draw(starts()), draw(starts()))
    return Begin(
        release=draw(st.sampled_from((NEW, NEW, NEW, OLD))),
        package=package,
        own=draw(st.booleans()),
        late=draw(st.sampled_from((0, 0, 25, 60))),
        ports=ports,
    )


@st.composite
def wants(draw: st.DrawFn, package: str | None) -> Want:
    switchdev = draw(st.booleans())
    vfs = draw(st.sampled_from((None, 0, 1, 2, 4)))
    count = draw(st.integers(0, 3))
    queues = draw(st.sampled_from((None, None, 8, 16)))
    addresses = draw(st.lists(st.integers(1, 20), min_size=count, max_size=count, unique=True))
    rules = []
    for address in addresses:
        if switchdev and vfs:
            action = draw(st.sampled_from((REDIRECT, REDIRECT, DROP)))
            rules.append((address, action, draw(st.integers(0, vfs - 1))))
        elif switchdev:
            rules.append((address, DROP, 0))
        else:
            rules.append((address, draw(st.sampled_from(("queue", "queue", DROP))), draw(st.integers(0, 3))))
    stated = draw(st.integers(0, 3)) > 0 or bool(rules)
    return Want(
        eswitch=("switchdev" if switchdev else "legacy") if stated else None,
        vfs=vfs,
        package=package,
        queues=queues,
        mtu=draw(st.sampled_from((None, None, 3000))),
        ring=draw(st.sampled_from((None, None, (1024, 512)))),
        rules=tuple(rules),
    )


@st.composite
def wishes(draw: st.DrawFn) -> Wish:
    package = draw(st.sampled_from((None, None, *PACKAGES)))
    first = draw(wants(package))
    other = draw(st.none() | wants(package))
    return Wish((first, other) if draw(st.booleans()) else (other, first))


# From a description to a machine, and back


def build_machine(root: Path, begin: Begin, names: tuple[str, str] = ("data0", "data1"), work: bool = True) -> Machine:
    """The machine as described; what it takes was done by somebody's hand. work: now, or later by `worked_on`."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "lib/firmware").mkdir(parents=True, exist_ok=True)
    machine = build.machine(root, package=None, bound=False, names=names, release=begin.release)
    if begin.package is not None:
        build.put(root, PACKAGES[begin.package], OWN if begin.own else build.FILE)
    return worked_on(machine, begin) if work else machine


def worked_on(machine: Machine, begin: Begin) -> Machine:
    """The machine after somebody's work."""
    for function in machine.functions:
        function.bind()
    for function, start in zip(machine.functions, begin.ports, strict=True):
        _work_on(machine, function, start)
    machine.late = begin.late
    return machine


def _work_on(machine: Machine, function: Function, start: Start) -> None:
    device = function.device
    assert device is not None
    if function.safe_mode:
        return
    if start.mode == "switchdev":
        function.set_mode(start.mode)
    SysFs(machine).write(f"bus/pci/devices/{function.bdf}/sriov_numvfs", str(start.vfs))
    if start.queues is not None:
        function.set_queues(start.queues)
    device.mtu = start.mtu
    for number in range(start.flows):
        line = f"ethtool -N {device.name} flow-type tcp4 dst-port {4000 + number} action 1 loc {number}"
        assert not machine.run(line.split()).err
    if not start.flows:
        function.table.switch(start.ntuple)
    if start.filters:
        machine.tc.add_hook(device)
        for number in range(start.filters):
            keys = {"dst_mac": f"02:00:00:00:0f:{number:02x}"}
            machine.tc.put(device, Filter(100 + number, 1, 0x0800, keys, DROP, skip_hw=True), replaces=False)


class Picture(picture.Picture):
    """What E810 cards and the files beside them are."""

    @classmethod
    def of(cls, machine: Machine) -> Picture:
        machine.settle()
        values: dict[str, Any] = {}
        for function in machine.functions:
            device, at = function.device, function.bdf
            values[f"{at} driver"] = (function.driver, function.mode, function.vfs, function.safe_mode)
            values[f"{at} package"] = None if function.loaded is None else function.loaded.package
            values[f"{at} flows"] = (function.table.on, dict(function.table.flows))
            if device is not None:
                values |= picture.of_device(device, at)
        for path in sorted((machine.root / "lib/firmware").rglob("*")):
            if path.is_file():
                values[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        return cls(values)


def unmet(machine: Machine, wish: Wish) -> list[str]:
    """What of a wish does not hold, looked up in the model and not by the suite's reader."""
    machine.settle()
    wrong = []
    for function, want in zip(machine.functions, wish.ports, strict=True):
        if want is None:
            continue
        device, at = function.device, function.bdf
        if device is None:
            wrong.append(f"{at} has no device")
            continue
        pairs: list[tuple[str, object, object]] = [
            ("mode", want.eswitch, function.mode),
            ("VFs", want.vfs, function.vfs),
            ("queues", want.queues, device.queues),
            ("MTU", want.mtu, device.mtu),
        ]
        if want.ring is not None:
            pairs.append(("ring", want.ring, (device.ring["rx"], device.ring["tx"])))
        if want.package is not None:
            loaded = function.loaded.package if function.loaded is not None else None
            pairs.append(("package", want.package, version_text(loaded.version) if loaded is not None else "none"))
        wrong += [f"{at}: {name} is {now}, not {asked}" for name, asked, now in pairs if asked not in (None, now)]
        wrong += [f"{at}: no rule {rule}" for rule in want.rules if not _steers(function, rule)]
    return wrong


def _steers(function: Function, rule: tuple[int, str, int]) -> bool:
    address, action, which = _mac(rule[0]), rule[1], rule[2]
    assert function.device is not None
    queue = -1 if action == DROP else which
    for flow in function.table.flows.values():
        if (flow.kind, flow.destination[0], flow.protocol[0], flow.queue) == ("ether", address, TETHER, queue):
            return True
    target = next((one for one in function.representors if one.vf == which), None) if action == REDIRECT else None
    for one in function.device.filters:
        if (one.protocol, one.keys.get("dst_mac"), one.action, one.in_hw) == (TETHER, address, action, True):
            return one.target is target
    return False


FAMILY = Family("ice", build_machine, Picture.of, unmet, files)
