# SPDX-License-Identifier: Apache-2.0
"""Reading this host's config back: before a run, between its steps, after it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Sequence

from tether_hw.agent import facts
from tether_hw.agent.errors import AgentError, FactsDiffer
from tether_hw.plan.difference_words import brief, in_words
from tether_hw.plan.effects import Condition, holds, look_up
from tether_hw.plan.facts import differences
from tether_hw.plan.facts_mlx5 import nv_keys

if TYPE_CHECKING:
    from tether_hw.agent.host import Host
    from tether_hw.agent.staged import Staged

_SETTLE_S = 5.0  # what a driver may take until read-back shows what it accepted


def check_facts(host: Host, staged: Staged) -> None:
    """Raises FactsDiffer, with what differs, when this host is not as the plan was made for."""
    now = read_config(host, staged)
    found = differences(staged.plan.config, now)
    if found:
        raise FactsDiffer(
            "the plan was made from other facts: %s" % in_words(found), differences=found, host=staged.host
        )


def read_config(host: Host, staged: Staged) -> dict[str, Any]:
    """The config of this host as it is now, of the devices that the plan read."""
    config: dict[str, Any] = facts.collect(host, staged.host, staged.devices(), nv_keys(staged.plan.config))["config"]
    return config


def wait_for(host: Host, staged: Staged, conditions: Sequence[Condition]) -> None:
    """Wait until read-back shows the conditions. Raises AgentError with what it shows instead."""
    limit = time.monotonic() + _SETTLE_S * staged.time_scale
    while True:
        config = read_config(host, staged)
        if holds(config, conditions):
            return
        if time.monotonic() > limit:
            wrong = [c for c in conditions if not c.holds(config)]
            words = ["%s is %s" % (".".join(c.path), brief(look_up(config, c.path))) for c in wrong]
            raise AgentError("read back: %s" % "; ".join(words))
        time.sleep(0.05)
