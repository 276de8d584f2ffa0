# SPDX-License-Identifier: Apache-2.0
"""Drift: what is no longer as the last kept run left it, why where that is known, and what is only not applied yet.

The judgement is pure. What it is made from comes over verbs of the agent that read and nothing else.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostFailed
from tether_hw.fleet import bare, runner
from tether_hw.fleet.client import VERB_S
from tether_hw.plan.facts import Facts, differences
from tether_hw.plan.shape import ShapeError
from tether_hw.plan.verbs import FactsRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tether_hw.fleet.inventory import Inventory
    from tether_hw.fleet.models import Noise
    from tether_hw.fleet.reach import Reach
    from tether_hw.fleet.runner import Results
    from tether_hw.plan.plan import HostPlan

#: Tool -> the fields of config that it sets by itself, as globs over paths.
SETS = {
    "NetworkManager": ("nics.*.mtu", "nics.*.mac", "functions.*.vfs"),
    "systemd-networkd": ("nics.*.mtu", "nics.*.mac", "nics.*.queues*", "nics.*.ring*", "functions.*.vfs"),
    "ConnMan": ("nics.*.mtu",),
    "wicked": ("nics.*.mtu", "nics.*.queues*", "nics.*.ring*"),
    "dhcpcd": ("nics.*.mtu",),
    "Open vSwitch": ("functions.*.flower*", "nics.*.mtu"),
    "tuned": ("nics.*.queues*", "nics.*.ring*"),
    "lldpad": ("nics.*.queues*",),
    "the SR-IOV operator of Kubernetes": ("functions.*", "nics.*.mtu"),
    "the scripts of MLNX_OFED": ("functions.*", "nics.*.queues*"),
}
#: What the kernel forgets with a reboot.
_VOLATILE = ("nics", "functions")
_MOST_CAUSES = 3


@dataclass(frozen=True)
class Seen:
    """What one host answered."""

    facts: Facts
    kept: Mapping[str, Any] | None
    boot: str
    open_runs: tuple[Mapping[str, Any], ...]
    files: Mapping[str, Mapping[str, Any] | None]
    log: Mapping[str, list[str]]
    tools: tuple[str, ...]

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Seen:
        """Raises ShapeError or KeyError for an answer of another form."""
        return cls(
            Facts.parse(answer["facts"]),
            answer["kept"],
            answer["boot"],
            tuple(answer["open_runs"]),
            answer["files"],
            answer["log"],
            tuple(answer["tools"]),
        )


def collect(reach: Reach, hosts: Iterable[str], parallel: int = 32) -> Results[Seen]:
    """What each host answers; nothing is placed and nothing is changed."""

    def work(host: str) -> Seen:
        reach.progress.tell(host, "connects")
        nics = reach.inventory.hosts[host].nics
        keys = {key for nic in nics.values() for key in nic.settings()}
        devices = tuple(nics[nic].device.selector() for nic in sorted(nics))
        request = FactsRequest(host, devices, tuple(sorted(keys)))
        with reach.session(host) as session:
            reach.progress.tell(host, "reads")
            machine = reach.look(session)
            agent = reach.reader(session, machine)
            if agent is not None:
                answer = agent.call("drift", request.to_dict())
            else:
                body = {**request.to_dict(), "root": machine.root}
                answer = bare.run(session, "tether_hw.agent.drift", body, VERB_S * reach.time_scale)
        try:
            seen = Seen.parse(answer)
        except (ShapeError, KeyError, TypeError) as error:
            raise HostFailed(host, f"its answer is not understood: {error}") from None
        reach.progress.tell(host, "read", 1.0)
        return seen

    return runner.run(hosts, work, parallel)


def judge(
    inventory: Inventory, host: str, seen: Seen, plan: HostPlan | None, today: date
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The drift of one host and the steps of its plan that have nothing to do with it.

    Drift: [{"path", "was", "is", "causes": [{"what", "words"}], "ignored": {"reason", "until"} or null, "planned"}];
    `planned`: the plan would put it right. Steps: [{"step", "summary"}].
    """
    changed = [] if plan is None else [(step, {change.path for change in step.effect}) for step in plan.steps]
    found = []
    for item in _differences(seen):
        path = tuple(item["path"])
        found.append(
            {
                "path": list(path),
                "was": item["before"],
                "is": item["after"],
                "causes": list(_causes(seen, path))[:_MOST_CAUSES],
                "ignored": _ignored(inventory, host, path, today),
                "planned": any(_overlaps(path, paths) for _, paths in changed),
            }
        )
    drifted = [tuple(item["path"]) for item in found]
    left = [
        {"step": step.id, "summary": step.summary}
        for step, paths in changed
        if not any(_overlaps(path, paths) for path in drifted)
    ]
    return found, left


