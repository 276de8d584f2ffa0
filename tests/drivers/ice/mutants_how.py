# SPDX-License-Identifier: Apache-2.0
"""What mutants are made of: other steps, other words, other writes, agents that believe."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar
from unittest.mock import patch

from tests.drivers.common.standin import ModelSysfs
from tests.drivers.ice import build, draws, sign
from tests.drivers.ice.build import PF0
from tests.drivers.ice.draws import Begin, Start, Want
from tests.drivers.ice.firmware import GLOBAL_CONFIG, HOLD_MS
from tests.drivers.ice.machine import Machine
from tests.drivers.ice.mutants import Mutant, Pairs, port, unpatched
from tests.support.e810_variants import variant
from tether_hw.agent import command, nic_driver, nic_functions, nic_rules, sysfs, waiting
from tether_hw.agent.errors import AgentError
from tether_hw.nic.e810 import read
from tether_hw.plan import rule_commands
from tether_hw.plan.kinds import nic_rules_flower, nic_rules_ntuple
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.ddp_package import DdpPackage
from tether_hw.plan.kinds.nic_driver import NicDriver
from tether_hw.plan.kinds.nic_rules_flower import NicRulesFlower
from tether_hw.plan.kinds.nic_rules_ntuple import NicRulesNtuple
from tether_hw.plan.kinds.nic_vfs import NicVfs
from tether_hw.plan.order import phase

Data = TypeVar("Data", bound=StepData)
Words = tuple[str, ...]
QUEUED = Want(queues=8, rules=((1, "queue", 1), (2, "queue", 2)))
SWITCHED = Want(eswitch="switchdev", vfs=2, rules=((1, "redirect", 1), (2, "drop", 0)))
DROPS = Want(eswitch="switchdev", rules=((1, "drop", 0), (2, "drop", 0)))
LEGACY = Want(eswitch="legacy", vfs=0)
PACKAGE = Want(package="1.3.40.0")
SAFE = Begin(package=None)


def edit(kind: type[Data], how: Callable[[Data], StepData]) -> Callable[[Pairs], Pairs]:
    """Change the steps of one kind."""
    return lambda steps: [(nic, how(data) if isinstance(data, kind) else data) for nic, data in steps]


def without(kind: type[StepData], **having: object) -> Callable[[Pairs], Pairs]:
    """Leave steps out."""

    def meant(data: StepData) -> bool:
        return isinstance(data, kind) and all(getattr(data, name) == value for name, value in having.items())

    return lambda steps: [pair for pair in steps if not meant(pair[1])]


def both(*changes: Callable[[Pairs], Pairs]) -> Callable[[Pairs], Pairs]:
    def change(steps: Pairs) -> Pairs:
        for one in changes:
            steps = one(steps)
        return steps

    return change


def added(step: StepData) -> Callable[[Pairs], Pairs]:
    """One step more, where it belongs."""
    return lambda steps: sorted([*steps, (None, step)], key=lambda pair: phase(pair[1]))


def moved(kind: type[StepData], before: type[StepData], **having: object) -> Callable[[Pairs], Pairs]:
    """Steps of one kind come before those of another."""

    def change(steps: Pairs) -> Pairs:
        taken = [p for p in steps if isinstance(p[1], kind) and all(getattr(p[1], k) == v for k, v in having.items())]
        rest = [pair for pair in steps if pair not in taken]
        at = next((i for i, pair in enumerate(rest) if isinstance(pair[1], before)), None)
        if at is None:  # what comes before a boot is put in order by itself
            return steps
        return rest[:at] + taken + rest[at:]

    return change


def rule_with(kind: type[Data], number: int = -1, **values: object) -> Callable[[Pairs], Pairs]:
    """Give one rule of a table other values."""

    def how(data: Any) -> StepData:
        if not data.put:
            return data  # type: ignore[no-any-return]
        place = sorted(data.put)[number]
        changed: StepData = replace(data, put={**data.put, place: {**data.put[place], **values}})
        return changed

    return edit(kind, how)


def at_place(old: int, new: str) -> Callable[[Pairs], Pairs]:
    """One rule of ethtool's at another location."""

    def how(data: NicRulesNtuple) -> StepData:
        places = sorted(data.put)
        return replace(data, put={new if place == places[old] else place: data.put[place] for place in places})

    return edit(NicRulesNtuple, how)


# Patches


