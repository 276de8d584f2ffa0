# SPDX-License-Identifier: Apache-2.0
"""What a run was asked to do: kept whole on the host, so that any machine can go on with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from tether_hw.plan.effects import Change
from tether_hw.plan.joined import VERIFY_S, Joined
from tether_hw.plan.plan import HostPlan
from tether_hw.plan.shape import NAME, Fields

if TYPE_CHECKING:
    from tether_hw.agent.run import Run

MAX_WINDOW_S = 86400
MAX_SCALE = 1000


def parse_scale(fields: Fields) -> float:
    """The factor on deadlines that the inventory gives for slow machines."""
    value = fields.take("time_scale")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.01 <= value <= MAX_SCALE:
        raise fields.fail("time_scale", "expected a number from 0.01 to %d" % MAX_SCALE)
    return float(value)


@dataclass(frozen=True)
class Staged:
    """The body of the verb `stage`; also the file plan.json of a run."""

    run: str
    host: str
    holder: str
    plan_id: str
    inventory: str
    confirm_timeout_s: int
    time_scale: float
    plan: HostPlan
    joined: Optional[Joined] = None

    def to_dict(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "run": self.run,
            "host": self.host,
            "holder": self.holder,
            "plan_id": self.plan_id,
            "inventory": self.inventory,
            "confirm_timeout_s": self.confirm_timeout_s,
            "time_scale": self.time_scale,
            "plan": self.plan.to_dict(),
        }
        if self.joined is not None:
            document["joined"] = self.joined.to_dict()
        return document

    @classmethod
    def parse(cls, value: Any, where: str = "body") -> Staged:
        fields = Fields(value, where)
        host = fields.text("host", NAME)
        staged = cls(
            run=fields.text("run", NAME),
            host=host,
            holder=fields.text("holder", limit=256),
            plan_id=fields.text("plan_id", limit=64),
            inventory=fields.text("inventory"),
            confirm_timeout_s=fields.integer("confirm_timeout_s", 1, MAX_WINDOW_S),
            time_scale=parse_scale(fields),
            plan=HostPlan.parse(host, fields.take("plan"), fields.at("plan")),
            joined=Joined.parse(fields.take("joined"), fields.at("joined")) if fields.has("joined") else None,
        )
        fields.done()
        if staged.plan.after and staged.joined is None:
            raise fields.fail("joined", "steps wait for another host, and no other is joined to this run")
        return staged

    @classmethod
    def of(cls, run: Run) -> Staged:
        return cls.parse(run.plan(), "plan.json")

    def window_s(self) -> float:
        """How long a run may take until it is confirmed, in seconds: its steps' worst case and the time to confirm."""
        if self.joined is not None:
            return float(self.joined.window_s * self.time_scale)
        steps = sum(step.timeout_s for step in self.plan.steps)
        return float((steps + VERIFY_S + self.confirm_timeout_s) * self.time_scale)

    def changes(self) -> list[Change]:
        """Everything that the steps set in config."""
        return [change for step in self.plan.steps for change in step.effect]

    def devices(self) -> list[dict[str, Any]]:
        """The devices that the plan read, as `facts` is asked for them."""
        return list(self.plan.selectors)
