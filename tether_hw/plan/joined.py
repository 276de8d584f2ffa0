# SPDX-License-Identifier: Apache-2.0
"""Hosts whose runs are one transaction: the two sides of a card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Sequence

from tether_hw.plan.shape import NAME, Fields, ShapeError
from tether_hw.plan.step import DISRUPTIONS

if TYPE_CHECKING:
    from tether_hw.plan.plan import HostPlan

MOST_S = 30 * 86400
VERIFY_S = 90  # what a host may take to prove that it is as planned
_MOST_MEMBERS = 64


@dataclass(frozen=True)
class After:
    """The step `step` of one host begins only when the step `ends` of the host `host` has ended."""

    step: str
    host: str
    ends: str

    def to_dict(self) -> dict[str, Any]:
        return {"step": self.step, "host": self.host, "ends": self.ends}

    @classmethod
    def parse(cls, value: Any, where: str) -> After:
        fields = Fields(value, where)
        after = cls(fields.text("step", NAME), fields.text("host", NAME), fields.text("ends", NAME))
        fields.done()
        return after


@dataclass(frozen=True)
class Joined:
    """What a run shares with those of other hosts.

    card: what joins them. members: the hosts, in the order in which they are confirmed. window_s: how long all of it
    may take until the confirm, boots included: the one deadline of their dead-men. boot_s: how long a boot among them
    may take, 0 when none boots.
    """

    card: str
    members: tuple[str, ...]
    window_s: int
    boot_s: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "card": self.card,
            "members": list(self.members),
            "window_s": self.window_s,
            "boot_s": self.boot_s,
        }

    @classmethod
    def parse(cls, value: Any, where: str) -> Joined:
        fields = Fields(value, where)
        joined = cls(
            card=fields.text("card", limit=256),
            members=tuple(fields.objects("members", _member, _MOST_MEMBERS)),
            window_s=fields.integer("window_s", 1, MOST_S),
            boot_s=fields.integer("boot_s", 0, MOST_S),
        )
        fields.done()
        return joined


def _member(value: Any, where: str) -> str:
    if not isinstance(value, str) or not NAME.match(value):
        raise ShapeError(where, "expected the name of a host")
    return value


def joined_of(card: str, plans: Sequence[HostPlan], confirm_timeout_s: int) -> Joined:
    """`plans`: in the order in which they are confirmed. Sides that wait for each other may need the sum of both."""
    needs = [sum(step.timeout_s for step in plan.steps) for plan in plans]
    waits = any(plan.after for plan in plans)
    boots = [
        step.timeout_s
        for plan in plans
        for step in plan.steps
        if DISRUPTIONS.index(step.disruption) >= DISRUPTIONS.index("reboot")
    ]
    return Joined(
        card=card,
        members=tuple(plan.host for plan in plans),
        window_s=(sum(needs) if waits else max(needs)) + VERIFY_S + confirm_timeout_s,
        boot_s=max(boots, default=0),
    )
