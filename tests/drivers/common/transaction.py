# SPDX-License-Identifier: Apache-2.0
"""A whole transaction in this process: the real planner, the real agent, a machine of the model in between.

What is left out is what has nothing to do with a card: SSH, the dead-man's process, the engine.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import yaml

from tests.drivers.common.standin import behind
from tests.support import fleet_facts
from tests.support.cases import key_of
from tether_hw.agent import boot, boot_plan, close, deadman, execute, readback, reboot, stage, take_back, waiting
from tether_hw.agent import facts as agent_facts
from tether_hw.agent.host import Host
from tether_hw.agent.process import ProcessId, this_process
from tether_hw.agent.run import CONFIRMED, Run
from tether_hw.agent.staged import Staged
from tether_hw.fleet import packages
from tether_hw.fleet.inventory import Inventory, load
from tether_hw.fleet.planner import make_plan
from tether_hw.plan.facts import Facts
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.plan import Plan


class Down(BaseException):
    """The machine is on its way through a boot, and the process gone. booted: it has started again already."""

    def __init__(self, booted: bool = False) -> None:
        super().__init__()
        self.booted = booted


def leave(host: Host, within_s: float, enough: object) -> None:
    """agent.reboot.leave of a machine of the model."""
    raise Down


def at_once(name: str, log: Path, body: Callable[[], None]) -> ProcessId:
    """What is detached after a boot runs here."""
    body()
    return this_process()


NAME = "a"
SCALE = 0.05  # deadlines are for silicon; the model answers at once, or after a number of looks
_numbers = itertools.count(1)


@dataclass
class Scene:
    """One host of the model, root login, enrolled. ran: every command that the agent ran."""

    settle_s: ClassVar[float] = 1.0

    machine: Any
    root: Path
    scale: float = SCALE
    name: str = NAME
    ran: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def host(self) -> Host:
        return Host(HostPaths(str(self.root)))

    @contextmanager
    def _agent(self) -> Iterator[None]:
        with (
            behind(self.machine, self.ran),
            patch.object(agent_facts, "_node_key", lambda *_: key_of(self.name)),
            patch.object(deadman, "launch", lambda *_: this_process()),
            patch.object(deadman, "dismiss", lambda *_: None),
            patch.object(waiting, "_PAUSE_S", 0.001),
            patch.object(readback, "_SETTLE_S", self.settle_s / self.scale),
            patch.object(os, "fsync", lambda _: None),
            patch.object(reboot, "leave", leave),
            patch.object(execute, "detach", at_once),
        ):
            yield

    def inventory(self, nics: dict[str, Any], files: dict[str, bytes] | None = None) -> Inventory:
        """The inventory of this host with these NICs; files lie beside it."""
        folder = self.root / "controller"
        folder.mkdir(exist_ok=True)
        for name, data in (files or {}).items():
            (folder / name).write_bytes(data)
        document = {"tether": 1, "hosts": {NAME: {"address": "192.0.2.1", "nics": nics}}}
        path = folder / "inventory.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        keys = {"hosts": {NAME: {"keys": [key_of(NAME)]}}}
        (folder / "inventory.keys.yaml").write_text(yaml.safe_dump(keys), encoding="utf-8")
        return load(path)

    def facts(self, inventory: Inventory) -> Facts:
        """As the reader tells them, once everything has settled."""
        self.machine.settle()
        nics = inventory.hosts[self.name].nics
        selectors = [nics[name].device.selector() for name in sorted(nics)]
        keys = sorted({key for nic in nics.values() for key in nic.settings()})
        with self._agent():
            return Facts.parse(agent_facts.collect(self.host, self.name, selectors, keys))

    def plan(self, inventory: Inventory) -> Plan:
        """By the real planner, from facts that are read now."""
        setting = replace(fleet_facts.setting(), packages=packages.load(inventory))
        return make_plan(inventory, {NAME: self.facts(inventory)}, setting)

    def apply(self, inventory: Inventory, plan: Plan) -> Applied:
        """Stage, carry out, verify, and confirm if it got that far."""
        staged = self.staged(inventory, plan)
        with self._agent():
            run = self.stage(staged)
            self._through(lambda: execute._carry_out(self.host, run, staged))
            if run.outcome() is None:
                self.confirm(run, staged)
        return Applied(run, staged)

    def staged(self, inventory: Inventory, plan: Plan, **more: Any) -> Staged:
        """What is brought to the host: its files lie there already. more: of the run."""
        host_plan = plan.hosts[self.name]
        if host_plan.bundle is not None:
            program = Path(self.host.program("tether-agent", host_plan.bundle))
            program.parent.mkdir(parents=True, exist_ok=True)
            program.touch()
        for data in packages.load(inventory).content.values():
            self._hold(data)
        return Staged(
            run=f"run{next(_numbers)}",
            host=self.name,
            holder="tests",
            plan_id=plan.id,
            inventory="inventory.yaml",
            confirm_timeout_s=60,
            time_scale=self.scale,
            plan=host_plan,
            **more,
        )

    def stage(self, staged: Staged) -> Run:
        stage.stage(self.host, staged.to_dict())
        return self.host.run(staged.run)

    def confirm(self, run: Run, staged: Staged) -> None:
        assert run.decide(CONFIRMED, "tests")
        close.finish(self.host, run, staged)

    def _hold(self, data: bytes) -> None:
        import hashlib

        place = Path(self.host.paths.file(hashlib.sha256(data).hexdigest()))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)

    def _take_back(self, applied: Applied) -> None:
        with applied.run.acting(1.0):
            take_back.take_back(self.host, applied.run, applied.staged, "asked")

    def _through(self, act: Callable[[], object]) -> None:
        """Do it, and whatever its boots go on with."""
        while True:
            try:
                act()
                return
            except Down as down:
                if not down.booted:
                    self.machine.boot()
                act = self._check

    def _check(self) -> None:
        boot.check(self.host)

    def boots(self) -> dict[str, Any] | None:
        """The machine boots, unasked; how its boot plan went."""
        self.machine.boot()
        with self._agent():
            self._through(self._check)
            return boot_plan.result(self.host)

    def roll_back(self, applied: Applied) -> dict[str, Any]:
        """Take a confirmed run back; the last word of the journal about it."""
        self.machine.settle()
        with self._agent():
            self.host.lock.take(applied.run.name, "tests", "rollback")
            self._through(lambda: self._take_back(applied))
        record = applied.run.journal.last("revert", "end")
        assert record is not None
        return record


@dataclass
class Applied:
    """A run on the host, and how it ended."""

    run: Run
    staged: Staged

    @property
    def state(self) -> str | None:
        return close.closed(self.run)

    @property
    def boot(self) -> object:
        """What makes the host again after any boot."""
        return self.staged.plan.boot

    @property
    def why(self) -> str:
        """Why it was taken back, and what of that did not work."""
        records = [record for record in self.run.journal.records() if record["point"] in ("revert", "undo")]
        words = [str(record.get("why") or record.get("message") or "") for record in records]
        return "; ".join(dict.fromkeys(word for word in words if word))
