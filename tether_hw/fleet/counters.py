# SPDX-License-Identifier: Apache-2.0
"""Proving rules of tc by frames: a peer sends what fits each rule, and the rule's own counter has to move in hardware.

What no frame of one peer can fit, and what a device cannot carry, is told as not provable.
"""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostError, HostFailed
from tether_hw.fleet import runner
from tether_hw.plan.checks import FAILED, NOT_NOW, PROVED
from tether_hw.plan.rule import EXACT, MacMatch, Rule
from tether_hw.plan.rules_table import flower_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tether_hw.fleet.client import Agent
    from tether_hw.fleet.reach import Reach
    from tether_hw.plan.checks import Check
    from tether_hw.plan.plan import HostPlan

TIMES = 16  # frames per rule
#: Drivers that carry no frames at all.
_MUTE = ("netdevsim",)
_PATIENCE_S = 5.0  # hardware's counters are read about once in a second
_PAUSE_S = 0.5


@dataclass(frozen=True)
class Wanted:
    """The rules of one NIC, and the peer's NIC that can send to it."""

    host: str
    check: Check
    peer: str | None
    peer_nic: str | None

    def result(self, verdict: str, evidence: str) -> dict[str, Any]:
        nic = self.check.nic
        known = {"host": self.host, "nic": nic, "check": "counters", "id": f"counters-{nic or self.check.id}"}
        return {**known, "result": verdict, "evidence": evidence}


@dataclass
class _End:
    agent: Agent
    lock: threading.Lock = field(default_factory=threading.Lock)


def prove(
    reach: Reach, plans: Mapping[str, HostPlan], absent: Mapping[str, str], parallel: int = 8
) -> list[dict[str, Any]]:
    """The counters of every NIC with rules of tc; `absent`: hosts that cannot be asked now, and why."""
    jobs, answers = [], []
    for job in (job for host in sorted(plans) for job in wanted(host, plans[host].checks)):
        driver = plans[job.host].expected()["functions"][job.check.data["function"]]["driver"]
        why = absent.get(job.host)
        if why is None and driver in _MUTE:
            why = f"not provable on this device: {driver} carries no frames"
        elif why is None and job.peer is None:
            why = "no peer has a link to this NIC that could send frames"
        elif why is None and job.peer is not None:
            why = absent.get(job.peer) or (None if job.peer in plans else f"{job.peer} is not part of this run")
        if why is None:
            jobs.append(job)
        else:
            answers.append(job.result(NOT_NOW, why))
    names = sorted({name for job in jobs for name in (job.host, job.peer) if name is not None})
    with contextlib.ExitStack() as stack:
        opened = runner.run(names, reach.session, parallel)
        for session in opened.done.values():
            stack.callback(session.close)
        ends: dict[str, _End] = {}
        for name, session in opened.done.items():
            agent = reach.agent_there(session)
            if agent is not None:
                ends[name] = _End(agent)
        with ThreadPoolExecutor(parallel) as pool:
            answers += pool.map(lambda job: _prove(reach, job, plans, ends, opened.failed), jobs)
    return sorted(answers, key=lambda answer: (answer["host"], answer["id"]))


def wanted(host: str, checks: Iterable[Check]) -> list[Wanted]:
    """The NICs of a host whose rules of tc count, each with a peer that shares a link with it."""
    every = list(checks)
    found = []
    for check in every:
        if check.check != "rules" or check.data["table"] != "flower" or not check.data["rules"]:
            continue
        peer, peer_nic = None, None
        for link in every:
            if link.check == "link" and any(lane["nic"] == check.nic for lane in link.data["lanes"]):
                theirs = link.data["peer_lanes"]
                peer, peer_nic = (str(link.data["peer"]), str(theirs[0]["nic"])) if theirs else (None, None)
            if peer is not None:
                break
        found.append(Wanted(host, check, peer, peer_nic))
    return found


def _prove(
    reach: Reach,
    job: Wanted,
    plans: Mapping[str, HostPlan],
    ends: Mapping[str, _End],
    gone: Mapping[str, HostError],
) -> dict[str, Any]:
    peer, nic = str(job.peer), str(job.peer_nic)
    for host in (job.host, peer):
        if host not in ends:
            why = gone[host].reason if host in gone else "the bundle of this suite is not on the host"
            return job.result(NOT_NOW, f"{host}: {why}")
    config = plans[job.host].expected()
    device = config["functions"][job.check.data["function"]]["device"]
    own = config["nics"].get(device, {}).get("mac")
    rules = rules_of(job.check.data["rules"])
    sent = {place: found for place, found in ((place, frame_for(rules, place, own)) for place in rules) if found}
    first, second = sorted({job.host, peer})
    with ends[first].lock, ends[second].lock:
        reach.progress.tell(job.host, f"counts frames of {peer}")
        try:
            body = {"function": job.check.data["function"]}
            before = ends[job.host].agent.call("counts", body)
            frames = {
                "device": reach.inventory.hosts[peer].nics[nic].device.selector(),
                "frames": [sent[place] for place in sorted(sent)],
                "times": TIMES,
            }
            if sent and ends[peer].agent.call("frames", frames)["sent"] != TIMES * len(sent):
                raise HostFailed(peer, "not all frames were sent")
            limit = time.monotonic() + _PATIENCE_S * reach.time_scale
            while True:
                after = ends[job.host].agent.call("counts", body)
                wrong, words = judge(rules, set(sent), before, after)
                if not wrong or time.monotonic() > limit:
                    break
                time.sleep(_PAUSE_S * reach.time_scale)
        except HostError as error:
            return job.result(FAILED, str(error))
    if wrong:
        return job.result(FAILED, "; ".join(wrong))
    if not sent:
        return job.result(NOT_NOW, "; ".join(words))
    return job.result(PROVED, "; ".join(words))


