# SPDX-License-Identifier: Apache-2.0
"""Local checks: the host is as planned, its engine is up, its sockets are on their queues."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Optional, Sequence

from tether_hw.agent import facts, nic_rules, service
from tether_hw.agent.errors import AgentError
from tether_hw.plan.checks import FAILED, IN_SOFTWARE, PROVED
from tether_hw.plan.difference_words import not_as_planned
from tether_hw.plan.facts import differences
from tether_hw.plan.facts_mlx5 import nv_keys

if TYPE_CHECKING:
    from tether_hw.agent.host import Host
    from tether_hw.plan.checks import Check

_ENGINE_UP_S = 60.0  # a small or emulated processor takes most of it to load the engine; one that ends is seen at once
_STOPPED_S = 3.0  # a service manager that starts a service anew calls it stopped for about a second
_ANSWER_S = 10.0
_MOST_TOLD = 8  # rules of others that evidence names


class Stopped(AgentError):
    """The service manager says that the engine does not run."""


def local(
    host: Host,
    name: str,
    devices: list[dict[str, str]],
    checks: Sequence[Check],
    planned: dict[str, Any],
    time_scale: float,
) -> list[dict[str, Any]]:
    """Carry out the local checks: [{"id", "host", "nic", "check", "result", "evidence"}]; `planned`: the config."""
    mine = [check for check in checks if check.scope == "local"]
    stats: Optional[dict[str, Any]] = None
    trouble = ""
    if any(check.check in ("engine", "lane") for check in mine):
        try:
            stats = wait_for_engine(host, _ENGINE_UP_S * time_scale)
        except AgentError as error:
            trouble = error.message
    results = []
    for check in mine:
        software = False
        if check.check == "config":
            good, evidence = _config(host, name, devices, planned)
        elif check.check == "rules":
            good, software, evidence = _rules(host, check)
        elif stats is None:
            good, evidence = False, trouble
        elif check.check == "engine":
            good, evidence = True, "answers as node %s with %d lanes" % (stats.get("node"), len(stats["lanes"]))
        else:
            good, evidence = _lane(stats, check)
        results.append(
            {
                "id": check.id,
                "host": name,
                "nic": check.nic,
                "check": check.check,
                "result": IN_SOFTWARE if good and software else PROVED if good else FAILED,
                "evidence": evidence,
            }
        )
    return results


def _rules(host: Host, check: Check) -> tuple[bool, bool, str]:
    """Whether the rules are there and where they may be, whether some are in software only, and what was seen."""
    wanted = check.data["rules"]
    try:
        seen = nic_rules.seen(check.data, host.paths)
    except AgentError as error:
        return False, False, error.message
    wrong = [*seen.wrong]
    wrong += ["%s is not in hardware" % place for place in seen.slow if wanted[place]["offload"] == "required"]
    beside = "; rules of others: %s" % ", ".join(seen.others[:_MOST_TOLD]) if seen.others else ""
    if wrong:
        return False, False, "; ".join(wrong) + beside
    if seen.slow:
        return True, True, "in software, hardware did not take them: %s%s" % (", ".join(seen.slow), beside)
    allowed = sum(1 for rule in wanted.values() if rule["offload"] == "software")
    text = "%d rules of %s are there" % (len(wanted), check.data["table"])
    return True, False, "%s, %d of them in hardware%s" % (text, len(wanted) - allowed, beside)


def engine_stats(host: Host) -> dict[str, Any]:
    """What the running engine says of itself. Raises AgentError when it does not answer."""
    from tether_hw.transport import control
    from tether_hw.transport.errors import ControlError

    now = service.state(host.paths)
    if now["service"] != "running":
        raise Stopped("the engine is %s" % now["service"])
    try:
        with control.connect(host.paths.socket) as connection:
            document = connection.ask({"op": "stats"}, timeout=_ANSWER_S)["stats"]
    except (ControlError, OSError) as error:
        raise AgentError(str(error)) from None
    if not isinstance(document, dict) or not isinstance(document.get("lanes"), list):
        raise AgentError("the engine's statistics have no lanes")
    return document


def wait_for_engine(host: Host, timeout_s: float) -> dict[str, Any]:
    """The engine's statistics as soon as it answers. Raises AgentError with the last reason."""
    begun = time.monotonic()
    ran = begun
    if service.state(host.paths)["service"] == "absent":
        raise AgentError("there is no engine on this host")  # and none will come
    while True:
        try:
            return engine_stats(host)
        except Stopped as error:
            if time.monotonic() - ran > min(_STOPPED_S, timeout_s):
                raise AgentError("%s%s" % (error, _said(host))) from None
        except AgentError as error:
            ran = time.monotonic()
            if ran - begun > timeout_s:
                words = "%s%s" % (error, _said(host))
                raise AgentError("no answer from the engine after %g s: %s" % (timeout_s, words)) from None
        time.sleep(0.1)


def _said(host: Host) -> str:
    said = service.last_words(host.paths)
    return "; it said: " + said if said else ""


def _config(host: Host, name: str, devices: list[dict[str, str]], planned: dict[str, Any]) -> tuple[bool, str]:
    found = differences(planned, facts.collect(host, name, devices, nv_keys(planned))["config"])
    return (False, not_as_planned(found)) if found else (True, "as planned")


def _lane(stats: dict[str, Any], check: Check) -> tuple[bool, str]:
    want = check.data
    for lane in stats["lanes"]:
        if lane["lane"] == want["lane"]:
            break
    else:
        return False, "the engine has no lane %d" % want["lane"]
    wrong = [
        "%s is %s, not %s" % (name, lane.get(name), want[name])
        for name in ("nic", "queue")
        if lane.get(name) != want[name]
    ]
    if want["carrier"] not in ("auto", lane.get("carrier")):
        wrong.append("carrier is %s, not %s" % (lane.get("carrier"), want["carrier"]))
    copy = "zero-copy" if lane.get("zero_copy") else "copy"
    place = (lane["lane"], lane.get("nic"), lane.get("queue"), lane.get("carrier"), copy)
    text = "lane %d on %s queue %s by %s (%s)" % place
    return not wrong, "; ".join(wrong) or text
