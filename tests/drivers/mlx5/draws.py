# SPDX-License-Identifier: Apache-2.0
"""Machines with a ConnectX-7 that somebody has worked on before us, and what an inventory may want of its ports."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.drivers.common import picture
from tests.drivers.common.law import Family
from tests.drivers.common.netdev import DROP, GOTO, REDIRECT, Filter
from tests.drivers.mlx5 import build, subfunctions
from tests.drivers.mlx5.build import NO_FLOWER
from tests.drivers.mlx5.card import Function
from tests.drivers.mlx5.machine import Machine
from tests.drivers.mlx5.sysfs import SysFs
from tests.drivers.mlx5.virtual import MBIT, NO_ADDRESS, Sf, Target

OLD, NEW = "6.1.0-56-amd64", "6.14.0-own"
TETHER = 0x88B5
QUEUE = "queue"
SF = 16  # where the addresses of SFs begin
NV = (("NUM_OF_VFS", "8"),), (("NUM_OF_VFS", "3"), ("UCTX_EN", "0")), (("PF_TOTAL_SF", "4"),), (("NUM_OF_VFS", "16"),)
Told = tuple[int | None, int | None, int | None]  # number of an address, Mbit/s at most, Mbit/s in any case


@dataclass(frozen=True)
class Start:
    """One function as it is found. flows, filters: somebody else's. told: what the first VF was told by hand."""

    mode: str = "legacy"
    vfs: int = 0
    bound: bool = True
    told: Told | None = None
    sfs: tuple[int, ...] = ()
    steering: str = "smfs"
    encap: str = "basic"
    queues: int | None = None
    mtu: int = 1500
    ntuple: bool = False
    flows: int = 0
    filters: int = 0


@dataclass(frozen=True)
class Begin:
    """A machine as it is found."""

    release: str = OLD
    has_flower: bool = True
    sf_built: bool = True
    sf_eth: bool = True
    late: int = 0
    ports: tuple[Start, Start] = (Start(), Start())
    boots: bool = False  # whether it boots unasked, once a wish is kept


@dataclass(frozen=True)
class Want:
    """What the inventory says of one port; None leaves it out. vfs: a number, or what each is told.

    rules: (address, action, queue, VF or chain). sfs: number -> what it is told.
    """

    eswitch: str | None = None
    steering: str | None = None
    encap: str | None = None
    metadata: bool | None = None
    vfs: int | tuple[Told, ...] | None = None
    sfs: tuple[tuple[int, Told], ...] | None = None
    queues: int | None = None
    mtu: int | None = None
    ring: tuple[int, int] | None = None
    rules: tuple[tuple[int, str, int], ...] = ()
    nv: tuple[tuple[str, str], ...] = ()

    @property
    def count(self) -> int | None:
        return len(self.vfs) if isinstance(self.vfs, tuple) else self.vfs

    def document(self, port: int) -> dict[str, Any]:
        """As an inventory has it."""
        nic: dict[str, Any] = {"family": "cx7", "device": {"pci": (build.PF0, build.PF1)[port]}}
        named: dict[str, Any] = {"eswitch": self.eswitch, "steering_mode": self.steering, "encap": self.encap}
        named |= {"queues": self.queues, "mtu": self.mtu}
        nic |= {name: value for name, value in named.items() if value is not None}
        if self.metadata is not None:
            nic["params"] = {"esw_port_metadata": self.metadata}
        if isinstance(self.vfs, tuple):
            nic["vfs"] = [_told(told, port, at) for at, told in enumerate(self.vfs)]
        elif self.vfs is not None:
            nic["vfs"] = self.vfs
        if self.sfs is not None:
            nic["sfs"] = [{"number": number, **_told(told, port, SF + number)} for number, told in self.sfs]
        if self.ring is not None:
            nic["ring"] = {"rx": self.ring[0], "tx": self.ring[1]}
        if self.nv:
            nic["nv"] = {key: int(value) for key, value in self.nv}
        if self.rules:
            nic["steering"] = {
                "rules": [*(_rule(number, rule) for number, rule in enumerate(self.rules)), *self._led()]
            }
        return nic

    def _led(self) -> list[dict[str, Any]]:
        """A rule in each chain that one leads to."""
        chains = sorted({which for _, action, which in self.rules if action == GOTO})
        return [{"name": f"c{chain}", "chain": chain, "match": {}, "action": DROP} for chain in chains]


