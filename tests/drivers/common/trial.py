# SPDX-License-Identifier: Apache-2.0
"""One run on a machine of a model through the agent's own verbs, over a run that was kept, with something that happens
to it on the way: how it ends, told by the journal and by the model.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.drivers.common.law import Family
from tests.drivers.common.picture import Picture
from tests.drivers.common.scissors import Cut
from tests.drivers.common.strikes import Strikes
from tests.drivers.common.transaction import NAME, Scene
from tests.faults.rows import AS_BEFORE, CONFIGURED
from tether_hw.agent import boot, boot_hook, close, confirm, deadman, execute, resume, stage, take_back
from tether_hw.agent.errors import AgentError
from tether_hw.agent.process import ProcessId, boottime_ns
from tether_hw.agent.run import REVERTED, Run
from tether_hw.agent.session import Connection
from tether_hw.agent.staged import Staged
from tether_hw.agent.state import state
from tether_hw.fleet import packages
from tether_hw.plan.plan import Plan

BASE, RUN = "run-1", "run-2"


@dataclass(frozen=True)
class Draw:
    """A machine, what was applied and kept on it, and what is to be applied over that."""

    begin: Any
    first: Any
    second: Any


@contextmanager
def in_this_process() -> Iterator[None]:
    """What the agent detaches is carried out at once; a new connection is always there."""
    over = ProcessId(1 << 22, 0)

    def at_once(name: str, log: Path, body: Callable[[], None]) -> ProcessId:
        body()
        return over

    def ensure(host: Any) -> bool:
        Path(host.paths.boot_script).parent.mkdir(parents=True, exist_ok=True)
        Path(host.paths.boot_script).touch()
        return True

    with ExitStack() as stack:
        stack.enter_context(patch.object(execute, "detach", at_once))
        stack.enter_context(patch.object(take_back, "detach", at_once))
        stack.enter_context(patch.object(deadman, "watches", lambda run: True))
        stack.enter_context(patch.object(boot_hook, "ensure", ensure))
        new = Connection("192.0.2.9 1 192.0.2.1 22", 1, boottime_ns() + (1 << 62))
        stack.enter_context(patch.object(confirm, "connection", lambda: new))
        yield


class Trial:
    """A machine after the first wish was applied and kept, with the plan of the second. None of it is of chance."""

    def __init__(self, family: Family, folder: Path, draw: Draw) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self.family = family
        self.draw = draw
        self.scene = Scene(family.build(folder, draw.begin), folder)
        first = self._inventory(draw.first)
        plan = self.scene.plan(first)
        if not plan.refusals and plan.steps:
            self.apply(plan, first, BASE)
            assert close.closed(self.run(BASE)) == "confirmed", self.why(BASE)
        self.inventory = self._inventory(draw.second)
        self.plan = self.scene.plan(self.inventory)
        self.before = self.picture()
        self.boots = self.scene.machine.boots

    @property
    def worth(self) -> bool:
        """Whether there is anything to be applied."""
        return not self.plan.refusals and bool(self.plan.steps)

    def _inventory(self, wish: Any) -> Any:
        return self.scene.inventory(wish.nics(), self.family.files())

    def run(self, name: str = RUN) -> Run:
        return self.scene.host.run(name)

    def picture(self) -> Picture:
        return self.family.picture(self.scene.machine)

    @contextmanager
    def agent(self) -> Iterator[None]:
        """Inside, the agent's code sees this machine and its boot of now."""
        with self.scene._agent(), in_this_process():
            yield

    # What controllers ask for

    def apply(self, plan: Plan, inventory: Any, name: str = RUN) -> None:
        """Stage, start, confirm."""
        host_plan = plan.hosts[NAME]
        if host_plan.bundle is not None:
            program = Path(self.scene.host.program("tether-agent", host_plan.bundle))
            program.parent.mkdir(parents=True, exist_ok=True)
            program.touch()
        for data in packages.load(inventory).content.values():
            self.scene._hold(data)
        staged = Staged(name, NAME, "tests", plan.id, "inventory.yaml", 60, self.scene.scale, host_plan)
        with self.agent():
            stage.stage(self.scene.host, staged.to_dict())
            self.scene._through(lambda: execute.start(self.scene.host, name, "start"))
            self._confirm(name)

    def _confirm(self, name: str) -> None:
        run, host = self.run(name), self.scene.host
        if state(run) in ("awaiting", "confirming"):
            confirm.confirm(run)
            close.finish(host, run, Staged.of(run))
        close.tidy(host)

    def struck(self, strikes: Strikes) -> None:
        """Apply, and what happens to that."""
        self.during(strikes, lambda: self.apply(self.plan, self.inventory))

    def during(self, strikes: Strikes, work: Callable[[], None]) -> None:
        with strikes.held():
            try:
                work()
            except Cut:
                pass
            except AgentError:
                if not strikes.struck:
                    raise

    # The ways out

    def resume(self) -> None:
        """Somebody goes on with it."""
        with self.agent():
            try:
                self.scene._through(lambda: resume.resume(self.scene.host, RUN, "tests"))
            except AgentError as error:
                if "is not known on this host" not in error.message:
                    raise
                return
            if self.run().exists():
                self._confirm(RUN)

    def nobody(self) -> None:
        """The dead-man's deadline passes; where none was armed, somebody takes it back."""
        host, run = self.scene.host, self.run()
        with self.agent():
            if run.exists() and run.journal.last("arm", "end") is not None and run.outcome() is None:
                staged = Staged.of(run)
                assert run.decide(REVERTED, "dead-man")
                self.scene._through(lambda: take_back.after_deadline(host, run, staged, "not confirmed in time"))
                return
        self.roll_back()

    def roll_back(self) -> None:
        """Somebody takes it back."""
        host = self.scene.host
        with self.agent():
            close.tidy(host)
            try:
                self.scene._through(lambda: take_back.start(host, RUN, "tests"))
            except AgentError as error:
                if "is not known on this host" not in error.message:
                    raise

    def boot(self) -> None:
        """The machine starts again, and its boot check where one was there."""
        self.scene.machine.boot()
        with self.agent():
            if boot_hook.there(self.scene.host):
                self.scene._through(lambda: boot.check(self.scene.host))

    # How it ended

    def why(self, name: str = RUN) -> str:
        records = [record for record in self.run(name).journal.records() if record["point"] in ("revert", "undo")]
        words = [str(record.get("why") or record.get("message") or "") for record in records]
        return "; ".join(dict.fromkeys(word for word in words if word))

    def end(self, expected: dict[str, Picture], booted: dict[str, Picture]) -> str:
        """CONFIGURED or AS_BEFORE where the journal and the machine say the same, else what does not fit.

        booted: the same after a boot, which takes along what somebody's hand had set and no script sets again; where
        the machine booted since, it may be there or not.
        """
        run, host = self.run(), self.scene.host
        ended = close.closed(run)
        pending = host.lock.holder()
        if pending is not None:
            return f"still open: {state(run)}: {self.why()}"
        word = {"confirmed": CONFIGURED, "rolled-back": AS_BEFORE, "taken-back": AS_BEFORE}.get(ended or "")
        if word is None and run.folder.is_dir() and run.exists():
            return f"no end in the journal: {state(run)}"
        word = word or AS_BEFORE
        left = expected[word].differences(self.picture())
        if left and self.scene.machine.boots != self.boots:
            left = mixed(expected[word], booted[word], self.picture())
        left += self.unmet() if word == CONFIGURED else []
        return f"not {word}: {'; '.join(left)} ({self.why()})" if left else word

    def second_plan(self) -> list[str]:
        """What is still planned."""
        return [step.summary for step in self.scene.plan(self.inventory).steps]

    def unmet(self) -> list[str]:
        """What of the second wish does not hold."""
        return self.family.wrong(self.scene.machine, self.draw.second)


def mixed(one: Picture, other: Picture, now: Picture) -> list[str]:
    """What is neither as in the one nor as in the other."""
    names = sorted(set(one.values) | set(other.values) | set(now.values))
    wrong = []
    for name in names:
        value, first, second = (picture.values.get(name) for picture in (now, one, other))
        if isinstance(value, tuple) and isinstance(first, tuple) and isinstance(second, tuple):
            fits = all(part in pair for part, pair in zip(value, zip(first, second, strict=True), strict=True))
        else:
            fits = value in (first, second)
        if not fits:
            wrong.append(f"{name}: {first} or {second} -> {value}")
    return wrong
