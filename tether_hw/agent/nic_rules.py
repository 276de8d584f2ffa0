# SPDX-License-Identifier: Apache-2.0
"""Steering rules: only what differs is touched, what is in the way goes first, and what counts is the read-back.

ethtool may end with 0 for a filter that the driver refused, and tc keeps the lines before the one that failed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional, Sequence

from tether_hw.agent import cards, command, kernel_log, waiting
from tether_hw.agent.errors import AgentError
from tether_hw.nic.steering.grammar import GrammarError, bound, ethtool_command
from tether_hw.plan.kinds.nic_rules_flower import forward
from tether_hw.plan.kinds.nic_rules_ntuple import NicRulesNtuple
from tether_hw.plan.rule import SYMBOLIC, lost
from tether_hw.plan.rule_commands import ntuple_remove, ntuple_switch, tc_hook, tc_offload, tc_remove, tc_replace
from tether_hw.plan.rules_table import flower_place

if TYPE_CHECKING:
    from tether_hw.plan.kinds.nic_rules_flower import NicRulesFlower
    from tether_hw.plan.paths import HostPaths
    from tether_hw.plan.rule_commands import Words

_FAILED_LINE = re.compile(r"Command failed -:(\d+)")


def carry_out(data: NicRulesNtuple | NicRulesFlower, paths: HostPaths, timeout_s: float) -> None:
    """Make the rules what the step says. Raises AgentError with the words of the tool and of the driver."""
    before = len(kernel_log.lines(data.function))
    try:
        if isinstance(data, NicRulesNtuple):
            _ntuple(data, paths, timeout_s)
        else:
            _flower(data, paths, timeout_s)
    except AgentError as error:
        raise AgentError(error.message + kernel_log.told(data.function, before)) from None


def _now(data: NicRulesNtuple | NicRulesFlower, table: str, paths: HostPaths) -> tuple[dict[str, Any], cards.Standing]:
    found = cards.standing(data.function, paths)
    if found.config["device"] != data.device:
        raise AgentError("the device of %s is %s, not %s" % (data.function, found.config["device"], data.device))
    now = found.config[table]
    if now is None:
        raise AgentError("%s has no such rules" % data.device)
    return dict(now), found


def _in_the_way(data: NicRulesNtuple | NicRulesFlower, rules: dict[str, Any]) -> list[str]:
    """What goes before anything is set: what is to go, and what is at a place of ours and not as it should be."""
    for place in (*data.put, *data.gone):
        if "other" in rules.get(place, {}):
            raise AgentError("%s: what is at %s is not ours: %s" % (data.device, place, rules[place]["other"]))
    wrong = [place for place in data.put if place in rules and rules[place] != data.put[place]]
    return [place for place in (*data.gone, *sorted(wrong)) if place in rules]


def _check(data: NicRulesNtuple | NicRulesFlower, rules: dict[str, Any], words: Sequence[str]) -> None:
    wrong = [place for place in data.put if rules.get(place) != data.put[place]]
    wrong += [place for place in data.gone if place in rules]
    if wrong:
        said = "; ".join(text for text in words if text)
        places = ", ".join(sorted(wrong))
        raise AgentError("%s: not as planned at %s%s" % (data.device, places, ": " + said if said else ""))


def _ntuple(data: NicRulesNtuple, paths: HostPaths, timeout_s: float) -> None:
    now, _ = _now(data, "ntuple", paths)
    rules: dict[str, Any] = now["rules"]
    away = _in_the_way(data, rules)
    if not data.on and now["on"] and set(rules) - set(away):
        raise AgentError("%s: switched off, ethtool's filters would all be gone, others' too" % data.device)
    said: list[str] = []
    if data.on and not now["on"]:
        said.append(_run(ntuple_switch(data.device, True), timeout_s))
    for place in away:
        said.append(_run(ntuple_remove(data.device, int(place)), timeout_s))
        del rules[place]
    for place in sorted(data.put, key=int):
        if place not in rules:
            said.append(_run(_understood(data.command(place)), timeout_s))
    if now["on"] and not data.on:
        said.append(_run(ntuple_switch(data.device, False), timeout_s))
    _check(data, _now(data, "ntuple", paths)[0]["rules"], said)


def _understood(argv: Words) -> Words:
    try:
        ethtool_command(argv)
    except GrammarError as error:
        raise AgentError("a command that we would not run: %s" % error) from None
    return argv


def _run(argv: Words, timeout_s: float) -> str:
    """What the program said beside its output, also where it ended well."""
    return command.checked(argv, timeout_s).err.strip()


def _flower(data: NicRulesFlower, paths: HostPaths, timeout_s: float) -> None:
    now, found = _now(data, "flower", paths)
    rules: dict[str, Any] = now["rules"]
    away = _in_the_way(data, rules)
    if not data.hook and now["hook"]:
        nothing_else(data.device, set(rules) - set(away))
    wanted = [rule for rule in data.rules() if rules.get(flower_place(rule)) != rule.document()]
    targets = {target for rule in wanted for target in rule.targets if SYMBOLIC.match(target)}
    names = representors(data.function, targets, found.status["representors"], paths, timeout_s)
    if data.offload and not now["offload"]:
        _run(tc_offload(data.device, True), timeout_s)
    if data.hook and not now["hook"]:
        _run(tc_hook(data.device, True), timeout_s)
    commands = [tc_remove(data.leaving(place)) for place in forward(away)] + [tc_replace(rule) for rule in wanted]
    said = batch("".join(" ".join(argv[1:]) + "\n" for argv in commands), names, timeout_s)
    if not data.hook and now["hook"]:
        _run(tc_hook(data.device, False), timeout_s)
    if not data.offload and now["offload"]:
        _run(tc_offload(data.device, False), timeout_s)
    _check(data, _now(data, "flower", paths)[0]["rules"], [said])


def nothing_else(device: str, left: set[str]) -> None:
    """The hook takes all that hangs on it along."""
    egress = cards.ask(["tc", "-j", "filter", "show", "dev", device, "egress"])
    if left or (egress or "").strip() not in ("", "[]", "[ ]"):
        raise AgentError("%s: rules of others hang on clsact; it stays" % device)


def representors(
    function: str, targets: set[str], known: dict[str, str], paths: HostPaths, timeout_s: float
) -> dict[str, str]:
    """Symbolic name -> device, as soon as all that are needed are there."""
    names = dict(known)

    def missing() -> Optional[str]:
        if targets <= set(names):
            return None
        names.update(cards.standing(function, paths).status["representors"])
        return "there is no %s" % ", ".join(sorted(targets - set(names))) if targets - set(names) else None

    waiting.until(missing, timeout_s)
    return names


def batch(text: str, names: dict[str, str], timeout_s: float) -> str:
    """Run a batch of tc, its symbolic devices bound; what tc said. Raises AgentError with the line that failed."""
    if not text:
        return ""
    try:
        whole = bound(text, names)
    except GrammarError as error:
        raise AgentError("a batch that we would not run: %s" % error) from None
    done = command.execute(["tc", "-b", "-"], timeout_s, whole)
    words = done.err.strip()
    failed = _FAILED_LINE.search(words)
    lines = whole.splitlines()
    if failed and 0 < int(failed[1]) <= len(lines):
        line = lines[int(failed[1]) - 1]
        verdict = "not_in_hw: " if "skip_sw" in line.split() else ""
        raise AgentError("%stc %s: %s" % (verdict, line, words.replace("\n", " ")[:2000]))
    if done.code != 0:
        raise AgentError("tc -b: exit %d: %s" % (done.code, words[:2000]))
    return words


@dataclass(frozen=True)
class Seen:
    """Rules that are not as they should be, rules that run in software, and those of others, which stay untouched."""

    wrong: list[str]
    slow: list[str]
    others: list[str]


def seen(data: dict[str, Any], paths: HostPaths) -> Seen:
    """What a check of rules finds."""
    found = cards.standing(data["function"], paths)
    device = found.config["device"]
    if data["table"] == "reps":
        device = found.status["representors"].get(data["port"])
        table = (found.config["mlx5"] or {"reps": {}})["reps"].get(data["port"], {"rules": {}})
    else:
        table = found.config[data["table"]] or {"rules": {}}
    wanted: dict[str, Any] = data["rules"]
    wrong = []
    for place in sorted(wanted):
        now = table["rules"].get(place)
        if now is None:
            wrong.append("%s is not there" % place)
        elif lost(now):
            wrong.append("%s has lost its target" % place)
        elif now != wanted[place]:
            wrong.append("%s is not as planned" % place)
    others = _others(table["rules"], wanted)
    if data["table"] == "ntuple" or device is None:
        return Seen(wrong, [], others)
    hardware = {item.place for item in cards.filters(device) if item.in_hw}
    slow = [place for place in sorted(wanted) if wanted[place]["offload"] != "software" and place not in hardware]
    return Seen(wrong, slow, others)


def _others(rules: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Rules that nobody planned, in words."""
    found = []
    for place in sorted(set(rules) - set(wanted)):
        rule = rules[place]
        words = rule["other"] if "other" in rule else "%#06x %s" % (rule["ethertype"], rule["action"])
        found.append("%s (%s%s)" % (place, words, ", which has lost its target" if lost(rule) else ""))
    return found