@dataclass(frozen=True)
class Wish:
    """Both ports; None where the inventory does not have the port."""

    ports: tuple[Want | None, Want | None]

    def nics(self) -> dict[str, Any]:
        return {f"data{at}": want.document(at) for at, want in enumerate(self.ports) if want is not None}


def _address(number: int, port: int, at: int) -> str:
    """No two targets have one: `at` is theirs alone."""
    return f"02:7f:00:{number:02x}:{port:02x}:{at:02x}"


def _told(told: Told, port: int, at: int) -> dict[str, Any]:
    address, most, share = told
    found: dict[str, Any] = {} if address is None else {"address": _address(address, port, at)}
    rates = (("tx_max", most), ("tx_share", share))
    return found | {name: f"{rate}Mbit" for name, rate in rates if rate is not None}


def _mac(number: int) -> str:
    return f"02:7e:00:00:00:{number:02x}"


def _rule(number: int, rule: tuple[int, str, int]) -> dict[str, Any]:
    """A goto leads to its chain; a rule to a queue, a VF or nothing stands in chain 0."""
    address, action, which = rule
    actions: dict[str, Any] = {QUEUE: {QUEUE: which}, REDIRECT: {REDIRECT: {"vf": which}}, DROP: DROP}
    actions[GOTO] = {GOTO: which}
    return {"name": f"r{number}", "match": {"destination": _mac(address)}, "action": actions[action]}


# Strategies


@st.composite
def starts(draw: st.DrawFn) -> Start:
    mode = draw(st.sampled_from(("legacy", "legacy", "switchdev")))
    plain = draw(st.integers(0, 3)) > 0  # without anything of somebody else
    vfs = draw(st.sampled_from((0, 0, 2, 3)))
    return Start(
        mode=mode,
        vfs=vfs,
        bound=draw(st.booleans()),
        told=draw(st.sampled_from((None, None, (7, 1000, None)))) if vfs else None,
        sfs=draw(st.sampled_from(((), (), (5,)))) if mode == "switchdev" else (),
        steering=draw(st.sampled_from(("smfs", "dmfs"))),
        encap=draw(st.sampled_from(("basic", "none"))),
        queues=draw(st.sampled_from((None, 8, 32))),
        mtu=draw(st.sampled_from((1500, 1500, 9000))),
        ntuple=draw(st.booleans()),
        flows=0 if plain else draw(st.integers(0, 2)),
        filters=0 if plain else draw(st.integers(0, 2)),
    )


@st.composite
def begins(draw: st.DrawFn) -> Begin:
    release = draw(st.sampled_from((OLD, OLD, NEW, NO_FLOWER)))
    boots = draw(st.booleans())  # of a machine where somebody else left nothing that no boot keeps
    ports = (draw(starts()), draw(starts()))
    return Begin(
        release=release,
        has_flower=release != NO_FLOWER,
        sf_built=release == NEW or draw(st.booleans()),
        sf_eth=draw(st.booleans()),
        late=draw(st.sampled_from((0, 0, 25, 60))),
        ports=(_kept(ports[0]), _kept(ports[1])) if boots else ports,
        boots=boots,
    )


def _kept(start: Start) -> Start:
    """What of it outlives a boot."""
    return replace(start, mode="legacy", vfs=0, told=None, sfs=(), flows=0, filters=0)


@st.composite
def tolds(draw: st.DrawFn) -> Told:
    most = draw(st.sampled_from((None, None, 1000, 20000)))
    share = draw(st.sampled_from((None, None, 10, 500)))
    return (draw(st.none() | st.integers(1, 200)), most, share)


