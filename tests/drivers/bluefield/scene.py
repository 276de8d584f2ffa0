# SPDX-License-Identifier: Apache-2.0
"""A transaction over both machines of a card in this process: one planner, an agent on each side, the chip between.

Where a step of one side waits for one of the other, its agent leaves off there and goes on later, as after a cut: only
one of them can stand in this process at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from tests.drivers.bluefield.chip import SERIAL, Chip
from tests.drivers.common.transaction import SCALE, Applied, Down, Scene
from tests.support import fleet_facts
from tests.support.cases import key_of
from tether_hw.agent import boot_plan, execute, joined
from tether_hw.agent.run import REVERTED, Run
from tether_hw.agent.staged import Staged
from tether_hw.fleet import packages
from tether_hw.fleet.inventory import Inventory, load
from tether_hw.fleet.planner import make_plan
from tether_hw.plan.joined import Joined
from tether_hw.plan.plan import Plan
from tether_hw.plan.step import Step

ARM, HOST, CARD = "arm", "host", "c0"
WINDOW_S, BOOT_S = 3600, 900
ROUNDS = 20


class HeldError(BaseException):
    """This side waits for the other."""


@dataclass
class SideScene(Scene):
    """One of the machines. chip: what it shares."""

    chip: Chip = None  # type: ignore[assignment]

    def _through(self, act: Callable[[], object]) -> None:
        super()._through(act)
        if self.chip.left:
            self.chip.finish()


@dataclass
class Both:
    """What became of a run on both sides."""

    sides: dict[str, Applied]

    @property
    def state(self) -> str | None:
        found = {side.state for side in self.sides.values()}
        return found.pop() if len(found) == 1 else "split"

    @property
    def why(self) -> str:
        return "; ".join(f"{name}: {side.why}" for name, side in self.sides.items() if side.why)

    @property
    def boot(self) -> object:
        return next((side.boot for side in self.sides.values() if side.boot is not None), None)


@dataclass
class CardScene:
    """Both of them."""

    machine: Chip
    root: Path
    scale: float = SCALE
    scenes: dict[str, SideScene] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, side in zip((ARM, HOST), self.machine.sides, strict=True):
            (self.root / name).mkdir(exist_ok=True)
            self.scenes[name] = SideScene(side, self.root / name, self.scale, name, chip=self.machine)
        self.machine.arm_went_down = self._arm_went_down

    def _arm_went_down(self) -> None:
        if self.acting == ARM:
            raise Down(booted=True)

    acting: str = ""

    @contextmanager
    def _at(self, name: str) -> Iterator[SideScene]:
        scene = self.scenes[name]
        self.acting, before = name, self.acting
        try:
            with scene._agent():
                yield scene
        finally:
            self.acting = before

    def inventory(self, nics: dict[str, Any], files: dict[str, bytes] | None = None) -> Inventory:
        """nics: those of each side, and "card": what the inventory says of it."""
        folder = self.root / "controller"
        folder.mkdir(exist_ok=True)
        card = {"serial": SERIAL, "arm": ARM, "host": HOST, **nics["card"]}
        hosts = {
            name: {"address": f"192.0.2.{number}", "nics": nics[name]} for number, name in enumerate((ARM, HOST), 1)
        }
        path = folder / "inventory.yaml"
        path.write_text(yaml.safe_dump({"tether": 1, "cards": {CARD: card}, "hosts": hosts}), encoding="utf-8")
        keys = {"hosts": {name: {"keys": [key_of(name)]} for name in (ARM, HOST)}}
        (folder / "inventory.keys.yaml").write_text(yaml.safe_dump(keys), encoding="utf-8")
        return load(path)

    def plan(self, inventory: Inventory) -> Plan:
        self.machine.settle()
        setting = replace(fleet_facts.setting(), packages=packages.load(inventory))
        return make_plan(inventory, {name: self.scenes[name].facts(inventory) for name in (ARM, HOST)}, setting)

    def apply(self, inventory: Inventory, plan: Plan) -> Both:
        """Both staged, both carried out, the Arm confirmed first; one that is taken back takes the other with it."""
        names = [name for name in (ARM, HOST) if plan.hosts[name].steps]
        both = Joined(CARD, tuple(names), WINDOW_S, BOOT_S) if len(names) == 2 else None
        runs: dict[str, tuple[Run, Staged]] = {}
        number = ""
        for name in names:
            staged = self.scenes[name].staged(inventory, plan, **({} if both is None else {"joined": both}))
            staged = replace(staged, run=number or staged.run)
            number = staged.run
            with self._at(name) as scene:
                runs[name] = scene.stage(staged), staged
        self._carry_out(runs)
        decided = {name for name in names if runs[name][0].outcome() is not None}
        for name in names:
            run, staged = runs[name]
            with self._at(name) as scene:
                if not decided:
                    scene.confirm(run, staged)
                elif name not in decided:
                    assert run.decide(REVERTED, "tests")
                    scene._through(partial(scene._take_back, Applied(run, staged)))
        return Both({name: Applied(*runs[name]) for name in names})

    def _carry_out(self, runs: dict[str, tuple[Run, Staged]]) -> None:
        left = list(reversed(runs))
        for _ in range(ROUNDS):
            for name in list(left):
                run, staged = runs[name]
                try:
                    holds = patch.multiple(joined, hold=self._holding(runs), hold_all=self._armed(runs))
                    with self._at(name) as scene, holds:
                        scene._through(partial(execute._carry_out, scene.host, run, staged))
                    left.remove(name)
                except HeldError:
                    continue
                if run.outcome() is not None:
                    return
            if not left:
                return
        raise AssertionError(f"{left} wait for each other")

    def _armed(self, runs: dict[str, tuple[Run, Staged]]) -> Callable[[Run, Staged], None]:
        def hold(run: Run, staged: Staged) -> None:
            """Until the other side has compared its facts with those of the plan too."""
            if staged.joined is None or run.journal.last("together") is not None:
                return
            if any(other.journal.last("arm", "end") is None for other, _ in runs.values()):
                raise HeldError
            joined.proceed(run, None)

        return hold

    def _holding(self, runs: dict[str, tuple[Run, Staged]]) -> Callable[[Run, Staged, Step], None]:
        def hold(run: Run, staged: Staged, step: Step) -> None:
            awaited = [after for after in staged.plan.after if after.step == step.id]
            if not awaited or run.journal.last("step", "begin", step=step.id) is not None:
                return
            for after in awaited:
                if runs[after.host][0].journal.last("step", "end", step=after.ends) is None:
                    raise HeldError
            joined.proceed(run, step.id)

        return hold

    def boots(self) -> dict[str, Any] | None:
        """The power goes and comes; how the boot plans went."""
        results: list[dict[str, Any] | None] = []

        def checked(name: str) -> None:
            with self._at(name) as scene:
                scene._through(scene._check)
                results.append(boot_plan.result(scene.host))

        self.machine.arm_is_up = lambda: checked(ARM)
        self.machine.power_cycle()
        self.machine.arm_is_up = lambda: None
        checked(HOST)
        return next((one for one in results if one is not None and not one["ok"]), results[0])

    def roll_back(self, applied: Both) -> dict[str, Any]:
        self.machine.settle()
        found: dict[str, Any] = {"restored": True, "problems": []}
        for name in reversed(applied.sides):
            scene, side = self.scenes[name], applied.sides[name]
            with self._at(name):
                scene.host.lock.take(side.run.name, "tests", "rollback")
                scene._through(partial(scene._take_back, side))
            record = side.run.journal.last("revert", "end")
            assert record is not None
            found["restored"] = found["restored"] and record["restored"]
            found["problems"] += [f"{name}: {problem}" for problem in (*record["problems"], *record["differences"])]
        return found
