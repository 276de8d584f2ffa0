# SPDX-License-Identifier: Apache-2.0
"""The settings in a card's memory: what its firmware starts with next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from tether_hw.agent import cards, command, waiting
from tether_hw.agent.errors import AgentError
from tether_hw.nic.functions.read import NV_PROGRAMS

if TYPE_CHECKING:
    from tether_hw.plan.kinds.nic_nv import NicNv
    from tether_hw.plan.paths import HostPaths


def carry_out(data: NicNv, paths: HostPaths, timeout_s: float) -> None:
    """Make it what the step says, by the same program that shows it. Raises AgentError with that program's words."""
    if _unlike(data, paths):
        command.checked([_program(data), "-d", data.function, *data.words], timeout_s)

    def missing() -> Optional[str]:
        left = _unlike(data, paths)
        words = ["%s is %s" % (key, left[key] or "not known") for key in sorted(left)]
        return "%s: next boot %s" % (data.function, ", ".join(words)) if left else None

    waiting.until(missing, timeout_s)


def _unlike(data: NicNv, paths: HostPaths) -> dict[str, Optional[str]]:
    """The settings that are not as the step says, and what they are."""
    part = cards.standing(data.function, paths, tuple(sorted(data.put))).config["mlx5"] or {"nv": {}}
    now = {key: part["nv"].get(key, {}).get("next") for key in data.put}
    return {key: now[key] for key in now if now[key] != data.put[key]}


def _program(data: NicNv) -> str:
    for program in NV_PROGRAMS:
        if cards.ask([program, "-d", data.function, "-e", "q", *sorted(data.put)]) is not None:
            return program
    raise AgentError("neither %s shows these settings of %s" % (" nor ".join(NV_PROGRAMS), data.function))