@st.composite
def wants(draw: st.DrawFn) -> Want:
    switchdev = draw(st.booleans())
    vfs = draw(st.none() | st.integers(0, 3) | st.lists(tolds(), max_size=3).map(tuple))
    count = vfs if isinstance(vfs, int) else len(vfs or ())
    addresses = draw(st.lists(st.integers(1, 20), max_size=3, unique=True))
    rules = []
    for address in addresses:
        actions = (REDIRECT, REDIRECT, DROP, QUEUE) if switchdev and count else (DROP, QUEUE, GOTO)
        action = draw(st.sampled_from(actions if switchdev else (QUEUE, QUEUE, DROP)))
        which = {REDIRECT: (0, max(count - 1, 0)), GOTO: (2, 5), QUEUE: (0, 3), DROP: (0, 0)}[action]
        rules.append((address, action, draw(st.integers(*which))))
    stated = draw(st.integers(0, 3)) > 0 or bool(rules)
    sfs = None
    if switchdev and stated:
        sfs = draw(st.none() | st.lists(st.tuples(st.integers(1, 4), tolds()), max_size=2, unique_by=lambda sf: sf[0]))
    return Want(
        eswitch=("switchdev" if switchdev else "legacy") if stated else None,
        steering=draw(st.sampled_from((None, None, "smfs", "dmfs"))),
        encap=draw(st.sampled_from((None, None, "basic", "none"))),
        metadata=draw(st.sampled_from((None, None, True, False))),
        vfs=vfs,
        sfs=None if sfs is None else tuple(sfs),
        queues=draw(st.sampled_from((None, None, 8, 24))),
        mtu=draw(st.sampled_from((None, None, 3000))),
        ring=draw(st.sampled_from((None, None, (2048, 512)))),
        rules=tuple(rules),
        nv=draw(st.sampled_from(((), (), (), *NV))),
    )


@st.composite
def wishes(draw: st.DrawFn) -> Wish:
    first, other = draw(wants()), draw(st.none() | wants())
    return Wish((first, other) if draw(st.booleans()) else (other, first))


# From a description to a machine, and back


def build_machine(root: Path, begin: Begin, names: tuple[str, str] = ("data0", "data1"), work: bool = True) -> Machine:
    """The machine as described; what it takes was done by somebody's hand. work: now, or later by `worked_on`."""
    root.mkdir(parents=True, exist_ok=True)
    words: dict[str, Any] = {name: getattr(begin, name) for name in ("release", "has_flower", "sf_built", "sf_eth")}
    machine = build.machine(root, bound=False, names=names, **words)
    return worked_on(machine, begin) if work else machine


def worked_on(machine: Machine, begin: Begin) -> Machine:
    """The machine after somebody's work."""
    for function in machine.functions:
        function.bind()
    for function, start in zip(machine.functions, begin.ports, strict=True):
        _work_on(machine, function, start)
    machine.late = begin.late
    machine.at_boot = lambda: _as_ever(machine, begin)
    return machine


def _as_ever(machine: Machine, begin: Begin) -> None:
    """What somebody's scripts set at every boot: modes, VFs and rules are not among it."""
    for function, start in zip(machine.functions, begin.ports, strict=True):
        _set_up(function, start)


def _set_up(function: Function, start: Start) -> None:
    function.set_param("flow_steering_mode", start.steering)
    function.set_eswitch(None, None, start.encap)
    _count(function, start)


def _count(function: Function, start: Start) -> None:
    if start.queues is not None:
        function.set_queues(start.queues)
    function.bound().mtu = start.mtu
    function.table.switch(start.ntuple)


def _work_on(machine: Machine, function: Function, start: Start) -> None:
    function.set_param("flow_steering_mode", start.steering)
    function.set_eswitch(start.mode, None, start.encap)
    function.autoprobe = start.bound and start.told is None
    SysFs(machine).write(f"bus/pci/devices/{function.bdf}/sriov_numvfs", str(start.vfs))
    function.autoprobe = True
    if start.told is not None:
        _tell(function, function.virtuals[0], start.told)
        for vf in function.virtuals if start.bound else ():
            function.take(vf)
    if start.sfs and machine.sf_built:
        for number in start.sfs:
            subfunctions.add(function, {"flavour": "pcisf", "pfnum": str(function.number), "sfnum": str(number)}, False)
            subfunctions.set_state(function, function.sfs[number], active=True)
    _count(function, start)
    _others(function, start)


def _others(function: Function, start: Start) -> None:
    """Rules that are not ours."""
    machine, device = function.machine, function.bound()
    for number in range(start.flows):
        line = f"ethtool -N {device.name} flow-type tcp4 dst-port {4000 + number} action 1 loc {number}"
        assert not machine.run(line.split()).err
    if start.filters:
        machine.tc.add_hook(device)
        for number in range(start.filters):
            keys = {"dst_mac": f"02:00:00:00:0f:{number:02x}"}
            machine.tc.put(device, Filter(100 + number, 1, 0x0800, keys, DROP, skip_hw=True), replaces=False)


def _tell(function: Function, target: Target, told: Told) -> None:
    found = _told(told, 15, 0)
    if "address" in found:
        target.set_address(found["address"])
    if told[1] is not None:
        target.set_rate("tx_max", told[1] * MBIT, function.link)


