# SPDX-License-Identifier: Apache-2.0
"""A fleet under test: an inventory, hands on its hosts over SSH, and the faults that its machines can do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.gated import GATE, PAUSED
from tether_hw.errors import HostError
from tether_hw.fleet import planner, planning, state
from tether_hw.fleet.apply import Application, Wish
from tether_hw.fleet.bundle import Bundle
from tether_hw.fleet.client import Agent
from tether_hw.fleet.enroll import enroll
from tether_hw.fleet.inventory import Inventory, load
from tether_hw.fleet.planner import BundleOffer
from tether_hw.fleet.reach import Reach
from tether_hw.fleet.ssh import Session
from tether_hw.plan.facts import Facts
from tether_hw.plan.plan import Plan
from tether_hw.plan.verbs import FactsRequest

ROOT = Path(__file__).resolve().parents[2]

#: Ends every SSH session of the host but the one that this runs in; the listener lives on.
CUT = """
import os, signal
def stat(pid):
    head, _, tail = open("/proc/%s/stat" % pid).read().rpartition(")")
    return head.partition("(")[2], int(tail.split()[1])
own, pid = set(), os.getpid()
while pid > 1:
    own.add(pid)
    pid = stat(pid)[1]
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) not in own:
        try:
            if stat(name)[0].startswith("sshd") and open("/proc/%s/cmdline" % name).read().startswith("sshd: "):
                if "[listener]" not in open("/proc/%s/cmdline" % name).read():
                    os.kill(int(name), signal.SIGKILL)
        except OSError:
            pass
"""


@dataclass
class Fleet:
    """What a test of the whole transaction needs; whoever provides it decides what the machines are."""

    inventory_file: Path
    bundle: Bundle
    reboot: Callable[[str], None]
    fault: Callable[[str, str, str], None]
    heal: Callable[[str], None]
    sessions: dict[str, Session] = field(default_factory=dict)
    scale: float = 1.0  # how much slower the machines are than this one

    @property
    def inventory(self) -> Inventory:
        return load(self.inventory_file)

    def reach(self) -> Reach:
        return Reach(self.inventory, bundles=lambda arch: self.bundle)

    # Hands on a host.

    def run(self, host: str, *argv: str, stdin: bytes = b"") -> str:
        """A program on the host; a lost session is made anew."""
        for _ in range(40):
            try:
                if host not in self.sessions:
                    self.sessions[host] = self.reach().session(host)
                done = self.sessions[host].run(argv, stdin, 20 * self.scale)
                assert done.code == 0, f"{argv}: {done.stderr.decode()}"
                return done.stdout.decode()
            except HostError:
                old = self.sessions.pop(host, None)
                if old is not None:
                    old.close()
                time.sleep(0.2)
        raise AssertionError(f"{host} does not come back")

    def close(self) -> None:
        for session in self.sessions.values():
            session.close()
        self.sessions.clear()

    def gate(self, host: str, label: str) -> None:
        """The agent of the host will stop right after this record."""
        script = f'rm -f {PAUSED} && printf %s "$1" > {GATE}'
        self.run(host, "sh", "-c", script, "sh", label)

    def paused(self, host: str, timeout_s: float = 60.0) -> int:
        """The pid of the agent that stopped at the gate."""
        script = f"for i in $(seq 400); do test -e {PAUSED} && cat {PAUSED} && exit; sleep 0.02; done"
        limit = time.monotonic() + timeout_s * self.scale
        while time.monotonic() < limit:
            found = self.run(host, "sh", "-c", script).strip()
            if found:
                return int(found)
        raise AssertionError(f"{host} did not come to the gate")

    def signal(self, host: str, pid: int, name: str) -> None:
        self.run(host, "kill", f"-{name}", str(pid))

    def cut_sessions(self, host: str) -> None:
        """Every SSH session but ours ends at once."""
        self.run(host, "python3", "-I", "-c", CUT)

    def agent(self, host: str) -> tuple[Session, Agent]:
        session = self.reach().session(host)
        return session, self.reach().agent(session)

    # What the suite does.

    def ask(self, host: str, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        """A verb of the agent over the session that is there; its bundle must be placed already."""
        self.run(host, "true")
        return Agent(self.sessions[host], "/", self.bundle.digest).call(verb, body)

    def facts(self, host: str) -> Facts:
        nics = self.inventory.hosts[host].nics
        request = FactsRequest(host, tuple(nics[nic].device.selector() for nic in sorted(nics)))
        return Facts.parse(self.ask(host, "facts", request.to_dict()))

    def enroll(self) -> None:
        results = enroll(self.reach(), sorted(self.inventory.hosts))
        assert all(result["exit"] == 0 for result in results), results

    def plan(self, found: dict[str, Facts]) -> Plan:
        setting = planning.setting(self.inventory)
        offer = BundleOffer(self.bundle.digest, self.bundle.carriers)
        return planner.make_plan(self.inventory, found, replace(setting, bundles={self.bundle.arch: offer}))

    def apply(self, plan: Plan, host: str, run: str | None = None) -> dict[str, Any]:
        """Apply the part of one host; its result."""
        one = Application(self.reach(), replace(plan, hosts={host: plan.hosts[host]}), Wish(), run)
        return one.carry_out()[0]

    def controller(self, plan: Plan, host: str, run: str, folder: Path) -> subprocess.Popen[bytes]:
        """The same in a process of its own, to be killed."""
        return self.controller_of(replace(plan, hosts={host: plan.hosts[host]}), run, folder)

    def controller_of(self, plan: Plan, run: str, folder: Path) -> subprocess.Popen[bytes]:
        """The whole plan in a process of its own."""
        file = folder / f"{run}.plan"
        file.write_text(plan.text())
        words = [str(self.inventory_file), str(self.bundle.path), self.bundle.digest, str(file), run]
        with (folder / f"{run}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.support.controller", *words],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, "TETHER_STATE": str(folder / "killed")},
            )

    def status(self, host: str, run: str) -> dict[str, Any]:
        return self.ask(host, "status", {"run": run})

    def journal(self, host: str, run: str) -> list[dict[str, Any]]:
        text = self.run(host, "cat", f"/var/lib/tether/runs/{run}/journal.jsonl")
        return [json.loads(line) for line in text.splitlines()]


class Background:
    """An apply of one host in a thread, or anything else that gives a result."""

    patience_s = 120.0

    def __init__(self, fleet: Fleet, plan: Plan, host: str, run: str) -> None:
        self.patience_s *= fleet.scale
        self._start(lambda: fleet.apply(plan, host, run))

    @classmethod
    def of(cls, work: Callable[[], dict[str, Any]]) -> Background:
        made = cls.__new__(cls)
        made._start(work)
        return made

    def _start(self, work: Callable[[], dict[str, Any]]) -> None:
        self.result: dict[str, Any] = {}
        self.thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self.thread.start()

    def _run(self, work: Callable[[], dict[str, Any]]) -> None:
        self.result = work()

    def join(self) -> dict[str, Any]:
        self.thread.join(self.patience_s)
        assert not self.thread.is_alive()
        return self.result


def label(record: dict[str, Any]) -> str:
    """A journal record as gates name it."""
    step = f" {record['step']}" if "step" in record else ""
    return f"{record['point']}.{record['phase']}{step}"


def new_run() -> str:
    return state.new_run()
