# SPDX-License-Identifier: Apache-2.0
"""Facts x intent -> plan, for hosts. Pure: no file, no host, no clock.

A host that cannot be planned is refused with every reason; the others are planned all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tether_hw.fleet.card_order import with_waits
from tether_hw.fleet.draft import BundleOffer, HostDraft, Setting
from tether_hw.fleet.engine_intent import EngineIntent, engine_intent
from tether_hw.fleet.fingerprint import fingerprint
from tether_hw.fleet.inventory import Inventory
from tether_hw.fleet.lanes import carrier_of
from tether_hw.fleet.models import DEFAULT_MTU
from tether_hw.fleet.planner_bluefield import arms_first, explained, reset_cards
from tether_hw.fleet.planner_boot import Steps, boot_plan, make_steps
from tether_hw.fleet.planner_cx7 import functions_of, plan_cx7
from tether_hw.fleet.planner_e810 import dpdk_nics, leaves_safe_mode, plan_e810, without_driver
from tether_hw.fleet.planner_engine import carriers, engine_steps
from tether_hw.fleet.removals import nic_removals
from tether_hw.nic.cx7.model import SwitchNic
from tether_hw.nic.e810.model import E810Nic
from tether_hw.nic.generic.plan import plan_nic
from tether_hw.plan.canonical import digest
from tether_hw.plan.checks import Check
from tether_hw.plan.effects import fold
from tether_hw.plan.facts import Facts
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.plan import HostPlan, Plan
from tether_hw.transport.config import ConfigError

#: Kind of step -> the programs that the host needs for it.
TOOLS: dict[str, tuple[str, ...]] = {
    "nic_mtu": ("ip",),
    "nic_queues": ("ethtool",),
    "nic_ring": ("ethtool",),
    "nic_rules_ntuple": ("ethtool",),
    "nic_rules_flower": ("tc", "ethtool"),
    "nic_rules_port": ("tc", "ip"),
    "nic_vfs": (),
    "nic_eswitch": ("devlink",),
    "nic_driver": ("modprobe", "devlink"),
    "nic_param": ("devlink",),
    "nic_vf_binding": (),
    "nic_function": ("devlink", "ip"),
    "nic_sf": ("devlink",),
    "nic_nv": (),
    "nic_reset": (),
    "nic_host_vfs": ("devlink",),
    "ddp_package": (),
    "host_reboot": (),
}


def make_plan(inventory: Inventory, facts: Mapping[str, Facts], setting: Setting) -> Plan:
    """The plan for the hosts that there are facts of."""
    hosts: dict[str, HostPlan] = {}
    notes: list[dict[str, str]] = []
    refusals: list[dict[str, str]] = []
    not_for_apply = ["made from recorded facts"] if setting.recorded else []
    resets: frozenset[str] = frozenset()
    for name in arms_first(inventory, facts):
        draft = HostDraft(facts[name], HostPaths(facts[name].status["root"]), beside=facts, resets=resets)
        plan = _plan_host(inventory, name, draft, setting)
        _pending_note(draft)
        notes.extend({"host": name, "note": note} for note in draft.notes)
        refusals.extend({"host": name, "reason": reason} for reason in draft.refusals)
        if plan is not None and not draft.refusals:
            hosts[name] = plan
            not_for_apply.extend(draft.not_for_apply)
            resets |= reset_cards(inventory, plan)
    for name in sorted(set(inventory.keys) - set(inventory.hosts)):
        notes.append({"host": name, "note": f"is in {inventory.keys_file.name} and no longer in the inventory"})
    return Plan(
        made=setting.made,
        suite=setting.suite,
        inventory=inventory.path.name,
        hosts=with_waits(inventory, {name: hosts[name] for name in sorted(hosts)}),
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
    steps, intent = _wanted(inventory, name, draft, setting)
    if draft.refusals:
        return None

    def again(other: HostDraft) -> Steps:
        return _wanted(inventory, name, other, setting)[0]

    bundle = setting.bundles.get(draft.facts.status["arch"])
    digest_now = None if bundle is None else bundle.digest
    made = make_steps(name, steps, draft, again)
    if draft.refusals:
        return None
    expected = fold(draft.facts.config, [change for step in made for change in step.effect])
    return HostPlan(
        host=name,
        root=draft.paths.root,
        facts_digest=draft.facts.digest,
        config=draft.facts.config,
        bundle=digest_now,
        steps=tuple(made),
        checks=tuple(_checks(inventory, name, intent, expected, draft)),
        boot=boot_plan(name, draft, made, digest_now, again),
    )


def _wanted(inventory: Inventory, name: str, draft: HostDraft, setting: Setting) -> tuple[Steps, EngineIntent | None]:
    """What the facts of a draft ask for, and what its engine shall be."""
    devices = _devices(inventory, name, draft)
    _key(inventory, name, draft)
    _nics(inventory, name, draft, setting, devices)
    draft.nic_steps.extend(nic_removals(draft.facts, inventory, name, devices, draft.notes))
    plan_e810(inventory, name, draft, setting, devices)
    plan_cx7(inventory, name, draft, setting, devices)
    _privilege(draft)
    intent = None
    away = [nic for nic, model in inventory.hosts[name].nics.items() if model.own_carrier == "dpdk"]
    functions = functions_of(inventory, name, draft.facts, devices)
    placed = all(lane.on is None or lane.nic in functions for lane in inventory.lanes[name])
    if inventory.lanes[name] and placed and not away and len(devices) == len(inventory.hosts[name].nics):
        try:
            intent = engine_intent(inventory, name, devices, draft.paths, draft.facts.status["cpus"], functions)
        except ConfigError as error:
            draft.refusals.append(f"the engine would refuse its files: {error}")
            return [], None
        draft.not_for_apply.extend(f"the identity key of {peer} is to be made" for peer in intent.unmade)
        carriers(inventory, name, draft, setting)
        _lane_notes(inventory, name, draft)
    if draft.refusals:
        return [], None
    bundle = setting.bundles.get(draft.facts.status["arch"])
    if bundle is None:
        draft.not_for_apply.append(f"no bundle for {draft.facts.status['arch']} is built")
    # An engine that cannot drive its lanes is neither set up nor taken away.
    engine = [] if away else engine_steps(inventory, name, draft, intent, bundle, setting)
    return draft.nic_steps + engine, intent


def _devices(inventory: Inventory, name: str, draft: HostDraft) -> dict[str, str]:
    """NIC -> the kernel's name of its device; one that is not there is a refusal."""
    answers = {tuple(entry["selector"].items()): entry["device"] for entry in draft.facts.status["devices"]}
    config = draft.facts.config["nics"]
    devices = {}
    dpdk = dpdk_nics(inventory, name)
    for nic_name, nic in inventory.hosts[name].nics.items():
        if nic_name in dpdk:
            continue  # the kernel may have no device of it
        selector = nic.device.selector()
        device = answers.get(tuple(selector.items()))
        if device is None and selector.get("name") in config:
            device = selector["name"]
        unbound = None if device in config else without_driver(nic, draft)
        if device not in config and explained(draft, nic_name, nic):
            continue
        if unbound is not None:
            draft.refusals.append(f"NIC {nic_name}: {unbound}")
        elif device is None or device not in config:
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
        if leaves_safe_mode(nic, draft.facts.config, device):
            limits = {**limits, "queues_max": None}
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
    lacks: list[str] = []
    for nic, step in draft.nic_steps:
        what = f"NIC {nic}: {step.kind}" if nic else step.kind
        if not status["is_root"]:
            lacks.append(f"{what} needs root, {status['user']} is not")
        for tool in TOOLS[step.kind]:
            if status["tools"].get(tool) is None:
                lacks.append(f"{what} needs the program {tool}, which the host lacks")
    draft.refusals.extend(dict.fromkeys(lacks))


