# SPDX-License-Identifier: Apache-2.0
"""The reset of a card by the system on it: asked first what the card offers now, then begun; this machine goes down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from tether_hw.agent import cards, command
from tether_hw.agent.errors import AgentError
from tether_hw.nic.functions.read import RESET_PROGRAMS, reset_offer

if TYPE_CHECKING:
    from tether_hw.plan.kinds.nic_reset import NicReset

_RESET_S = 300.0


def check(data: NicReset) -> str:
    """The program that offers this reset. Raises AgentError with what to do where none does."""
    text: Optional[str] = None
    for program in RESET_PROGRAMS:
        text = cards.ask([program, "-d", data.function, "q"])
        if text is None:
            continue
        offer = reset_offer(text)
        if data.level in offer.levels and data.sync in offer.syncs:
            return program
        levels, syncs = (", ".join(map(str, part)) or "none" for part in (offer.levels, offer.syncs))
        raise AgentError(
            "needs a power cycle: the card of %s offers reset levels %s and syncs %s now, not level %d with sync %d"
            % (data.function, levels, syncs, data.level, data.sync)
        )
    raise AgentError("neither %s answers for %s" % (" nor ".join(RESET_PROGRAMS), data.function))


def start(data: NicReset) -> None:
    """Reset the card. Raises AgentError with that program's words where it says no."""
    command.checked([check(data), *data.words], _RESET_S)