def rules_of(table: Mapping[str, Any]) -> dict[str, Rule]:
    """The rules of a check, by place."""
    return {place: Rule.of(dict(table[place]), "device", flower_number(place) or 0) for place in sorted(table)}


def frame_for(rules: Mapping[str, Rule], place: str, own: str | None) -> dict[str, Any] | None:
    """A frame that comes to this rule and fits it; None where no frame does. own: the address of the NIC itself."""
    for path in _paths(rules, rules[place]):
        fitted = _fitted(path)
        if fitted is not None:
            destination = fitted.destination.address if fitted.destination else own or "02:00:00:00:00:00"
            source = None if fitted.source is None else fitted.source.address
            head = {"destination": destination, "source": source}
            return {**head, "vlan": fitted.vlan, "ethertype": fitted.ethertype}
    return None


def _paths(rules: Mapping[str, Rule], last: Rule) -> list[list[Rule]]:
    """The rules that lead from chain 0 to this one, it included: every way. goto leads forward, so there is an end."""
    if last.chain == 0:
        return [[last]]
    leads = [rule for rule in rules.values() if rule.goto == last.chain]
    return [[*path, last] for lead in leads for path in _paths(rules, lead)]


def _fitted(path: Sequence[Rule]) -> Rule | None:
    """What fits all of these rules at once; None where nothing does."""
    whole = path[0]
    for rule in path[1:]:
        if (rule.ethertype, rule.vlan) != (whole.ethertype, whole.vlan):
            return None
        both = [(whole.destination, rule.destination), (whole.source, rule.source)]
        met = [_met(*pair) for pair in both]
        if any(found is None and pair != (None, None) for found, pair in zip(met, both, strict=True)):
            return None
        whole = replace(whole, destination=met[0], source=met[1])
    return whole


def _met(one: MacMatch | None, other: MacMatch | None) -> MacMatch | None:
    if one is None or other is None:
        return one or other
    (a, am), (b, bm) = ((_bits(match.address), _bits(match.mask)) for match in (one, other))
    if (a ^ b) & am & bm:
        return None
    return MacMatch(_text(a | b), EXACT if am | bm == 2**48 - 1 else _text(am | bm))


def _bits(address: str) -> int:
    return int(address.replace(":", ""), 16)


def _text(bits: int) -> str:
    return ":".join(f"{byte:02x}" for byte in bits.to_bytes(6, "big"))


def judge(
    rules: Mapping[str, Rule], sent: set[str], before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """What is wrong, and what was seen."""
    wrong, words = [], []
    hard = 0
    for place, rule in rules.items():
        then, now = before["rules"].get(place), after["rules"].get(place)
        if then is None or now is None:
            wrong.append(f"{place} is not there")
        elif now["lost"]:
            wrong.append(f"{place} has lost its target")
        elif place not in sent:
            words.append(f"{place}: not provable by one frame: the rules that lead to it ask for other frames")
        else:
            trouble, hardware = _moved(rule, then, now)
            hard += hardware
            wrong += [f"{place}: {trouble}"] if trouble else []
    slow = [
        f"{name} saw {grown} frames in software"
        for name, count in after["representors"].items()
        if count is not None
        and before["representors"].get(name) is not None
        and (grown := count - before["representors"][name]) >= TIMES
        and any(name in rule.targets and rule.offload != "software" for rule in rules.values())
    ]
    if slow and hard:
        wrong += slow
    flat = [name for name, count in after["representors"].items() if count is not None]
    seen = f"{len(sent)} counters moved by {TIMES} frames each, {hard} of them in hardware"
    told = f"representors flat: {', '.join(flat)}" if flat and not slow else ""
    return wrong, [*([seen] if sent else []), *([told] if told and hard else []), *words]


def _moved(rule: Rule, then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, bool]:
    """What is wrong with a rule's counter, and whether it moved in hardware."""
    whole = now["packets"] - then["packets"]
    if rule.offload == "software" or not now["in_hw"]:
        wanted = "" if rule.offload != "required" else "is not in hardware"
        return wanted or ("" if whole >= TIMES else f"counted {whole} of {TIMES} frames in software"), False
    if now["hw_packets"] is None:
        # The driver tells one number. A rule that software must not touch counts nothing there.
        if not now["skip_sw"]:
            return "its counter does not say what hardware counted", False
        return ("" if whole >= TIMES else f"counted {whole} of {TIMES} frames"), whole >= TIMES
    hardware = now["hw_packets"] - (then["hw_packets"] or 0)
    if hardware < TIMES:
        return f"counted {hardware} of {TIMES} frames in hardware, {whole - hardware} in software", False
    return "", True
