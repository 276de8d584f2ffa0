# SPDX-License-Identifier: Apache-2.0
"""One run on both sides of a card: together to the confirm, the host last, or together back.

Each host decides for itself when its dead-man fires, and those have one deadline; all else is decided here. A half-way
end, one side kept and another not, is taken back at once, and told as *split* where that cannot be done now.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostError, HostFailed, HostRefused, HostRolledBack, HostSplit, HostUnreachable
from tether_hw.fleet import runner, state, words
from tether_hw.fleet.host_run import HostRun
from tether_hw.fleet.ssh_errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tether_hw.fleet.reach import Reach

KEPT = ("confirmed", "confirming")
BACK = ("rolled-back", "taken-back")
_NEVER = ("not-begun",)
_AGAIN_S = 0.5
_LATE_S = 5.0  # how long after its deadline a host that could not be asked has surely decided


class CardRun:
    """One run on the hosts that cards join, in the order in which they are confirmed.

    `ends`: what is known of each, the status of its run or why it could not be asked.
    """

    def __init__(
        self,
        reach: Reach,
        card: str,
        members: Iterable[str],
        run: str,
        ones: Mapping[str, HostRun],
        after: Mapping[str, Iterable[Mapping[str, str]]],
        boot_s: float,
    ) -> None:
        self.reach = reach
        self.card = card
        self.members = list(members)
        self.run = run
        self.ones = dict(ones)
        self.after = {host: [dict(one) for one in found] for host, found in after.items()}
        self.ends: dict[str, dict[str, Any] | HostError] = {}
        self.first: tuple[str, str] | None = None  # who failed first, and why
        self._asked: set[str] = set()  # those that may have got a confirm
        self._ended: set[tuple[str, str]] = set()
        self._arms: set[str] = set()
        self._lock = threading.Lock()
        for one in self.ones.values():
            one.others_boot_s = boot_s

    @classmethod
    def known(
        cls,
        reach: Reach,
        joined: Mapping[str, Any],
        run: str,
        ones: Mapping[str, HostRun],
        statuses: Mapping[str, dict[str, Any]],
        lost: Mapping[str, HostError],
    ) -> CardRun:
        """A run that the hosts know; `joined` as the status of any of them shows it."""
        members = joined["members"]
        after = {host: (status["joined"] or {}).get("after", []) for host, status in statuses.items()}
        boot_s = float(joined["boot_s"]) * reach.time_scale
        one = cls(reach, joined["card"], members, run, {h: ones[h] for h in members if h in ones}, after, boot_s)
        one.ends.update({host: statuses[host] for host in one.ones})
        for host in members:
            if host not in one.ones:
                one.ends[host] = lost.get(host) or HostUnreachable(host, "is not in the inventory")
        return one

    # What is known.

    def state(self, host: str) -> str | None:
        """Where the run of a host stands; None where it could not be asked."""
        end = self.ends[host]
        return None if isinstance(end, HostError) else str(end["state"])

    def those(self, *states: str) -> list[str]:
        return [host for host in self.members if self.state(host) in states]

    @property
    def lost(self) -> list[str]:
        return [host for host in self.members if self.state(host) is None]

    def _all(self, work: Callable[[HostRun], dict[str, Any]], hosts: Iterable[str]) -> None:
        chosen = list(hosts)
        results = runner.run(chosen, lambda host: work(self.ones[host]), max(1, len(chosen)))
        self.ends.update(results.done)
        self.ends.update(results.failed)

    # To the confirm.

    def go(self, verb: str, hosts: Iterable[str]) -> bool:
        """Start or resume these, and follow all until they rest. True when every one waits for its confirm or has it.

        As soon as one fails the others are told to go back: what it undoes may wait for what they undo.
        """
        chosen = set(hosts)

        def work(one: HostRun) -> dict[str, Any]:
            one.also = lambda record: self._hear(one.host, record)
            try:
                if one.host in chosen:
                    try:
                        one.begin(verb, **({"by": state.holder()} if verb == "resume" else {}))
                    except HostRefused:
                        if self.first is None:
                            raise
                status = one.follow()
            except HostError as error:
                self._broke(one.host, error.reason)
                raise
            if status["state"] not in (*KEPT, "awaiting"):
                self._broke(one.host, f"the run is {status['state']}")
            return status

        self._all(work, [host for host in self.members if host in self.ones])
        return len(self.those(*KEPT, "awaiting")) == len(self.members)

    def _hear(self, host: str, record: Mapping[str, Any]) -> None:
        point, phase = record["point"], record["phase"]
        if phase == "failed" and point in ("step", "verify"):
            self._broke(host, str(record.get("message") or "its local verify failed"))
        elif point == "revert" and phase == "begin":
            self._broke(host, str(record["why"]))
        elif point == "arm" and phase == "end":
            self._armed(host)
        elif point == "step" and phase == "end":
            self._passed(host, str(record["step"]))

    def _broke(self, host: str, why: str) -> None:
        with self._lock:
            if self.first is not None:
                return
            self.first = (host, why)
        for other in self.ones:
            if other != host:
                self._say(other, "rollback", by=state.holder())

    def _armed(self, host: str) -> None:
        """Let the first steps go once every side is armed."""
        with self._lock:
            before = len(self._arms)
            self._arms.add(host)
            if before == len(self._arms) or len(self._arms) < len(self.members):
                return
        for member in self.members:
            self._say(member, "proceed", step=None)

    def _passed(self, host: str, step: str) -> None:
        """Let go what waited for a step that has ended."""
        with self._lock:
            self._ended.add((host, step))
            free = {
                (other, after["step"])
                for other, found in self.after.items()
                for after in found
                if (after["host"], after["ends"]) == (host, step)
                and all((one["host"], one["ends"]) in self._ended for one in found if one["step"] == after["step"])
            }
        for other, waiting in sorted(free):
            self._say(other, "proceed", step=waiting)

    def _say(self, host: str, verb: str, **body: Any) -> None:
        """Tell a host in mid-run something over a connection of its own, from a thread of its own."""
        one = self.ones[host]

        def say() -> None:
            limit = time.monotonic() + one.patience_s
            while time.monotonic() < limit:
                try:
                    with self.reach.session(host) as session:
                        one.agent.on(session).call(verb, {"run": self.run, **body})
                    return
                except (HostUnreachable, Stopped):
                    time.sleep(_AGAIN_S)
                except HostError as error:
                    self.reach.progress.tell(host, f"{verb}: {error.reason}")
                    return

        threading.Thread(target=say, name=f"{verb} {host}", daemon=True).start()

    def ready(self) -> bool:
        """Tell each that all wait: over new connections, and from now on the time to confirm counts."""

        def work(one: HostRun) -> dict[str, Any]:
            limit = time.monotonic() + one.patience_s
            while True:
                try:
                    with self.reach.session(one.host) as session:
                        return one.agent.on(session).call("ready", {"run": self.run})
                except (HostUnreachable, Stopped) as error:
                    if time.monotonic() > limit:
                        raise HostUnreachable(one.host, error.reason) from None
                time.sleep(_AGAIN_S)

        waiting = self.those("awaiting")
        self._all(work, waiting)
        for host in waiting:
            end = self.ends[host]
            if isinstance(end, HostError) and self.first is None:
                self.first = (host, end.reason)
        return len(self.those(*KEPT, "awaiting")) == len(self.members)

    def confirm(self) -> bool:
        """Confirm one after the other, the host last. False as soon as one is not kept."""
        for host in self.members:
            if self.state(host) in KEPT:
                end = self.ends[host]
                assert isinstance(end, dict)
                self.ends[host] = self.ones[host].settled(end)
                continue
            self.reach.progress.tell(host, "confirms over a new connection")
            try:
                self.ends[host] = self._confirmed(self.ones[host])
            except HostError as error:
                self.ends[host] = error
                self.first = self.first or (host, error.reason)
                return False
            if self.state(host) not in KEPT:
                end = self.ends[host]
                assert isinstance(end, dict)
                self.first = self.first or (host, str(end.get("why") or f"the run is {end['state']}"))
                return False
            self.reach.progress.tell(host, "confirmed", 1.0)
        return True

    def _confirmed(self, one: HostRun) -> dict[str, Any]:
        """The status after a confirm, asked for until the deadline of the host is past."""
        end = self.ends[one.host]
        left_s = (end.get("left_s") if isinstance(end, dict) else None) or 0.0
        limit = time.monotonic() + left_s + _LATE_S * self.reach.time_scale
        self._asked.add(one.host)
        while True:
            try:
                return one.settled(one.confirm())
            except (HostUnreachable, Stopped) as error:
                if time.monotonic() > limit:
                    raise
                self.reach.progress.tell(one.host, f"cannot confirm yet: {error.reason}")
                time.sleep(_AGAIN_S)

    # Back.

    def back(self, hosts: Iterable[str] | None = None) -> bool:
        """Take back what is not, everywhere. True when nothing is left of the run."""

        def work(one: HostRun) -> dict[str, Any]:
            one.also = None
            status = self._status(one)
            if status["state"] in BACK or (status["records"] == 0 and not status["pending"]):
                return status
            one.heard = int(status["records"])
            one.begin("rollback", by=state.holder())
            return one.follow()

        self._all(work, [host for host in hosts or self.members if host in self.ones])
        return len(self.those(*BACK, *_NEVER)) == len(self.members)

    @staticmethod
    def _status(one: HostRun) -> dict[str, Any]:
        try:
            return one.call("status")
        except Stopped:
            one.reconnect(one.patience_s)
            return one.call("status")

    # What came of it.

    def results(self) -> list[dict[str, Any]]:
        """One result per host, for whom the run was to be kept."""
        kept = self.those(*KEPT)
        if len(kept) == len(self.members):
            return [
                self._of(host, words.result_ok(host, "confirmed", "confirmed", steps=self._steps(host)))
                for host in kept
            ]
        perhaps = set(kept) | {host for host in self.lost if host in self._asked}
        return [self._of(host, self._failed(host, perhaps)) for host in self.members]

    def awaiting(self) -> list[dict[str, Any]]:
        """The results of hosts that are left waiting for their confirm."""
        found = []
        for host in self.members:
            end = self.ends[host]
            assert isinstance(end, dict)
            left = end["left_s"] or 0
            message = f"not confirmed, taken back in {left:.0f} s"
            found.append(
                self._of(host, words.result_ok(host, "awaiting", message, left_s=left, steps=self._steps(host)))
            )
        return found

    def taken_back(self, were_kept: Iterable[str]) -> list[dict[str, Any]]:
        """One result per host, for whom the run was to be taken back; `were_kept`: where it was confirmed before."""
        kept = set(were_kept) if len(self.those(*BACK, *_NEVER)) < len(self.members) else set()
        found = []
        for host in self.members:
            now = self.state(host)
            end = self.ends[host]
            if now in _NEVER:
                found.append(words.result_ok(host, "unknown", f"run {self.run} is not known here"))
            elif now in BACK and isinstance(end, dict) and end.get("restored") is not False and not kept:
                self.reach.progress.tell(host, "as before", 1.0)
                found.append(words.result_ok(host, str(now), "as before", why=end["why"]))
            else:
                found.append(self._of(host, self._failed(host, kept, back=True)))
        return [self._of(result["host"], result) for result in found]

    def not_confirmed(self, verb: str) -> list[dict[str, Any]]:
        """The results where nothing was done: some side is not where `verb` could take it from."""
        found = []
        elsewhere = [f"{host} {self._words(host)}" for host in self.members if self.state(host) != "awaiting"]
        for host in self.members:
            end = self.ends[host]
            if host in self.those(*KEPT):
                found.append(words.result_of(self._split(host)))
            elif isinstance(end, HostError):
                found.append(words.result_of(end))
            else:
                hint = f"tether resume {self.run}, or tether rollback {self.run}"
                message = f"{verb} was not carried out on card {self.card}: {'; '.join(elsewhere)}"
                found.append(words.result_of(HostRefused(host, message, hint=hint)))
        return [self._of(result["host"], result) for result in found]

    def _of(self, host: str, result: dict[str, Any]) -> dict[str, Any]:
        return {**result, "card": self.card}

    def _steps(self, host: str) -> int:
        end = self.ends[host]
        return 0 if isinstance(end, HostError) else len(end["steps"])

    def _failed(self, host: str, kept: Iterable[str], back: bool = False) -> dict[str, Any]:
        """The result of one host of a run that did not come to its end; `kept`: hosts that kept it, or may have."""
        end = self.ends[host]
        if set(kept):
            return words.result_of(self._split(host))
        if isinstance(end, HostError):
            if back:
                end.hint = f"tether rollback {self.run} once it is there"
            return words.result_of(end)
        if end["state"] in _NEVER:
            return {**words.result_ok(host, "not-begun", f"not begun: {self._because()}"), "exit": 3}
        try:
            words.raise_for(host, self.run, end)
        except HostRolledBack:
            own = self.first is None or self.first[0] == host
            why = self.first[1] if own and self.first is not None else self._because()
            return words.result_of(HostRolledBack(host, f"rolled back: {why}"))
        except HostError as error:
            return words.result_of(error)
        return words.result_of(HostFailed(host, f"the run is {end['state']}", hint=f"tether resume {self.run}"))

    def _because(self) -> str:
        if self.first is None:
            return f"the other side of card {self.card} was"
        return f"{self.first[0]}, the other side of card {self.card}: {self.first[1]}"

    def _words(self, host: str) -> str:
        end = self.ends[host]
        if isinstance(end, HostError):
            return f"could not be asked ({end.reason})"
        if end["state"] in KEPT:
            return "kept it"
        if end["state"] in BACK:
            return f"is as before ({end.get('why') or 'taken back'})"
        return f"is {end['state']}"

    def _split(self, host: str) -> HostSplit:
        others = "; ".join(f"{other} {self._words(other)}" for other in self.members if other != host)
        message = f"card {self.card} is split: {host} {self._words(host)}, {others}"
        return HostSplit(host, message, hint=f"tether resume {self.run}")
