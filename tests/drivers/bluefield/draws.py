# SPDX-License-Identifier: Apache-2.0
"""BlueField cards that somebody has worked on before us, and what an inventory may want of both their sides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.drivers.bluefield import build
from tests.drivers.bluefield.chip import DPU, NIC, ZERO_TRUST, Chip
from tests.drivers.bluefield.machine import Side
from tests.drivers.bluefield.scene import ARM, CARD, HOST, CardScene
from tests.drivers.common.law import Family
from tests.drivers.common.netdev import DROP, REDIRECT
from tests.drivers.common.picture import Picture
from tests.drivers.mlx5 import draws, subfunctions
from tests.drivers.mlx5.draws import NEW, OLD, QUEUE, Told, Want

FAMILY_NAME = "bluefield"
PLAIN = draws.Start()


@dataclass(frozen=True)
class Start:
    """One port as it is found. told: what the Arm told the first VF. The rest as in the model of mlx5."""

    vfs: int = 0
    bound: bool = True
    told: Told | None = None
    sfs: tuple[int, ...] = ()
    arm: draws.Start = PLAIN
    host: draws.Start = PLAIN


@dataclass(frozen=True)
class Begin:
    mode: str = DPU
    late: int = 0
    sync: bool = True  # whether drivers bring themselves down for a reset
    ports: tuple[Start, Start] = (Start(), Start())
    boots: bool = False


@dataclass(frozen=True)
class Wish:
    """Each side's ports; None where the inventory does not have one. alone: the host's in mode nic. nv: of the card."""

    arm: tuple[Want | None, Want | None]
    host: tuple[Want | None, Want | None]
    alone: tuple[Want | None, Want | None] = (None, None)
    nv: tuple[tuple[str, str], ...] = ()
    mode: str = DPU

    @property
    def ports(self) -> dict[str, tuple[Want | None, Want | None]]:
        return {ARM: (None, None), HOST: self.alone} if self.mode == NIC else {ARM: self.arm, HOST: self.host}

    def nics(self) -> dict[str, Any]:
        card: dict[str, Any] = {"mode": self.mode}
        if self.nv:
            card["nv"] = {key: int(value) for key, value in self.nv}
        return {
            "card": card,
            ARM: {f"p{at}": _document(want, at) for at, want in enumerate(self.ports[ARM]) if want is not None},
            HOST: {f"data{at}": _document(want, at) for at, want in enumerate(self.ports[HOST]) if want is not None},
        }


def _document(want: Want, port: int) -> dict[str, Any]:
    found = want.document(port)
    del found["device"]
    return {**found, "family": FAMILY_NAME, "card": CARD, "port": port}


# Strategies


@st.composite
def starts(draw: st.DrawFn) -> Start:
    vfs = draw(st.sampled_from((0, 0, 0, 2, 3)))
    counts = st.builds(
        draws.Start,
        queues=st.sampled_from((None, 8, 32)),
        mtu=st.sampled_from((1500, 1500, 9000)),
        ntuple=st.booleans(),
        flows=st.sampled_from((0, 0, 0, 2)),
        filters=st.sampled_from((0, 0, 0, 1)),
    )
    told = draw(st.sampled_from((None, None, (7, 1000, None)))) if vfs else None
    sfs: tuple[int, ...] = draw(st.sampled_from(((), (), (), (5,))))
    arm = replace(draw(counts), encap=draw(st.sampled_from(("basic", "basic", "none"))))
    return Start(vfs, draw(st.booleans()), told, sfs, arm, draw(counts))


@st.composite
def begins(draw: st.DrawFn) -> Begin:
    boots = draw(st.booleans())
    ports = draw(starts()), draw(starts())
    return Begin(
        mode=draw(st.sampled_from((DPU, DPU, DPU, ZERO_TRUST, NIC))),
        late=draw(st.sampled_from((0, 0, 25))),
        sync=draw(st.integers(0, 3)) > 0,
        ports=(_kept(ports[0]), _kept(ports[1])) if boots else ports,
        boots=boots,
    )


def _kept(start: Start) -> Start:
    sides = {name: replace(getattr(start, name), flows=0, filters=0) for name in (ARM, HOST)}
    return replace(start, vfs=0, told=None, sfs=(), **sides)


@st.composite
def wishes(draw: st.DrawFn) -> Wish:
    nv = draw(st.sampled_from(((), (), (), (("NUM_OF_VFS", "8"),), (("UCTX_EN", "0"),))))
    first, other = (None if want is None else replace(want, nv=()) for want in draw(draws.wishes()).ports)
    pairs = [draw(sides()) for _ in range(2)]
    return Wish((pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1]), (first, other), nv)


def fit(begin: Begin, wish: Wish) -> Wish:
    """The wish for a card in the mode that this one is in."""
    return replace(wish, mode=begin.mode)


@st.composite
def sides(draw: st.DrawFn) -> tuple[Want | None, Want | None]:
    """What is said of one port at the Arm, and at the host."""
    arm = draw(draws.wants().filter(lambda want: want.eswitch == "switchdev"))
    count = arm.count
    rules = tuple(rule for rule in arm.rules if rule[1] != REDIRECT or count)
    arm = replace(arm, nv=(), rules=rules)
    own = tuple(
        (address, draw(st.sampled_from((DROP, QUEUE))), draw(st.integers(0, 3)))
        for address in draw(st.lists(st.integers(21, 40), max_size=2, unique=True))
    )
    host = Want(
        vfs=count,
        queues=draw(st.sampled_from((None, None, 8))),
        mtu=draw(st.sampled_from((None, 3000))),
        ring=draw(st.sampled_from((None, None, (2048, 512)))),
        rules=tuple((address, action, 0 if action == DROP else which) for address, action, which in own),
    )
    if count is None and draw(st.booleans()):
        return arm, None
    return arm, host


# From a description to a card, and back


def build_chip(root: Path, begin: Begin) -> Chip:
    root.mkdir(parents=True, exist_ok=True)
    more: dict[str, Any] = {"release": NEW, "has_flower": True, "sf_built": True}
    chip = build.chip(root / ARM, root / HOST, begin.mode, **more)
    chip.arm.release = OLD
    if not begin.sync:
        chip.firmware.syncs = ()
    for port, start in enumerate(begin.ports):
        _work_on(chip, port, start)
    for side in chip.sides:
        side.settle()
        side.late = begin.late
        side.at_boot = _as_ever(side, begin)
    return chip


def _as_ever(side: Side, begin: Begin) -> Any:
    name = ARM if side is side.chip.arm else HOST

    def act() -> None:
        for function, start in zip(side.functions, begin.ports, strict=False):
            if function.device is not None:
                if name == ARM:  # the card's own system wants its switch
                    function.set_eswitch("switchdev", None, start.arm.encap)
                draws._count(function, getattr(start, name))

    return act


def _work_on(chip: Chip, port: int, start: Start) -> None:
    outer = chip.server.ports[port]
    outer.autoprobe = start.bound and start.told is None
    outer.set_vfs(start.vfs)
    outer.autoprobe = True
    if chip.mode != NIC:
        inner = chip.arm.ports[port]
        inner.set_eswitch(None, None, start.arm.encap)
        if start.told is not None:
            draws._tell(inner, inner.virtuals[0], start.told)
        for number in start.sfs:
            words = {"flavour": "pcisf", "pfnum": str(inner.number), "sfnum": str(number)}
            subfunctions.add(inner, words, False)
            subfunctions.set_state(inner, inner.sfs[number], active=True)
        draws._others(inner, start.arm)
        draws._count(inner, start.arm)
    if start.told is not None and start.bound:
        for vf in outer.virtuals:
            outer.take(vf)
    draws._others(outer, start.host)
    draws._count(outer, start.host)


def picture_of(chip: Chip) -> Picture:
    values: dict[str, Any] = {"restricted": chip.restricted, "rshim": chip.rshim}
    for name, side in zip((ARM, HOST), chip.sides, strict=True):
        values |= {f"{name} {key}": value for key, value in draws.picture_of(side).values.items()}
    return Picture(values)


def unmet(chip: Chip, wish: Wish) -> list[str]:
    wrong = [] if chip.mode == wish.mode else [f"mode is {chip.mode}, not {wish.mode}"]
    if wrong:
        return wrong
    for name, side in ((ARM, chip.arm), (HOST, chip.server)):
        side.settle()
        for function, want in zip(side.functions, wish.ports[name], strict=False):
            if want is not None:
                wrong += [f"{name} {function.bdf}: {words}" for words in draws._unmet(function, want)]
    firmware = chip.firmware
    wrong += [f"{key} is {firmware.current[key]}" for key, value in wish.nv if firmware.current[key] != value]
    return wrong


FAMILY = Family("bluefield", build_chip, picture_of, unmet, scene=CardScene, fit=fit)
