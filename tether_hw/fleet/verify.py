# SPDX-License-Identifier: Apache-2.0
"""Proving that hosts carry the transport as planned: each host its own part, then both ends of each link together.

A check's result is "proved", "failed" or "not provable now" (the other end is not there: no fault of this host).
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostError, HostFailed
from tether_hw.fleet import facts, runner, runs, words
from tether_hw.plan.difference_words import not_as_planned
from tether_hw.plan.facts import differences

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tether_hw.fleet.client import Agent
    from tether_hw.fleet.reach import Reach
    from tether_hw.fleet.ssh import Session
    from tether_hw.plan.checks import Check
    from tether_hw.plan.plan import HostPlan

PROVED = "proved"
FAILED = "failed"
NOT_NOW = "not provable now"
PINGS = 16  # per lane: a few frames on each queue, in some milliseconds
_CHANNELS_S = 12.0  # what the engines may take to find each other after a change


def result(host: str, check: Check, verdict: str, evidence: str) -> dict[str, Any]:
    """One check as JSON documents show it."""
    return {
        "host": host,
        "nic": check.nic,
        "check": check.check,
        "id": check.id,
        "result": verdict,
        "evidence": evidence,
    }


def local(
    reach: Reach, plans: Mapping[str, HostPlan], parallel: int = 32
) -> tuple[list[dict[str, Any]], dict[str, HostError]]:
    """The local checks of each host, proved by its agent; and the hosts that could not be asked."""

    def work(host: str) -> list[dict[str, Any]]:
        plan = plans[host]
        wanted = [check for check in plan.checks if check.scope == "local"]
        reach.progress.tell(host, "verifies")
        with reach.session(host) as session:
            agent = reach.agent_there(session)
            if agent is None:
                checks = _without_agent(plan, wanted)
            else:
                body = {
                    "host": host,
                    "devices": [dict(selector) for selector in plan.selectors],
                    "checks": [check.to_dict() for check in wanted],
                    "config": plan.expected(),
                    "time_scale": reach.time_scale,
                }
                checks = agent.call("verify", body)["checks"]
        reach.progress.tell(host, "verified", 1.0)
        return checks

    results = runner.run(plans, work, parallel)
    return [check for host in sorted(results.done) for check in results.done[host]], results.failed


def _without_agent(plan: HostPlan, checks: Iterable[Check]) -> list[dict[str, Any]]:
    """What the facts alone say. Proving changes nothing, so a bundle that is missing is not sent."""
    answers = []
    for check in checks:
        verdict, evidence = FAILED, "the bundle of this suite is not on the host: tether apply places it"
        if check.check == "config":
            found = differences(plan.expected(), plan.config)
            verdict, evidence = (FAILED, not_as_planned(found)) if found else (PROVED, "as planned")
        answers.append(result(plan.host, check, verdict, evidence))
    return answers


@dataclass
class _End:
    """One host while links are proved: its agent, used by one link at a time."""

    agent: Agent
    lock: threading.Lock = field(default_factory=threading.Lock)

    def engine(self, *arguments: str, timeout_s: float = 30.0) -> dict[str, Any]:
        done = self.agent.engine(arguments, timeout_s)
        try:
            document = json.loads(done.stdout)
        except ValueError:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise HostFailed(self.agent.host, lines[-1] if lines else f"exit {done.code}") from None
        if not isinstance(document, dict) or document.get("schema") == "tether.error/1":
            raise HostFailed(self.agent.host, str(document.get("message", "no answer")))
        return document

    def lanes(self) -> dict[int, dict[str, Any]]:
        return {int(lane["lane"]): lane for lane in self.engine("stats", "--json")["lanes"]}


def links(
    reach: Reach, checks: Mapping[str, Iterable[Check]], absent: Mapping[str, str], parallel: int = 8
) -> list[dict[str, Any]]:
    """The link checks of these hosts; `absent`: hosts that cannot prove anything now, and why."""
    wanted = {host: [check for check in found if check.scope == "link"] for host, found in checks.items()}
    answers: list[dict[str, Any]] = []
    together: dict[tuple[str, str, str], dict[str, Check]] = {}
    for host in sorted(wanted):
        for check in wanted[host]:
            peer = str(check.data["peer"])
            reason = absent.get(host) or absent.get(peer)
            if reason is None and peer not in wanted:
                reason = f"{peer} is not part of this run"
            if reason is not None:
                answers.append(result(host, check, NOT_NOW, reason))
            else:
                first, second = sorted((host, peer))
                together.setdefault((str(check.data["link"]), first, second), {})[host] = check
    names = sorted({name for _, first, second in together for name in (first, second)})
    with contextlib.ExitStack() as stack:
        opened = runner.run(names, reach.session, parallel)
        for session in opened.done.values():
            stack.callback(session.close)
        found = runner.run(opened.done, lambda host: _End(_there(reach, opened.done[host])), parallel)
        gone = {host: error.reason for host, error in {**opened.failed, **found.failed}.items()}
        with ThreadPoolExecutor(parallel) as pool:
            work = [
                pool.submit(_prove, reach, found.done, gone, both, first, second)
                for (_, first, second), both in sorted(together.items())
            ]
            for one in work:
                answers += one.result()
    return sorted(answers, key=lambda answer: (answer["host"], answer["id"]))


def _there(reach: Reach, session: Session) -> Agent:
    agent = reach.agent_there(session)
    if agent is None:
        raise HostFailed(session.target.name, "the bundle of this suite is not on the host")
    return agent


def _prove(
    reach: Reach,
    ends: Mapping[str, _End],
    gone: Mapping[str, str],
    both: Mapping[str, Check],
    first: str,
    second: str,
) -> list[dict[str, Any]]:
    for host in (first, second):
        if host in gone:
            return [result(name, check, NOT_NOW, f"{host}: {gone[host]}") for name, check in both.items()]
    with ends[first].lock, ends[second].lock:
        reach.progress.tell(first, f"proves the link to {second}")
        try:
            before = {host: ends[host].lanes() for host in (first, second)}
            lanes = {int(lane["lane"]) for lane in next(iter(both.values())).data["lanes"]}
            if first not in both:
                lanes = {int(lane["lane"]) for lane in both[second].data["peer_lanes"]}
            ping = _ping(ends[first], second, lanes, _CHANNELS_S * reach.time_scale)
            after = {host: ends[host].lanes() for host in (first, second)}
            answers = [judge(host, check, before[host], after[host], ping) for host, check in both.items()]
        except HostError as error:
            answers = [result(name, check, FAILED, str(error)) for name, check in both.items()]
        if all(answer["result"] == PROVED for answer in answers):
            return answers
        check = next(iter(both.values()))
        mine, theirs = check.data["lanes"], check.data["peer_lanes"]
        nics = {first: mine, second: theirs} if first in both else {first: theirs, second: mine}
        dark = [words for host in (first, second) for words in _dark(reach, ends[host], nics[host])]
    for answer in answers:
        answer["evidence"] = "; ".join([*dark, answer["evidence"]])
    return answers


def _dark(reach: Reach, end: _End, lanes: Iterable[Mapping[str, Any]]) -> list[str]:
    """The NICs of these lanes that have no carrier now, in words."""
    host = end.agent.host
    try:
        status = facts.read(reach, end.agent.session).status
    except HostError:
        return []  # the link's own failure is told already
    up = {link["name"]: link["carrier"] for link in status["links"]}
    devices = {tuple(entry["selector"].items()): entry["device"] for entry in status["devices"]}
    nics = reach.inventory.hosts[host].nics
    found = []
    for nic in sorted({str(lane["nic"]) for lane in lanes}):
        device = devices.get(tuple(nics[nic].device.selector().items()))
        if device is not None and up.get(device) is False:
            found.append(f"{host}.{nic} has no carrier")
    return found


def _ping(end: _End, peer: str, lanes: set[int], patience_s: float) -> dict[str, Any]:
    """Round trips over every lane; waits until the engines have a channel on each."""
    limit = time.monotonic() + patience_s
    while True:
        left = max(1.0, limit - time.monotonic())
        ping = end.engine("ping", peer, "--json", "--count", str(PINGS), "--wait", f"{left:.1f}", timeout_s=left + 60)
        if lanes <= {int(lane["lane"]) for lane in ping["lanes"]} or time.monotonic() > limit:
            return ping
        time.sleep(0.3)


def judge(
    host: str,
    check: Check,
    before: Mapping[int, Mapping[str, Any]],
    after: Mapping[int, Mapping[str, Any]],
    ping: Mapping[str, Any],
) -> dict[str, Any]:
    """The verdict on one end: the engine's own frames came in on each of its queues, and none on a wrong one."""
    arrived: list[str] = []
    wrong: list[str] = []
    for lane in check.data["lanes"]:
        number, place = int(lane["lane"]), f"{lane['nic']} queue {lane['queue']} (lane {lane['lane']})"
        if number not in after or number not in before:
            wrong.append(f"{place}: the engine has no such lane")
            continue
        frames = _grown("rx_frames", before[number], after[number])
        misdirected = _grown("misdirected", before[number], after[number])
        arrived.append(f"{place}: {frames} frames")
        if check.data["delivers"] != "by-lane":
            continue
        if misdirected:
            wrong.append(f"{place}: {misdirected} frames of other lanes came in here")
        if frames - misdirected <= 0:
            wrong.append(f"{place}: none of its frames came in")
    if ping["lost"]:
        wrong.append(f"{ping['lost']} of {ping['sent']} pings were not answered")
    if check.data["delivers"] != "by-lane" and not wrong:
        arrived.append("1 effective queue, others by ring")
    if wrong:
        return result(host, check, FAILED, "; ".join(wrong))
    times = f"rtt p50 {ping['rtt_p50_ns'] / 1e3:.0f} us, p99 {ping['rtt_p99_ns'] / 1e3:.0f} us"
    return result(host, check, PROVED, "; ".join([*arrived, "misdirected 0", times]))


def _grown(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> int:
    """How much a counter grew; an engine that was started anew counts from 0."""
    then, now = int(before[name]), int(after[name])
    return now - then if now >= then else now


def cards(reach: Reach, hosts: Iterable[str], parallel: int = 32) -> list[dict[str, Any]]:
    """A failed check on each side of a card whose sides are not of one run."""
    return [
        {
            "host": host,
            "nic": None,
            "check": "card",
            "id": f"card-{one['card']}",
            "result": FAILED,
            "evidence": f"{one['message']}; {one['hint']} mends it",
        }
        for one in runs.split_runs(reach, hosts, parallel)
        for host in one["hosts"]
    ]


def failures(errors: Mapping[str, HostError]) -> list[dict[str, Any]]:
    """Hosts that could not be asked, as JSON documents show them."""
    return [words.result_of(errors[host]) for host in sorted(errors)]
