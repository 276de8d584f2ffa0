# SPDX-License-Identifier: Apache-2.0
"""The engine as a service: started, stopped, removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tether_hw.plan.canonical import text_digest
from tether_hw.plan.facts import SERVICE_MANAGERS
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.paths import UNIT_NAME, HostPaths
from tether_hw.plan.shape import HEX64, Fields
from tether_hw.plan.unit import UnitError, parse_unit

ACTIONS = ("start", "stop", "remove")
MAX_UNIT_BYTES = 16384


@dataclass(frozen=True)
class EngineService(StepData):
    """`start`: the service record names `bundle`, the engine of that bundle runs. `stop`: it does not run.

    `remove`: it does not run and no record of it is left. The record is the systemd unit, or the supervisor's own
    file where there is no systemd (`unit` and `unit_sha256` are null there). With `unit` null and `unit_sha256` set,
    the unit of that digest is the one in place or the one that the run's snapshot keeps. `stop` with a bundle puts
    the record back as well; without one it leaves the record alone.
    """

    action: str
    manager: str
    bundle: str | None = None
    unit: str | None = None
    unit_sha256: str | None = None

    kind = "engine_service"
    disruption = "traffic"
    timeout_s = 60

    @classmethod
    def starting(cls, manager: str, bundle: str | None, unit: str | None) -> EngineService:
        """Start the engine of a bundle. A plan whose bundle is not built has null here: it is shown, never run."""
        return cls("start", manager, bundle, unit, None if unit is None else text_digest(unit))

    @classmethod
    def parse(cls, value: Any, where: str) -> EngineService:
        fields = Fields(value, where)
        data = cls(
            fields.one_of("action", ACTIONS),
            fields.one_of("manager", SERVICE_MANAGERS),
            fields.optional_text("bundle", HEX64),
            fields.optional_text("unit", limit=MAX_UNIT_BYTES),
            fields.optional_text("unit_sha256", HEX64),
        )
        fields.done()
        if data.action == "start" and data.bundle is None:
            raise fields.fail("bundle", "start needs a bundle")
        if data.action == "remove" and (data.bundle or data.unit or data.unit_sha256):
            raise fields.fail("bundle", "remove takes none")
        if data.manager != "systemd" and (data.unit or data.unit_sha256):
            raise fields.fail("unit", f"{data.manager} has no units")
        if data.unit is not None:
            if data.unit_sha256 != text_digest(data.unit):
                raise fields.fail("unit_sha256", "is not the digest of the unit")
            try:
                parse_unit(data.unit)
            except UnitError as error:
                raise fields.fail("unit", str(error)) from None
        return data

    def to_dict(self) -> dict[str, Any]:
        return {
            "action": self.action,
            "manager": self.manager,
            "bundle": self.bundle,
            "unit": self.unit,
            "unit_sha256": self.unit_sha256,
        }

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        if self.manager == "systemd":
            if self.action == "remove":
                return (("systemctl", "stop", UNIT_NAME), ("rm", "-f", paths.unit))
            return (("systemctl", self.action, UNIT_NAME),)
        return (("tether-agent", "engine", self.action),)

    def disrupts(self, config: dict[str, Any]) -> str:
        return "traffic" if config["engine"]["service"] == "running" else "none"

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        changes: dict[tuple[str, ...], Any] = {}
        if self.action == "remove":
            changes[("engine", "bundle")] = None
            changes[("engine", "unit_sha256")] = None
        elif self.bundle is not None:
            changes[("engine", "bundle")] = self.bundle
            changes[("engine", "unit_sha256")] = self.unit_sha256
        service = {"start": "running", "stop": "stopped", "remove": "absent"}[self.action]
        changes[("engine", "service")] = service
        return changes

    def undo(self, config: dict[str, Any]) -> StepData | str:
        engine = config["engine"]
        if engine["service"] == "absent":
            return EngineService("remove", self.manager)
        if engine["bundle"] is None:
            return "the service was not set up by us: what it ran is not known"
        action = "start" if engine["service"] == "running" else "stop"
        return EngineService(action, self.manager, engine["bundle"], None, engine["unit_sha256"])

    def summary(self, config: dict[str, Any]) -> str:
        bundle = f" (bundle {self.bundle[:12]})" if self.bundle else ""
        after = {"start": "running", "stop": "stopped", "remove": "absent"}[self.action]
        return f"engine {config['engine']['service']} -> {after}{bundle}"