def picture_of(machine: Machine) -> picture.Picture:
    """What ConnectX cards are, and what stands for them."""
    machine.settle()
    values: dict[str, Any] = {}
    for function in machine.functions:
        at = function.bdf
        modes = (function.driver, function.mode, function.inline, function.encap, function.steering)
        values[f"{at} modes"] = (*modes, function.metadata, function.autoprobe, function.reload_failed)
        values[f"{at} VFs"] = [(*_shown(vf), vf.driver) for vf in function.virtuals]
        values[f"{at} SFs"] = {number: (*_shown(sf), sf.active) for number, sf in function.sfs.items()}
        values[f"{at} flows"] = (function.table.on, dict(function.table.flows))
        if function.device is not None:
            values |= picture.of_device(function.device, at)
    for card in machine.cards:
        values[f"{card.serial} settings"] = (dict(card.firmware.current), dict(card.firmware.next))
    return picture.Picture(values)


def _shown(target: Target) -> tuple[Any, ...]:
    """What its driver found is what it was told, where anything was told."""
    found = target.found == target.address if target.found is not None and target.address != NO_ADDRESS else None
    return (target.address, target.tx_max, target.tx_share, found)


def unmet(machine: Machine, wish: Wish) -> list[str]:
    """What of a wish does not hold, looked up in the model and not by the suite's reader."""
    machine.settle()
    wrong = []
    for function, want in zip(machine.functions, wish.ports, strict=True):
        if want is not None:
            wrong += [f"{function.bdf}: {words}" for words in _unmet(function, want)]
    return wrong


def _unmet(function: Function, want: Want) -> list[str]:
    device = function.device
    if device is None:
        return ["no device"]
    pairs: list[tuple[str, object, object]] = [
        ("mode", want.eswitch, function.mode),
        ("steering", want.steering, function.steering),
        ("encap", want.encap, function.encap),
        ("metadata", want.metadata, function.metadata),
        ("VFs", want.count, function.vfs),
        ("queues", want.queues, device.queues),
        ("MTU", want.mtu, device.mtu),
        ("ring", want.ring, (device.ring["rx"], device.ring["tx"])),
    ]
    firmware = function.card.firmware
    pairs += [(key, value, firmware.current[firmware.place(key, function.port)]) for key, value in want.nv]
    wrong = [f"{name} is {now}, not {asked}" for name, asked, now in pairs if asked not in (None, now)]
    told: list[tuple[Target | None, Told, int]] = []
    if isinstance(want.vfs, tuple) and len(want.vfs) == function.vfs:
        told += [(vf, values, vf.number) for vf, values in zip(function.virtuals, want.vfs, strict=True)]
    told += [(function.sfs.get(number), values, SF + number) for number, values in want.sfs or ()]
    for target, values, at in told:
        wrong += _untold(target, values, (function.port, at))
    wrong += [f"no rule {rule}" for rule in want.rules if not _steers(function, rule)]
    return wrong


def _untold(target: Target | None, told: Told, place: tuple[int, int]) -> list[str]:
    if target is None:
        return ["an SF is not there"]
    address, most, share = told
    wrong = []
    if address is not None and target.address != _address(address, *place):
        wrong.append(f"{target} has not {_address(address, *place)}")
    if isinstance(target, Sf) and target.device is None:
        wrong.append(f"{target} has no network device")
    if address is not None and target.found not in (None, target.address):
        wrong.append(f"the driver of {target} found another address")
    for name, value in (("tx_max", most), ("tx_share", share)):
        if value is not None and getattr(target, name) != value * MBIT:
            wrong.append(f"{name} of {target} is not {value} Mbit/s")
    return wrong


def _steers(function: Function, rule: tuple[int, str, int]) -> bool:
    address, action, which = _mac(rule[0]), rule[1], rule[2]
    assert function.device is not None
    queue = -1 if action == DROP else which
    for flow in function.table.flows.values():
        if (flow.kind, flow.destination[0], flow.protocol[0], flow.queue) == ("ether", address, TETHER, queue):
            return action in (DROP, QUEUE)
    target = function.virtuals[which].representor if action == REDIRECT else None
    for one in function.device.filters:
        if (one.protocol, one.keys.get("dst_mac"), one.action, one.in_hw) == (TETHER, address, action, True):
            return one.target is target and one.goto == (which if action == GOTO else None)
    return False


FAMILY = Family("mlx5", build_machine, picture_of, unmet)
