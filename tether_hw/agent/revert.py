# SPDX-License-Identifier: Apache-2.0
"""Taking a run back: which steps to undo is decided by reading the host, not by remembering."""

from __future__ import annotations

from typing import Any, Iterable

from tether_hw.plan.cold import volatile
from tether_hw.plan.effects import Condition, holds
from tether_hw.plan.step import Step

UNDO = "undo"  # take it back
SKIP = "skip"  # nothing to take back
FOREIGN = "foreign"  # somebody else changed it since: it is not ours any more

_SERVICE = ("engine", "service")


def decide(begun: bool, pre_holds: bool, post_holds: bool, kept: bool) -> str:
    """What to do with one step.

    A step that never began needs nothing. One whose pre-condition holds was not done, or is undone already. One whose
    post-condition holds was done. Neither: half done while the run was pending, so undo; but after the run was
    confirmed (`kept`) somebody else changed it, and it is left alone.
    """
    if not begun or pre_holds:
        return SKIP
    if post_holds or not kept:
        return UNDO
    return FOREIGN


def lasting(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """The conditions on what a boot does not change."""
    return tuple(condition for condition in conditions if not volatile(condition.path))


def decide_step(
    step: Step, begun: bool, config: dict[str, Any], kept: bool, booted: bool = False, undoing: bool = False
) -> str:
    """`decide` by the host's config as it is now; of a host that booted since, only by what outlives a boot.

    `undoing`: taking it back was begun before and cut off, so that what is half done is half undone, by nobody else.
    """
    changed = {change.path for change in step.effect}
    # What a step touches on its way counts until the run is kept; afterwards others may have set it.
    before = [condition for condition in step.pre if not kept or condition.path in changed]
    after = [condition for condition in step.post if not kept or condition.path in changed]
    if booted:
        lasts = lasting(after)
        return decide(begun and bool(lasts), holds(config, lasting(before)), holds(config, lasts), kept and not undoing)
    # An engine that was stopped, by a reboot or by hand, is still the service that we set up.
    post = holds(config, [condition for condition in after if condition.path != _SERVICE])
    return decide(begun, holds(config, before), post, kept and not undoing)