def _lane_notes(inventory: Inventory, name: str, draft: HostDraft) -> None:
    host = inventory.hosts[name]
    for link in sorted(set(inventory.link_of[name].values())):
        lanes = [
            lane
            for lane in inventory.lanes[name]
            if lane.link == link and "mac" in lane.address and not isinstance(host.nics[lane.nic], E810Nic | SwitchNic)
        ]
        if len(lanes) > 1 and inventory.links[link].delivers is None:
            note = f"link {link}: {len(lanes)} lanes, 1 effective queue, others by ring: this family cannot steer"
            draft.notes.append(note + "; say delivers: by-lane where the fabric picks the queue")


def _checks(
    inventory: Inventory, name: str, intent: EngineIntent | None, expected: dict[str, Any], draft: HostDraft
) -> list[Check]:
    checks = [Check("config", "config", None, {"digest": digest(expected)}), *draft.checks]
    if intent is None:
        return checks
    checks.append(Check("engine", "engine", None, {}))
    checks.extend(Check(f"lane-{lane.lane}", "lane", lane.nic, lane.to_dict()) for lane in intent.lanes)
    checks.extend(link_checks(inventory, name, draft.steered))
    return checks


def link_checks(inventory: Inventory, name: str, steered: frozenset[str] | set[str] = frozenset()) -> list[Check]:
    """What a host and each of its peers prove together. steered: NICs of it whose rules bring each lane its frames."""
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
        own_rules = bool(mine) and all(lane["nic"] in steered for lane in mine)
        by_lane = udp or own_rules or inventory.links[link].delivers == "by-lane"
        delivers = "by-lane" if by_lane else "one-queue"
        data = {"link": link, "peer": peer, "lanes": mine, "peer_lanes": theirs, "delivers": delivers}
        checks.append(Check(f"link-{link}-{peer}", "link", str(mine[0]["nic"]) if mine else None, data))
    return checks


__all__ = ["BundleOffer", "Setting", "link_checks", "make_plan"]
