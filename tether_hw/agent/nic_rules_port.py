# SPDX-License-Identifier: Apache-2.0
"""The rules of what stands for a VF or SF: its device is found by what it is, brought up, and read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from tether_hw.agent import cards, command, kernel_log
from tether_hw.agent.errors import AgentError
from tether_hw.agent.nic_rules import batch, nothing_else, representors
from tether_hw.plan.rule_commands import tc_hook, tc_remove, tc_replace
from tether_hw.plan.rules_table import flower_number

if TYPE_CHECKING:
    from tether_hw.plan.kinds.nic_rules_port import NicRulesPort
    from tether_hw.plan.paths import HostPaths


def carry_out(data: NicRulesPort, paths: HostPaths, timeout_s: float) -> None:
    """Make the rules of a port what the step says. Raises AgentError with the words of the tool and of the driver."""
    before = len(kernel_log.lines(data.function))
    try:
        _port(data, paths, timeout_s)
    except AgentError as error:
        raise AgentError(error.message + kernel_log.told(data.function, before)) from None


def _port(data: NicRulesPort, paths: HostPaths, timeout_s: float) -> None:
    now, found = _now(data, paths)
    if data.rules is None and now is None:
        return
    names = representors(data.function, {data.port}, found.status["representors"], paths, timeout_s)
    device = names[data.port]
    rules: dict[str, Any] = {} if now is None else now["rules"]
    for place in rules:
        if flower_number(place) is None:
            raise AgentError("%s: what is at %s is not ours" % (data.port, place))
    if data.rules is None:
        nothing_else(device, set())
        command.checked(tc_hook(device, False), timeout_s)
    else:
        command.checked(("ip", "link", "set", "dev", device, "up"), timeout_s)
        if now is None:
            command.checked(tc_hook(device, True), timeout_s)
        wrong = [place for place in rules if rules[place] != data.rules.get(place)]
        lines = [tc_remove(data.leaving(place, device)) for place in wrong]
        missing = [place for place in sorted(data.rules) if rules.get(place) != data.rules[place]]
        lines += [tc_replace(data.rule(place, device)) for place in missing]
        batch("".join(" ".join(argv[1:]) + "\n" for argv in lines), names, timeout_s)
    if _now(data, paths)[0] != (None if data.rules is None else {"rules": data.rules}):
        raise AgentError("%s: its rules are not as planned" % data.port)


def _now(data: NicRulesPort, paths: HostPaths) -> tuple[Optional[dict[str, Any]], cards.Standing]:
    found = cards.standing(data.function, paths)
    if found.config["mlx5"] is None:
        raise AgentError("%s has no ports" % data.function)
    return found.config["mlx5"]["reps"].get(data.port), found