def words_of(module: Any, name: str, how: Callable[[Words], Words]) -> AbstractContextManager[object]:
    """A command with other words."""
    right = getattr(rule_commands, name)
    return patch.object(module, name, lambda *more: how(right(*more)))


def swap(old: str, new: str) -> Callable[[Words], Words]:
    return lambda argv: tuple(new if word == old else word for word in argv)


def word_after(first: str, new: str) -> Callable[[Words], Words]:
    return lambda argv: tuple(new if at and argv[at - 1] == first else word for at, word in enumerate(argv))


def ntuple_words(how: Callable[[Words], Words]) -> list[AbstractContextManager[object]]:
    return [words_of(nic_rules_ntuple, "ntuple_set", how)]


def flower_words(how: Callable[[Words], Words]) -> list[AbstractContextManager[object]]:
    return [words_of(nic_rules_flower, "tc_replace", how)]


def cut(first: str, count: int) -> Callable[[Words], Words]:
    """Without a word and those behind it."""

    def how(argv: Words) -> Words:
        if first not in argv:
            return argv
        at = argv.index(first)
        return argv[:at] + argv[at + count :]

    return how


def behind(first: str, *more: str) -> Callable[[Words], Words]:
    def how(argv: Words) -> Words:
        at = argv.index(first) + 1
        return argv[:at] + more + argv[at:]

    return how


def writes(how: Callable[[str, str], list[tuple[str, str]]]) -> list[AbstractContextManager[object]]:
    """Writes to sysfs become others."""
    right = ModelSysfs.write

    def write(self: ModelSysfs, path: str, text: str) -> None:
        for one in how(path, text):
            right(self, *one)

    return [patch.object(ModelSysfs, "write", write)]


def no_waits() -> list[AbstractContextManager[object]]:
    return [patch.object(waiting, "until", lambda missing, timeout_s: missing())]


def believes() -> list[AbstractContextManager[object]]:
    """Exit codes and errno do not matter to it."""
    right = ModelSysfs.write

    def write(self: ModelSysfs, path: str, text: str) -> None:
        try:
            right(self, path, text)
        except AgentError:
            return

    quiet = patch.object(command, "checked", lambda argv, timeout_s, text="": command.execute(argv, timeout_s, text))
    return [quiet, patch.object(ModelSysfs, "write", write)]


def no_read_back() -> list[AbstractContextManager[object]]:
    return [patch.object(nic_driver, "_package", lambda data, paths, before: None)]


def bad_package(content: bytes) -> tuple[Callable[[Pairs], Pairs], Callable[[Machine], None]]:
    """The plan places another file than the one that was looked at, and the host has it."""
    digest = hashlib.sha256(content).hexdigest()

    def hold(machine: Machine) -> None:
        place = machine.root / "opt/tether/files" / digest
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    return edit(DdpPackage, lambda data: replace(data, sha256=digest)), hold


def placed(content: bytes, read_back: bool = True) -> Mutant:
    change, hold = bad_package(content)
    return Mutant(port(PACKAGE), change, unpatched if read_back else lambda machine: no_read_back(), world=hold)


def by_devlink(machine: Machine) -> list[AbstractContextManager[object]]:
    """Another package by `devlink dev reload`."""

    def carry_out(data: NicDriver, paths: object, snapshot: object, timeout_s: float) -> None:
        if data.action == "unbind":
            return
        for pci in data.functions:
            command.checked(["devlink", "dev", "reload", f"pci/{pci}"], timeout_s)

    return [patch.object(nic_driver, "carry_out", carry_out)]


def one_function(machine: Machine) -> list[AbstractContextManager[object]]:
    def carry_out(data: NicDriver, paths: object, snapshot: object, timeout_s: float) -> None:
        model = sysfs.SYSFS
        if machine.functions[0].driver is not None:
            model.write("bus/pci/drivers/ice/unbind", PF0)
        if data.action == "bind":
            model.write("bus/pci/drivers/ice/bind", PF0)

    return [patch.object(nic_driver, "carry_out", carry_out)]


def set(**values: object) -> Callable[[Machine], None]:
    def act(machine: Machine) -> None:
        for name, value in values.items():
            setattr(machine.functions[0], name, value)

    return act


def firmware(**values: object) -> Callable[[Machine], None]:
    def act(machine: Machine) -> None:
        for name, value in values.items():
            setattr(machine.cards[0].firmware, name, value)

    return act