def expired(inventory: Inventory, today: date) -> list[str]:
    """The entries of the list of known noise that are past their day, in words."""
    return [
        f"drift.ignore.{number}: {noise.path} is told again since {noise.until} is past ({noise.reason})"
        for number, noise in enumerate(inventory.drift.ignore)
        if date.fromisoformat(noise.until) < today
    ]


def _differences(seen: Seen) -> list[dict[str, Any]]:
    """What differs of everything that the record knows; what it does not know cannot have drifted."""
    if seen.kept is None:
        return []
    before, after = seen.kept["config"], seen.facts.config
    known: dict[str, Any] = {}
    for table, content in after.items():
        then = before.get(table)
        if not isinstance(then, dict):
            continue
        if table in ("engine", "keys"):
            known[table] = {name: value for name, value in content.items() if name in then}
            continue
        known[table] = {}
        for name, entry in content.items():
            if isinstance(then.get(name), dict):
                known[table][name] = {field: value for field, value in entry.items() if field in then[name]}
    found = differences({table: before[table] for table in known}, known)
    told = {tuple(item["path"])[1] for item in found if item["path"][0] == "engine"}
    # A document that differs is shown by what differs in it, not by its digest as well.
    digests = {name + "_sha256" for name in ("config", "roster") if name in told}
    return [item for item in found if not (item["path"][0] == "engine" and item["path"][1] in digests)]


def _overlaps(path: tuple[str, ...], paths: Iterable[tuple[str, ...]]) -> bool:
    return any(path[: len(other)] == other[: len(path)] for other in paths)


def _ignored(inventory: Inventory, host: str, path: tuple[str, ...], today: date) -> dict[str, str] | None:
    text = ".".join(path)
    for noise in inventory.drift.ignore:
        fits = fnmatch.fnmatchcase(text, noise.path) and _is_of(inventory, host, noise)
        if fits and today <= date.fromisoformat(noise.until):
            return {"reason": noise.reason, "until": noise.until}
    return None


def _is_of(inventory: Inventory, host: str, noise: Noise) -> bool:
    groups = [group for group, members in inventory.groups.items() if host in members]
    return not noise.hosts or any(fnmatch.filter([host, *groups], pattern) for pattern in noise.hosts)


def _causes(seen: Seen, path: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """What is known to have changed a value, the surest first."""
    assert seen.kept is not None
    for run in seen.open_runs:
        if _overlaps(path, [tuple(other) for other in run["paths"]]):
            yield _cause("run", f"run {run['run']} of {run['holder']} is {run['state']}")
    if path[0] == "engine":
        part = next((name for name in ("config", "roster", "unit") if path[1].startswith(name)), None)
        file = seen.files.get(part) if part is not None else None
        if file is not None:
            yield _cause("file", f"the file was last written at {file['at']} and belongs to {file['owner']}")
        elif part is not None:
            yield _cause("file", "the file is gone")
    restarted = seen.kept["boot"] != seen.boot
    if restarted and (path[0] in _VOLATILE or path == ("engine", "service")):
        yield _cause("boot", f"the host was started anew since {seen.kept['at']}")
    if path[0] in ("nics", "functions"):
        names = [path[1]]
        if path[0] == "functions":
            names.append(str(seen.facts.config["functions"].get(path[1], {}).get("device")))
        for line in [line for name in names for line in seen.log.get(name, [])][-2:]:
            yield _cause("kernel", line)
    text = ".".join(path)
    for tool in seen.tools:
        if any(fnmatch.fnmatchcase(text, pattern) for pattern in SETS[tool]):
            yield _cause("tool", f"{tool} runs there and sets such values by itself")


def _cause(what: str, words: str) -> dict[str, str]:
    return {"what": what, "words": words}
