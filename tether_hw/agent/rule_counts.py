# SPDX-License-Identifier: Apache-2.0
"""What the rules of a function counted, in hardware and beside it, and what its representors saw in software."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Optional

from tether_hw.agent import cards
from tether_hw.agent.errors import AgentError

if TYPE_CHECKING:
    from tether_hw.plan.paths import HostPaths


def read(function: str, paths: HostPaths) -> dict[str, Any]:
    """{"driver", "rules": {place: {"packets", "hw_packets", "in_hw", "skip_sw", "lost"}}, "representors": {name:
    frames that came through the processor, null where the driver does not count them}}."""
    found = cards.standing(function, paths)
    device = found.config["device"]
    if device is None:
        raise AgentError("%s has no device" % function)
    rules = {
        one.place: {
            "packets": one.packets,
            "hw_packets": one.hw_packets,
            "in_hw": one.in_hw,
            "skip_sw": one.skip_sw,
            "lost": one.orphaned,
        }
        for one in cards.filters(device)
        if one.ours
    }
    slow = {name: through_processor(netdev) for name, netdev in sorted(found.status["representors"].items())}
    return {"driver": found.config["driver"], "rules": rules, "representors": slow}


def through_processor(device: str) -> Optional[int]:
    """Frames of a representor that hardware did not switch; a driver that counts both in one has no such number."""
    text = cards.ask(["ip", "-j", "stats", "show", "dev", device, "group", "offload", "subgroup", "cpu_hit"])
    try:
        (one,) = json.loads(text or "")
        both = [one["stats64"][way]["packets"] for way in ("rx", "tx")]
    except (ValueError, TypeError, KeyError):
        return None
    return sum(both) if all(isinstance(count, int) for count in both) else None