def lock_after_unbind(machine: Machine) -> list[AbstractContextManager[object]]:
    """Another host of the card holds the lock all the time."""
    firmware = machine.cards[0].firmware

    def held(resource: str, holder: str) -> str:
        return "busy"

    assert HOLD_MS[GLOBAL_CONFIG]
    return [patch.object(firmware, "request", held), *no_read_back()]


def vfs_straight(machine: Machine) -> list[AbstractContextManager[object]]:
    def carry(data: NicVfs, *more: object) -> None:
        sysfs.SYSFS.write(f"bus/pci/devices/{data.function}/sriov_numvfs", str(data.count))

    return [patch.object(nic_functions, "_vfs", carry)]


def merge_vfs(steps: Pairs) -> Pairs:
    """From one number to another in one step."""
    return without(NicVfs, count=0)(steps)


def broken_own(machine: Machine) -> None:
    build.put(machine.root, b"rubbish", draws.OWN)


def to_plain_name(steps: Pairs) -> Pairs:
    def how(data: DdpPackage) -> StepData:
        root = data.path.partition("/lib/firmware")[0]
        return replace(data, path=f"{root}/{build.FILE}")

    return edit(DdpPackage, how)(steps)


def removed(data: DdpPackage) -> StepData:
    return replace(data, sha256=None)


def reader_takes_last(machine: Machine) -> list[AbstractContextManager[object]]:
    def uplink(model: Any, pci: str) -> str | None:
        names: Sequence[str] = model.entries(f"{read.PCI}/{pci}/net")
        return names[-1] if names else None

    return [patch.object(read, "uplink", uplink)]


def drop_foreign(steps: Pairs) -> Pairs:
    return edit(NicRulesNtuple, lambda data: replace(data, on=False))(steps)


def twice(path: str, text: str) -> list[tuple[str, str]]:
    return [(path, text)] * (2 if path.endswith("/unbind") else 1)


def elsewhere(path: str, text: str) -> list[tuple[str, str]]:
    return [(path, "0000:99:00.0" if path.endswith("/bind") else text)]


def safe_ntuple() -> StepData:
    rule = {"action": "queue", "ethertype": 0x88B5, "vlan": None, "source": None, "queue": 0, "target": None}
    rule |= {"destination": {"address": "02:00:00:00:00:01", "mask": "ff:ff:ff:ff:ff:ff"}, "offload": "required"}
    return NicRulesNtuple(PF0, "data0", True, {"5": rule}, ())


def safe_flower() -> StepData:
    rule = {**safe_ntuple().to_dict()["put"]["5"], "action": "drop", "queue": None}
    return NicRulesFlower(PF0, "data0", True, True, {"1205/88b50000": rule}, ())


def offload_free(machine: Machine) -> None:
    device = machine.device("data0")
    assert device is not None
    device.features["hw-tc-offload"] = True


def believing(machine: Machine) -> list[AbstractContextManager[object]]:
    return believes()


def legacy_flower(**values: object) -> StepData:
    rule = {**safe_ntuple().to_dict()["put"]["5"], "queue": None, **values}
    return NicRulesFlower(PF0, "data0", True, True, {"1205/88b50000": rule}, ())


def all_again(data: NicRulesFlower) -> StepData:
    """The last rule is that of the first place once more."""
    places = sorted(data.put)
    return replace(data, put={**data.put, places[-1]: data.put[places[0]]}) if len(places) > 1 else data


def rules_stay(steps: Pairs) -> Pairs:
    return [pair for pair in steps if not (isinstance(pair[1], NicRulesNtuple) and not pair[1].put)]


def none(pci: str) -> str | None:
    return None


def hook_twice(machine: Machine) -> list[AbstractContextManager[object]]:
    """The hook is taken away once more than it was there."""

    def run(argv: Words, timeout_s: float) -> str:
        times = 2 if argv[:3] == ("tc", "qdisc", "del") else 1
        return [checked(command.execute(argv, timeout_s)) for _ in range(times)][-1]

    return [patch.object(nic_rules, "_run", run)]


def checked(done: command.Done) -> str:
    if done.code != 0:
        raise AgentError(done.err)
    return done.err


SIGNED = partial(sign.signed, variant(version=(1, 3, 40, 0)))
AWAY = without(NicDriver, action="unbind")
SECOND = "0x88b50001"  # the handle of our second rule
LATE = Begin(late=200)
TWO_VFS = Begin(ports=(Start(vfs=2), Start()))
