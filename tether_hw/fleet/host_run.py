# SPDX-License-Identifier: Apache-2.0
"""One run on one host, followed through lost connections until it is decided."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostError, HostRefused, HostRolledBack, HostUnreachable
from tether_hw.fleet import state, words
from tether_hw.fleet.ssh_errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from tether_hw.fleet.client import Agent
    from tether_hw.fleet.reach import Reach

_AGAIN_S = 0.3


class HostRun:
    """One run on one host, followed through lost connections."""

    def __init__(self, reach: Reach, host: str, run: str, agent: Agent, steps: int = 0) -> None:
        self.reach = reach
        self.host = host
        self.run = run
        self.agent = agent
        self.heard = 0
        self.boots_within_s: float | None = None
        self.others_boot_s = 0.0  # how long the boot of a host may take that sessions to this one go through
        self.also: Callable[[dict[str, Any]], None] | None = None  # hears each record too
        self._tell = words.teller(reach.progress, host, steps)

    def close(self) -> None:
        self.agent.session.close()

    def _hear(self, record: dict[str, Any]) -> None:
        self.heard = max(self.heard, int(record["n"]))
        if record["point"] == "reboot":
            self.boots_within_s = float(record["within_s"]) if record["phase"] == "begin" else None
        self._tell(record)
        if self.also is not None:
            self.also(record)

    @property
    def patience_s(self) -> float:
        """How long it may be away without being lost."""
        return max(self.reach.timeout_s, self.boots_within_s or 0.0, self.others_boot_s)

    def call(self, verb: str, **body: Any) -> dict[str, Any]:
        return self.agent.call(verb, {"run": self.run, **body})

    def reconnect(self, patience_s: float) -> None:
        """A new session in place of a lost one. Raises HostUnreachable when there is none within `patience_s`."""
        self.close()
        limit = time.monotonic() + patience_s
        while True:
            try:
                self.agent = self.reach.agent(self.reach.session(self.host))
                return
            except (HostUnreachable, Stopped) as error:
                if time.monotonic() > limit:
                    raise HostUnreachable(self.host, error.reason) from None
            booting = self.boots_within_s is not None
            self.reach.progress.tell(self.host, "boots" if booting else "connection lost, tries again")
            time.sleep(_AGAIN_S)

    def begin(self, verb: str, **body: Any) -> None:
        """Start or resume; a session that is lost in it is looked at again instead of asked twice."""
        try:
            self.call(verb, **body)
        except Stopped:
            self.reconnect(self.patience_s)
            now = self.call("status")["state"]
            if now == "staged" or (verb != "start" and now not in ("running", "reverting")):
                self.call(verb, **body)

    def follow(self) -> dict[str, Any]:
        """The status of the run once it rests."""
        while True:
            try:
                return self.agent.follow(self.run, self.heard, self._hear)
            except Stopped:
                try:
                    self.reconnect(self.patience_s)
                except HostUnreachable as error:
                    if self.boots_within_s is not None:
                        raise HostUnreachable(
                            self.host,
                            f"did not come back from its reboot within {self.boots_within_s:.0f} s: {error.reason}",
                            hint=f"tether resume {self.run} once it is there; it takes back what it did not ask for",
                        ) from None
                    raise HostUnreachable(
                        self.host,
                        f"lost in mid-run: {error.reason}; a run that nobody confirms is taken back by its host",
                        hint=f"tether resume {self.run}, or tether rollback {self.run}",
                    ) from None

    def confirm(self) -> dict[str, Any]:
        """Confirm over a new connection, again and again until it is decided. Raises what a run not kept is."""
        while True:
            try:
                session = self.reach.session(self.host)
            except HostUnreachable as error:
                status = self._look_from_before(error)
            else:
                with session:
                    agent = self.agent.on(session)
                    try:
                        return agent.call("confirm", {"run": self.run})
                    except HostRefused as error:
                        if error.code != "not-fresh":
                            raise
                        status = agent.call("status", {"run": self.run})
                    except HostRolledBack:
                        return agent.follow(self.run, self.heard, self._hear)
                    except Stopped as error:
                        status = self._look_from_before(error)
            if status["state"] != "awaiting":
                return self.settled(self.follow())
            self.reach.progress.tell(self.host, f"cannot confirm yet, {status['left_s'] or 0:.0f} s left")
            time.sleep(_AGAIN_S)

    def settled(self, status: dict[str, Any]) -> dict[str, Any]:
        """The status after the bookkeeping of a run that was confirmed and cut off in it."""
        if status["state"] != "confirming":
            return status
        self.begin("resume", by=state.holder())
        return self.call("status")

    def _look_from_before(self, error: HostError) -> dict[str, Any]:
        """The run's status over the session that was there before, or a new one; `error` when there is none."""
        try:
            try:
                return self.call("status")
            except Stopped:
                self.reconnect(0.0)
                return self.call("status")
        except HostError:
            raise type(error)(
                self.host,
                f"not confirmed: {error.reason}; a run that nobody confirms is taken back by its host",
                hint=f"tether confirm {self.run}, or tether rollback {self.run}",
            ) from None


def finished(one: HostRun, status: dict[str, Any], confirm: bool) -> dict[str, Any]:
    """The result of a host whose run rests; confirms it when wanted. Raises what a run not kept is."""
    if status["state"] == "awaiting" and not confirm:
        left = status["left_s"] or 0
        return words.result_ok(
            one.host, "awaiting", f"not confirmed, taken back in {left:.0f} s", left_s=left, steps=len(status["steps"])
        )
    if status["state"] == "awaiting":
        one.reach.progress.tell(one.host, "confirms over a new connection")
        status = one.confirm()
    status = one.settled(status)
    words.raise_for(one.host, one.run, status)
    one.reach.progress.tell(one.host, "confirmed", 1.0)
    return words.result_ok(one.host, status["state"], "confirmed", steps=len(status["steps"]))
