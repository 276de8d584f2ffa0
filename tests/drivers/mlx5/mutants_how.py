# SPDX-License-Identifier: Apache-2.0
"""What mutants on machines with a ConnectX-7 are made of: other words, other writes, no waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from tests.drivers.common import mutants
from tests.drivers.common.machine import Done, Host
from tests.drivers.common.mutants import Pairs
from tests.drivers.common.standin import ModelSysfs
from tests.drivers.common.transaction import Scene
from tests.drivers.mlx5.draws import Begin, Start, Want, Wish
from tether_hw.agent import command, waiting
from tether_hw.agent.errors import AgentError
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.order import phase

Words = list[str]
Said = Callable[[Words], "list[Words] | None"]
Patch = AbstractContextManager[object]

VFS = ((7, 1000, None), (None, None, None))
TOLD = Want(eswitch="switchdev", vfs=VFS)
SWITCHED = Want(eswitch="switchdev", vfs=2, rules=((1, "redirect", 1), (2, "drop", 0)))
DROPS = Want(eswitch="switchdev", rules=((1, "drop", 0), (2, "drop", 0)))
QUEUED = Want(queues=8, rules=((1, "queue", 1), (2, "queue", 2)))
SFS = Want(eswitch="switchdev", sfs=((3, (9, 1000, None)),))
LEGACY = Want(eswitch="legacy", vfs=0)
TWO_VFS = Begin(ports=(Start(vfs=2), Start()))
LATE = Begin(late=100, sf_eth=False)


@dataclass(frozen=True)
class Mutant(mutants.Mutant):
    """One of them; the machine that it begins with."""

    begin: Begin = field(default_factory=Begin)


def port(want: Want, other: Want | None = None) -> Wish:
    return Wish((want, other))


# Steps


def edit(kind: type[Any], how: Callable[[Any], StepData]) -> Callable[[Pairs], Pairs]:
    return lambda steps: [(nic, how(data) if isinstance(data, kind) else data) for nic, data in steps]


def without(kind: type[StepData], **having: object) -> Callable[[Pairs], Pairs]:
    def meant(data: StepData) -> bool:
        return isinstance(data, kind) and all(getattr(data, name) == value for name, value in having.items())

    return lambda steps: [pair for pair in steps if not meant(pair[1])]


def added(step: StepData) -> Callable[[Pairs], Pairs]:
    return lambda steps: sorted([*steps, (None, step)], key=lambda pair: phase(pair[1]))


def moved(kind: type[StepData], before: type[StepData]) -> Callable[[Pairs], Pairs]:
    def change(steps: Pairs) -> Pairs:
        taken = [pair for pair in steps if isinstance(pair[1], kind)]
        rest = [pair for pair in steps if pair not in taken]
        at = next((i for i, pair in enumerate(rest) if isinstance(pair[1], before)), None)
        if at is None:  # what comes before a boot is put in order by itself
            return steps
        return rest[:at] + taken + rest[at:]

    return change


# Words


def says(how: Said, believes: bool = False) -> Callable[[Any], list[Patch]]:
    """Commands are others, or more of them: `how` gives None for those that it leaves as they are."""

    def patches(machine: Any) -> list[Patch]:
        run = Host.run

        def other(self: Host, argv: Sequence[str], stdin: str = "") -> Done:
            lines = stdin.splitlines()
            if lines and argv[0] == "tc":
                stdin = "\n".join(
                    " ".join(words) for line in lines for words in how(["tc", *line.split()]) or [["tc", *line.split()]]
                )
                stdin = "\n".join(line.removeprefix("tc ") for line in stdin.splitlines())
            done = Done(0)
            for words in how(list(argv)) or [list(argv)]:
                done = run(self, words, stdin)
                if done.code and not believes:
                    return done
            return Done(0, done.out, "") if believes else done

        return [patch.object(Host, "run", other)]

    return patches


def when(*first: str) -> Callable[[Words], bool]:
    return lambda words: words[: len(first)] == list(first)


def swapped(meant: Callable[[Words], bool], old: str, new: str) -> Said:
    return lambda words: [[new if word == old else word for word in words]] if meant(words) else None


def after(meant: Callable[[Words], bool], first: str, new: str) -> Said:
    """Another word behind this one."""

    def how(words: Words) -> list[Words] | None:
        if not meant(words) or first not in words:
            return None
        at = words.index(first) + 1
        return [[*words[:at], new, *words[at + 1 :]]]

    return how


def longer(meant: Callable[[Words], bool], *more: str) -> Said:
    return lambda words: [[*words, *more]] if meant(words) else None


def cut(meant: Callable[[Words], bool], first: str, count: int = 2) -> Said:
    def how(words: Words) -> list[Words] | None:
        if not meant(words) or first not in words:
            return None
        at = words.index(first)
        return [words[:at] + words[at + count :]]

    return how


def twice(meant: Callable[[Words], bool]) -> Said:
    return lambda words: [words, words] if meant(words) else None


def before(meant: Callable[[Words], bool], line: str) -> Said:
    """Something else first."""
    return lambda words: [line.split(), words] if meant(words) else None


def instead(meant: Callable[[Words], bool], line: str) -> Said:
    return lambda words: [line.split()] if meant(words) else None


# Writes and waits


def writes(how: Callable[[str, str], list[tuple[str, str]]]) -> Callable[[Any], list[Patch]]:
    def patches(machine: Any) -> list[Patch]:
        right = ModelSysfs.write

        def write(self: ModelSysfs, path: str, text: str) -> None:
            for one in how(path, text):
                right(self, *one)

        return [patch.object(ModelSysfs, "write", write)]

    return patches


def no_waits(machine: Any) -> list[Patch]:
    """Nor does what it reads back get any time."""
    return [patch.object(waiting, "until", lambda missing, timeout_s: missing()), patch.object(Scene, "settle_s", 0.0)]


def believing(machine: Any) -> list[Patch]:
    """Exit codes and errno do not matter to it."""
    right = ModelSysfs.write

    def write(self: ModelSysfs, path: str, text: str) -> None:
        try:
            right(self, path, text)
        except AgentError:
            return

    quiet = patch.object(command, "checked", lambda argv, timeout_s, text="": command.execute(argv, timeout_s, text))
    return [quiet, patch.object(ModelSysfs, "write", write)]


def set(**values: object) -> Callable[[Any], None]:
    """The world is otherwise than facts had it."""

    def act(machine: Any) -> None:
        for name, value in values.items():
            setattr(machine.functions[0], name, value)

    return act


def firmware(**values: object) -> Callable[[Any], None]:
    def act(machine: Any) -> None:
        for name, value in values.items():
            setattr(machine.cards[0].firmware, name, value)

    return act
