# SPDX-License-Identifier: Apache-2.0
"""A plan: for each host the facts it was made from, the steps, and what is proved afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tether_hw.plan.canonical import DocumentError, canonical, digest, load
from tether_hw.plan.checks import Check
from tether_hw.plan.effects import fold
from tether_hw.plan.facts import parse_config
from tether_hw.plan.function_name import devlink_handle, is_simulated
from tether_hw.plan.joined import After
from tether_hw.plan.shape import HEX64, Fields, ShapeError, text_item
from tether_hw.plan.step import DISRUPTIONS, Step, worse

SCHEMA = "tether.plan/1"
MAX_PLAN_BYTES = 1 << 30  # some 30 KiB a host


@dataclass(frozen=True)
class HostPlan:
    """The part of a plan that one host carries out: it runs only on facts of `facts_digest`.

    `boot`: what makes the host again, from the facts of a cold boot, what it is after these steps; null where no plan
    can. The host carries it out at every boot after this one is confirmed.
    `after`: steps that wait for steps of another host, the other side of a card; in the document only where there are
    some.
    """

    host: str
    root: str
    facts_digest: str
    config: dict[str, Any]
    bundle: str | None
    steps: tuple[Step, ...]
    checks: tuple[Check, ...]
    boot: HostPlan | None = None
    after: tuple[After, ...] = ()

    @property
    def disruption(self) -> str:
        """The worst class of the steps."""
        result = DISRUPTIONS[0]
        for step in self.steps:
            result = worse(result, step.disruption)
        return result

    @property
    def boots(self) -> bool:
        """Whether carrying it out boots the host."""
        return any(DISRUPTIONS.index(step.disruption) >= DISRUPTIONS.index("reboot") for step in self.steps)

    @property
    def selectors(self) -> tuple[dict[str, Any], ...]:
        """What facts are asked of, to find again all that this plan was made from."""
        return selectors_of(self.config)

    def expected(self) -> dict[str, Any]:
        """The config that the host has after the steps."""
        return fold(self.config, [change for step in self.steps for change in step.effect])

    def to_dict(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "root": self.root,
            "facts_digest": self.facts_digest,
            "config": self.config,
            "bundle": self.bundle,
            "steps": [step.to_dict() for step in self.steps],
            "checks": [check.to_dict() for check in self.checks],
            "boot": None if self.boot is None else self.boot.to_dict(),
        }
        if self.after:
            document["after"] = [after.to_dict() for after in self.after]
        return document

    @classmethod
    def parse(cls, host: str, value: Any, where: str) -> HostPlan:
        """Read the part of one host strictly; raises ShapeError."""
        fields = Fields(value, where)
        boot = fields.take("boot")
        plan = cls(
            host=host,
            root=fields.text("root"),
            facts_digest=fields.text("facts_digest", HEX64),
            config=parse_config(fields.take("config"), fields.at("config")),
            bundle=fields.optional_text("bundle", HEX64),
            steps=tuple(fields.objects("steps", Step.parse, 1000)),
            checks=tuple(fields.objects("checks", Check.parse, 10000)),
            boot=None if boot is None else cls.parse(host, boot, fields.at("boot")),
            after=tuple(fields.objects("after", After.parse, 1000)) if fields.has("after") else (),
        )
        fields.done()
        if plan.boot is not None and (plan.boot.boot is not None or plan.boot.checks):
            raise fields.fail("boot", "a boot plan has steps only")
        if digest(plan.config) != plan.facts_digest:
            raise fields.fail("facts_digest", "is not the digest of config")
        if any(step.host != host for step in plan.steps):
            raise fields.fail("steps", "a step of another host")
        if len({step.id for step in plan.steps}) != len(plan.steps):
            raise fields.fail("steps", "two steps have one id")
        if any(after.host == host or after.step not in {step.id for step in plan.steps} for after in plan.after):
            raise fields.fail("after", "a step that is not here waits, or one waits for its own host")
        try:
            plan.expected()
        except ValueError as error:
            raise fields.fail("steps", str(error)) from None
        return plan


@dataclass(frozen=True)
class Plan:
    """A plan for some hosts. `id` is the digest of everything in it but `made`."""

    made: str
    suite: str
    inventory: str
    hosts: dict[str, HostPlan]
    notes: tuple[dict[str, str], ...] = ()
    refusals: tuple[dict[str, str], ...] = ()
    not_for_apply: tuple[str, ...] = ()

    @property
    def steps(self) -> list[Step]:
        """The steps of all hosts."""
        return [step for host in sorted(self.hosts) for step in self.hosts[host].steps]

    @property
    def changes(self) -> int:
        """The number of steps: 0 when the hosts are as the inventory says."""
        return sum(len(host.steps) for host in self.hosts.values())

    @property
    def id(self) -> str:
        document = self._body()
        del document["made"]
        return digest(document)

    def _body(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "made": self.made,
            "suite": self.suite,
            "inventory": self.inventory,
            "hosts": {name: host.to_dict() for name, host in self.hosts.items()},
            "notes": [dict(note) for note in self.notes],
            "refusals": [dict(refusal) for refusal in self.refusals],
            "not_for_apply": list(self.not_for_apply),
        }

    def to_dict(self) -> dict[str, Any]:
        document = self._body()
        document["id"] = self.id
        document["changes"] = self.changes
        document["steps"] = [flat(step) for step in self.steps]
        return document

    def text(self) -> str:
        """The plan as it is saved."""
        return canonical(self.to_dict()) + "\n"

    @classmethod
    def parse(cls, value: Any) -> Plan:
        """Read a plan document strictly; raises ShapeError.

        What is derived in it (id, changes, steps) must agree with what it is made of.
        """
        fields = Fields(value)
        fields.schema(SCHEMA)
        hosts_value = fields.table("hosts", lambda item, where: (item, where))
        plan = cls(
            made=fields.text("made", limit=64),
            suite=fields.text("suite", limit=64),
            inventory=fields.text("inventory"),
            hosts={name: HostPlan.parse(name, item, where) for name, (item, where) in hosts_value.items()},
            notes=tuple(fields.objects("notes", _parse_note)),
            refusals=tuple(fields.objects("refusals", _parse_refusal)),
            not_for_apply=tuple(fields.objects("not_for_apply", text_item, 1000)),
        )
        for name in ("id", "changes", "steps"):
            fields.take(name)
        fields.done()
        if canonical(plan.to_dict()) != canonical(value):
            raise ShapeError("id", "the plan was changed after it was made: id, changes or steps do not fit its hosts")
        return plan

    @classmethod
    def load(cls, text: str | bytes) -> Plan:
        """Read a saved plan; raises ShapeError."""
        try:
            return cls.parse(load(text, MAX_PLAN_BYTES))
        except DocumentError as error:
            raise ShapeError("", str(error)) from None


def selectors_of(config: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """What facts are asked of, to find again all that a config speaks of."""
    names = tuple({"name": name} for name in sorted(config["nics"]))
    functions = sorted(config["functions"])
    return names + tuple({"devlink": devlink_handle(f)} if is_simulated(f) else {"pci": f} for f in functions)


def flat(step: Step) -> dict[str, Any]:
    """A step as lists of steps show it: host, nic, kind, disruption, effect, undo or the reason why there is none."""
    return {
        "id": step.id,
        "host": step.host,
        "nic": step.nic,
        "kind": step.kind,
        "disruption": step.disruption,
        "summary": step.summary,
        "effect": [change.to_dict() for change in step.effect],
        "undo": None if step.undo is None else [list(argv) for argv in step.undo.argv],
        "undo_reason": step.undo_reason,
    }


def _parse_note(value: Any, where: str) -> dict[str, str]:
    return _parse_words(value, where, "note")


def _parse_refusal(value: Any, where: str) -> dict[str, str]:
    return _parse_words(value, where, "reason")


def _parse_words(value: Any, where: str, name: str) -> dict[str, str]:
    fields = Fields(value, where)
    note = {"host": fields.text("host", limit=64), name: fields.text(name)}
    fields.done()
    return note


__all__ = ["SCHEMA", "HostPlan", "Plan", "flat", "selectors_of"]
