# SPDX-License-Identifier: Apache-2.0
"""Facts x intent -> plan, for hosts. Pure: no file, no host, no clock.

A host that cannot be planned is refused with every reason; the others are planned all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tether_hw.fleet.engine_intent import EngineIntent, engine_intent, engine_user
from tether_hw.fleet.fingerprint import fingerprint
from tether_hw.fleet.inventory import Inventory
from tether_hw.fleet.lanes import carrier_of
from tether_hw.fleet.models import DEFAULT_MTU
from tether_hw.fleet.profiles import Profiles
from tether_hw.fleet.removals import engine_is_ours, nic_removals
from tether_hw.nic.generic.plan import plan_nic
from tether_hw.plan.canonical import digest
from tether_hw.plan.checks import Check
from tether_hw.plan.effects import fold
from tether_hw.plan.facts import Facts
from tether_hw.plan.kinds.base import StepData, make_step
from tether_hw.plan.kinds.engine_config import EngineConfig
from tether_hw.plan.kinds.engine_file import EngineFile
from tether_hw.plan.kinds.engine_roster import EngineRoster
from tether_hw.plan.kinds.engine_service import EngineService
from tether_hw.plan.order import in_order
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.plan import HostPlan, Plan
from tether_hw.plan.step import Step
from tether_hw.transport.config import ConfigError

#: Paths, engine user, bundle digest, carriers -> text of the unit.
UnitWriter = Callable[[HostPaths, str, str, Iterable[str]], str]

#: Kind of step -> the program that the host needs for it.
TOOLS = {"nic_mtu": "ip", "nic_queues": "ethtool", "nic_ring": "ethtool"}


@dataclass(frozen=True)
class BundleOffer:
    """What this suite can ship for one architecture."""

    digest: str
    carriers: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """What a plan depends on beside inventory and facts."""

    bundles: Mapping[str, BundleOffer]
    profiles: Profiles
    write_unit: UnitWriter
    suite: str
    made: str = ""
    recorded: bool = False


@dataclass
class HostDraft:
    """One host being planned."""

    facts: Facts
    paths: HostPaths
    nic_steps: list[tuple[str | None, StepData]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    not_for_apply: list[str] = field(default_factory=list)

    @property
    def engine(self) -> dict[str, Any]:
        engine: dict[str, Any] = self.facts.config["engine"]
        return engine


def make_plan(inventory: Inventory, facts: Mapping[str, Facts], setting: Setting) -> Plan:
    """The plan for the hosts that there are facts of."""
    hosts: dict[str, HostPlan] = {}
    notes: list[dict[str, str]] = []
    refusals: list[dict[str, str]] = []
    not_for_apply = ["made from recorded facts"] if setting.recorded else []
    for name in sorted(facts):
        draft = HostDraft(facts[name], HostPaths(facts[name].status["root"]))
        plan = _plan_host(inventory, name, draft, setting)
        _pending_note(draft)
        notes.extend({"host": name, "note": note} for note in draft.notes)
        refusals.extend({"host": name, "reason": reason} for reason in draft.refusals)
        if plan is not None and not draft.refusals:
            hosts[name] = plan
            not_for_apply.extend(draft.not_for_apply)
    for name in sorted(set(inventory.keys) - set(inventory.hosts)):
        notes.append({"host": name, "note": f"is in {inventory.keys_file.name} and no longer in the inventory"})
    return Plan(
        made=setting.made,
        suite=setting.suite,
        inventory=inventory.path.name,
        hosts=hosts,
        notes=tuple(notes),
        refusals=tuple(refusals),
        not_for_apply=tuple(dict.fromkeys(not_for_apply)),
    )


def _pending_note(draft: HostDraft) -> None:
    pending = draft.facts.status["pending"]
    if pending is not None:
        run, holder = pending["run"], pending["holder"]
        draft.notes.append(f"run {run} of {holder} is not confirmed yet: the host may take it back by itself")


def _plan_host(inventory: Inventory, name: str, draft: HostDraft, setting: Setting) -> HostPlan | None:
    devices = _devices(inventory, name, draft)
    _key(inventory, name, draft)
    _nics(inventory, name, draft, setting, devices)
    draft.nic_steps.extend(nic_removals(draft.facts, inventory, name, devices, draft.notes))
    _privilege(draft)
    intent = None
    if inventory.lanes[name] and len(devices) == len(inventory.hosts[name].nics):
        try:
            intent = engine_intent(inventory, name, devices, draft.paths, draft.facts.status["cpus"])
        except ConfigError as error:
            draft.refusals.append(f"the engine would refuse its files: {error}")
            return None
        _carriers(inventory, name, draft, setting)
        _lane_notes(inventory, name, draft)
    if draft.refusals:
        return None
    bundle = setting.bundles.get(draft.facts.status["arch"])
    if bundle is None:
        draft.not_for_apply.append(f"no bundle for {draft.facts.status['arch']} is built")
    steps = draft.nic_steps + _engine_steps(inventory, name, draft, intent, bundle, setting)
    made = _make_steps(name, steps, draft)
    expected = fold(draft.facts.config, [change for step in made for change in step.effect])
    return HostPlan(
        host=name,
        root=draft.paths.root,
        facts_digest=draft.facts.digest,
        config=draft.facts.config,
        bundle=None if bundle is None else bundle.digest,
        steps=tuple(made),
        checks=tuple(_checks(inventory, name, intent, expected)),
    )


def _devices(inventory: Inventory, name: str, draft: HostDraft) -> dict[str, str]:
    """NIC -> the kernel's name of its device; one that is not there is a refusal."""
    answers = {tuple(entry["selector"].items()): entry["device"] for entry in draft.facts.status["devices"]}
    config = draft.facts.config["nics"]
    devices = {}
    for nic_name, nic in inventory.hosts[name].nics.items():
        selector = nic.device.selector()
        device = answers.get(tuple(selector.items()))
        if device is None and selector.get("name") in config:
            device = selector["name"]
        if device is None or device not in config:
            there = ", ".join(str(link["name"]) for link in draft.facts.status["links"]) or "none"
            text = " ".join(f"{kind} {value}" for kind, value in selector.items())
            draft.refusals.append(f"NIC {nic_name}: no device with {text}; the host has {there}")
        else:
            devices[nic_name] = device
    return devices


