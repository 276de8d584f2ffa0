# SPDX-License-Identifier: Apache-2.0
"""One fault at one point of a run on a host of a fleet, and the ways out of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.fleets import Fleet, new_run
from tether_hw.fleet import runs
from tether_hw.plan.facts import Facts, differences
from tether_hw.plan.plan import Plan

STEPS = ("01-nic_queues-data0", "02-nic_mtu-data0", "03-engine_config", "04-engine_roster", "05-engine_service")
POINTS = (
    "stage.begin",
    "lock.end",
    "stage.end",
    "start.begin",
    "snapshot.begin",
    "snapshot.end",
    "arm.begin",
    "arm.end",
    *(f"step.{phase} {step}" for step in STEPS for phase in ("begin", "end")),
    "verify.begin",
    "verify.end",
    "await.begin",
    "confirm.begin",
    "confirm.end",
    "disarm.begin",
    "disarm.end",
    "close.end",
)
#: From here on, until the confirm, a boot that no run asked for takes the run back by itself.
WATCHED = POINTS[POINTS.index("arm.begin") : POINTS.index("confirm.end")]
#: Before these the host has not taken the plan: such a run may end as never begun.
TAKEN = POINTS[POINTS.index("stage.end") :]


def assert_as_before(fleet: Fleet, before: dict[str, Facts], host: str) -> None:
    now = fleet.facts(host)
    assert differences(before[host].config, now.config) == []
    assert now.status["pending"] is None
    assert now.status["owned"] == []


class Case:
    """One fault at one point on one host, and the way out of it."""

    def __init__(self, fleet: Fleet, plan: Plan, host: str, point: str, folder: Path) -> None:
        self.fleet = fleet
        self.plan = plan
        self.host = host
        self.point = point
        self.folder = folder
        self.run = new_run()
        self.outcome: Any = None

    def until_paused(self) -> int:
        """Apply in a thread, until the host's agent stands at the point."""
        self.fleet.gate(self.host, self.point)
        self.thread = threading.Thread(target=self._apply, daemon=True)
        self.thread.start()
        return self.fleet.paused(self.host)

    def _apply(self) -> None:
        self.outcome = self.fleet.apply(self.plan, self.host, self.run)

    def join(self) -> None:
        self.thread.join(90)
        assert not self.thread.is_alive(), "the controller hangs"

    def ssh_cut(self) -> None:
        pid = self.until_paused()
        self.fleet.cut_sessions(self.host)
        self.fleet.signal(self.host, pid, "CONT")
        self.join()

    def controller_killed(self) -> None:
        self.fleet.gate(self.host, self.point)
        controller = self.fleet.controller(self.plan, self.host, self.run, self.folder)
        pid = self.fleet.paused(self.host)
        controller.kill()
        controller.wait()
        self.fleet.signal(self.host, pid, "CONT")

    def agent_killed(self) -> None:
        pid = self.until_paused()
        self.fleet.signal(self.host, pid, "KILL")
        self.join()

    def rebooted(self) -> None:
        self.until_paused()
        self.fleet.reboot(self.host)
        self.join()

    def go_on(self, way: str, fault: str) -> None:
        """From another state folder: finish, or restore."""
        work = runs.resume if way == "resume" else runs.rollback
        results = work(self.fleet.reach(), [self.host], self.run)
        state = self.fleet.status(self.host, self.run)["state"]
        if fault == "rebooted" and self.point in WATCHED:
            assert state == "rolled-back", (self.outcome, results)
        elif way == "resume" and self.point in TAKEN:
            assert state == "confirmed", (self.outcome, results)
        if way == "resume" and state == "confirmed":
            now = self.fleet.facts(self.host)
            assert differences(self.plan.hosts[self.host].expected(), now.config) == []
            results = runs.rollback(self.fleet.reach(), [self.host], self.run)
        if results[0]["result"] not in ("refused", "unknown"):
            assert results[0]["exit"] in (0, 5), (self.outcome, results)


FAULTS: dict[str, tuple[str, Callable[[Case], None]]] = {
    "ssh-cut": ("a", Case.ssh_cut),
    "controller-killed": ("a", Case.controller_killed),
    "agent-killed": ("b", Case.agent_killed),
    "rebooted": ("b", Case.rebooted),
}