def _key(inventory: Inventory, name: str, draft: HostDraft) -> None:
    shown = draft.facts.config["keys"]["node"]
    known = inventory.keys.get(name)
    if known is None:
        if inventory.lanes[name]:
            draft.not_for_apply.append(f"the identity key of {name} is to be made")
            draft.notes.append("its identity key is to be made: tether key enroll " + name)
    elif shown is None:
        # The key may be there without a bundle that could read it; enrolling sees that and overwrites nothing.
        recorded = f"{inventory.keys_file.name} has {fingerprint(known[0])}"
        draft.refusals.append(f"it shows no identity key, {recorded}: tether key enroll {name} says why")
    elif shown not in known:
        recorded = ", ".join(fingerprint(key) for key in known)
        changed = f"its identity key changed: recorded {recorded}, shown {fingerprint(shown)}"
        draft.refusals.append(f"{changed}; if the host was installed anew: tether key enroll {name} --replace")


def _nics(inventory: Inventory, name: str, draft: HostDraft, setting: Setting, devices: Mapping[str, str]) -> None:
    host = inventory.hosts[name]
    for nic_name in sorted(devices):
        nic, device = host.nics[nic_name], devices[nic_name]
        facts = draft.facts.config["nics"][device]
        limits = draft.facts.status["limits"][device]
        carrier = carrier_of(nic, host.engine)
        link = inventory.link_of[name].get(nic_name)
        stated = inventory.links[link].mtu if link else None
        result = plan_nic(
            nic,
            device,
            facts,
            limits,
            setting.profiles.of(facts["driver"]),
            carrier=carrier,
            link_mtu=None if link is None else stated or DEFAULT_MTU,
            mtu=nic.mtu if nic.mtu is not None else stated if carrier != "udp" else None,
        )
        draft.nic_steps.extend((nic_name, step) for step in result.steps)
        draft.refusals.extend(f"NIC {nic_name}: {reason}" for reason in result.refusals)


def _privilege(draft: HostDraft) -> None:
    status = draft.facts.status
    for nic, step in draft.nic_steps:
        what = f"NIC {nic}: {step.kind}" if nic else step.kind
        if not status["is_root"]:
            draft.refusals.append(f"{what} needs root, {status['user']} is not")
        tool = TOOLS[step.kind]
        if status["tools"].get(tool) is None:
            draft.refusals.append(f"{what} needs the program {tool}, which the host lacks")


def _carriers(inventory: Inventory, name: str, draft: HostDraft, setting: Setting) -> None:
    host = inventory.hosts[name]
    offer = setting.bundles.get(draft.facts.status["arch"])
    can = draft.facts.status["carriers"]
    for carrier in sorted({lane.carrier for lane in inventory.lanes[name]}):
        wanted = ("af_xdp", "af_packet") if carrier == "auto" else (carrier,)
        reasons = []
        for one in wanted:
            if offer is not None and one not in offer.carriers:
                reasons.append(f"the bundle has no carrier {one}")
            elif one not in can or can[one] is not None:
                reasons.append(f"carrier {one}: {can.get(one) or 'unknown to the host'}")
        if len(reasons) == len(wanted):
            draft.refusals.append("; ".join(reasons))
    nproc = draft.facts.status["cpus"]
    if isinstance(host.engine.cpus, list):
        over = [cpu for cpu in host.engine.cpus if cpu >= nproc]
        if over:
            draft.refusals.append(f"engine.cpus names CPU {over[0]}, the host has {nproc}")


def _lane_notes(inventory: Inventory, name: str, draft: HostDraft) -> None:
    for link in sorted(set(inventory.link_of[name].values())):
        lanes = [lane for lane in inventory.lanes[name] if lane.link == link and "mac" in lane.address]
        if len(lanes) > 1 and inventory.links[link].delivers is None:
            note = f"link {link}: {len(lanes)} lanes, 1 effective queue, others by ring: this family cannot steer"
            draft.notes.append(note + "; say delivers: by-lane where the fabric picks the queue")


def _engine_steps(
    inventory: Inventory,
    name: str,
    draft: HostDraft,
    intent: EngineIntent | None,
    bundle: BundleOffer | None,
    setting: Setting,
) -> list[tuple[str | None, StepData]]:
    status, engine = draft.facts.status, draft.engine
    manager = status["service_manager"]
    if intent is None:
        return _engine_removal(draft, manager)
    digest_now = None if bundle is None else bundle.digest
    config = EngineConfig.write(intent.config)
    roster = EngineRoster.write(intent.roster)
    unit = None
    if manager == "systemd" and digest_now is not None:
        user = engine_user(inventory, name) or status["user"]
        unit = setting.write_unit(draft.paths, user, digest_now, {lane.carrier for lane in intent.lanes})
    start = EngineService.starting(manager, digest_now, unit)
    steps: list[tuple[str | None, StepData]] = []
    if not config.holds(draft.facts.config):
        steps.append((None, config))
    record_differs = engine["bundle"] != digest_now or engine["unit_sha256"] != start.unit_sha256
    restart = bool(steps) or bool(draft.nic_steps) or record_differs
    if not roster.holds(draft.facts.config):
        steps.append((None, roster))
    if engine["service"] == "running" and restart:
        steps.append((None, EngineService("stop", manager)))
    if engine["service"] != "running" or restart:
        steps.append((None, start))
    return steps


def _engine_removal(draft: HostDraft, manager: str) -> list[tuple[str | None, StepData]]:
    """An engine that we set up and that the inventory no longer asks for goes; a foreign one is reported."""
    engine = draft.engine
    there = engine["service"] != "absent" or engine["config_sha256"] or engine["roster_sha256"]
    if not there:
        return []
    if not engine_is_ours(draft.facts):
        draft.notes.append("an engine is set up there that is not ours; it is left alone")
        return []
    steps: list[tuple[str | None, StepData]] = []
    if engine["service"] != "absent":
        steps.append((None, EngineService("remove", manager)))
    files: tuple[type[EngineFile], ...] = (EngineConfig, EngineRoster)
    steps.extend((None, kind.remove()) for kind in files if engine[kind.field() + "_sha256"] is not None)
    return steps


def _make_steps(name: str, steps: Iterable[tuple[str | None, StepData]], draft: HostDraft) -> list[Step]:
    config = draft.facts.config
    made: list[Step] = []
    for number, (nic, data) in enumerate(in_order(steps), 1):
        step = make_step(data, config, draft.paths, number, name, nic)
        config = fold(config, step.effect)
        made.append(step)
    return made


def _checks(inventory: Inventory, name: str, intent: EngineIntent | None, expected: dict[str, Any]) -> list[Check]:
    checks = [Check("config", "config", None, {"digest": digest(expected)})]
    if intent is None:
        return checks
    checks.append(Check("engine", "engine", None, {}))
    checks.extend(Check(f"lane-{lane.lane}", "lane", lane.nic, lane.to_dict()) for lane in intent.lanes)
    checks.extend(link_checks(inventory, name))
    return checks


def link_checks(inventory: Inventory, name: str) -> list[Check]:
    """What a host and each of its peers prove together."""
    checks = []
    for peer, link in inventory.peers(name):
        mine, theirs = (
            [
                {"lane": lane.lane, "nic": lane.nic, "queue": lane.queue}
                for lane in inventory.lanes[host]
                if lane.link == link
            ]
            for host in (name, peer)
        )
        udp = any("udp" in lane.address for lane in inventory.lanes[name] if lane.link == link)
        delivers = "by-lane" if udp or inventory.links[link].delivers == "by-lane" else "one-queue"
        data = {"link": link, "peer": peer, "lanes": mine, "peer_lanes": theirs, "delivers": delivers}
        checks.append(Check(f"link-{link}-{peer}", "link", str(mine[0]["nic"]) if mine else None, data))
    return checks
