# SPDX-License-Identifier: Apache-2.0
"""Golden cases of the planner: a YAML file says inventories and facts, and what plan comes of them.

about      what the case shows
previous   inventories that were applied before, in order (with what each left in the owned record)
inventory  the inventory that is planned
keys       host -> public key; "made" gives each host the same digit 64 times
packages   file beside the inventory -> {make, version} of a package made here; `sha256: of FILE` names its digest
facts      host -> {devices: {name: driver}, config, status, selectors}: what differs from an untouched host;
           {card: {config, status, search}} gives it an E810 with the ports eth1 and eth2, changed by these;
           search: where its driver looks for packages, in this order; {cx7: {config, status}} gives it a ConnectX-7
           with cx0 and cx1, {sim: {config, status}} a device of netdevsim with sim0, {arm: ...}, {arm_bare: ...} and
           {around: ...} Arm and host of a BlueField-3 in mode dpu (p0, p1; bf0, bf1), {around_nic: ...} host in nic
bundle     newer: another one than was applied before; without-xdp: its engine lacks that carrier
forced     true: rules that hardware is known not to take are planned all the same (apply --force-unproven)
meanwhile  host -> what somebody else changed of config after the first of `previous` was applied
irreversible  the reason that a step gives for having no undo
later      reasons for which a plan made after this one is refused: what people must do first
pains      numbers of tests/pains.yaml that it answers for
expect     host -> {steps: [{step, disruption, summary, argv, undo}], refusals, notes}, and not_for_apply
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from tests.support import facts_bluefield, facts_cx7, fleet_facts
from tests.support.e810_packages import package_bytes
from tether_hw.fleet import packages
from tether_hw.fleet.inventory import Inventory, load
from tether_hw.fleet.planner import Setting, make_plan
from tether_hw.plan.facts import Facts
from tether_hw.plan.owned import merge as merge_owned
from tether_hw.plan.plan import HostPlan, Plan

DIGEST = re.compile(r"\b[0-9a-f]{12}\b")  # of a file whose defaults may grow
SHA256 = re.compile(r"\b[0-9a-f]{64}\b")
SHA_OF = re.compile(r"\bof ([a-z0-9-]+\.pkg)")
FOLDER = Path(__file__).resolve().parents[1] / "cases"
#: Word of a case's facts -> the card that a host has.
MAKES = {
    "cx7": facts_cx7.card,
    "sim": facts_cx7.simulated,
    "arm": facts_bluefield.arm,
    "arm_bare": facts_bluefield.arm_bare,
    "around": facts_bluefield.around,
    "around_nic": facts_bluefield.around_nic,
}


@dataclass(frozen=True)
class Case:
    """One case, read."""

    path: Path
    document: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path.stem


def cases() -> list[Case]:
    """All cases."""
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        unknown = set(document) - {
            "about",
            "previous",
            "inventory",
            "keys",
            "facts",
            "packages",
            "bundle",
            "forced",
            "meanwhile",
            "irreversible",
            "later",
            "pains",
            "expect",
        }
        assert not unknown, f"{path.name}: {unknown}"
        found.append(Case(path, document))
    return found


def key_of(name: str) -> str:
    """The public key of a host in cases that do not name it."""
    return f"{sum(name.encode()) % 256:02x}" * 32


def inventory(case: Case, document: dict[str, Any], folder: Path) -> Inventory:
    """An inventory of the case, loaded as any other."""
    path = folder / "inventory.yaml"
    digests = {}
    for name, data in package_files(case).items():
        (folder / name).write_bytes(data)
        digests[name] = hashlib.sha256(data).hexdigest()
    text = yaml.safe_dump(document, sort_keys=False)
    path.write_text(SHA_OF.sub(lambda match: digests[match[1]], text), encoding="utf-8")
    keys = case.document.get("keys", "made")
    if keys == "made":
        keys = {name: key_of(name) for name in document["hosts"]}
    text = yaml.safe_dump({"hosts": {name: {"keys": [key]} for name, key in keys.items()}})
    path.with_suffix(".keys.yaml").write_text(text, encoding="utf-8")
    return load(path)


def package_files(case: Case) -> dict[str, bytes]:
    """The packages beside the inventory of a case."""
    files = case.document.get("packages", {})
    return {name: package_bytes(spec["make"], spec.get("version")) for name, spec in files.items()}


def starting_facts(case: Case) -> dict[str, Facts]:
    """The facts that the case says, before anything was applied."""
    result = {}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in package_files(case).items()}
    text = SHA_OF.sub(lambda match: digests[match[1]], yaml.safe_dump(case.document["facts"]))
    for name, spec in yaml.safe_load(text).items():
        config = fleet_facts.merge({"keys": {"node": key_of(name)}}, spec.pop("config", {}))
        status = spec.pop("status", {})
        if "card" in spec:
            card = spec.pop("card") or {}
            of_card, standing = fleet_facts.card(card.get("config"), card.get("status"))
            if "search" in card:
                files = of_card["cards"][fleet_facts.CARD]["files"]
                of_card["cards"][fleet_facts.CARD]["files"] = {path: files.get(path) for path in card["search"]}
                standing["cards"][fleet_facts.CARD]["search"] = card["search"]
            config, status = fleet_facts.merge(of_card, config), fleet_facts.merge(standing, status)
        for word, make in MAKES.items():
            if word in spec:
                differs = spec.pop(word) or {}
                of_card, standing = make(differs.get("config"), differs.get("status"))
                config, status = fleet_facts.merge(of_card, config), fleet_facts.merge(standing, status)
        if isinstance(case.document.get("keys", "made"), dict) and "keys" not in case.document["facts"][name].get(
            "config", {}
        ):
            config["keys"] = {"node": case.document["keys"].get(name)}
        result[name] = fleet_facts.facts(
            name, spec.pop("devices", {"eth1": "ice", "eth2": "ice"}), config, status, spec.pop("selectors", None)
        )
        assert not spec, spec
    return result


def applied(facts: Facts, plan: HostPlan) -> Facts:
    """The facts after a confirmed run of the plan: what it changed is in the owned record."""
    owned = merge_owned(facts.status["owned"], [change for step in plan.steps for change in step.effect])
    return replace(facts, config=plan.expected(), status={**facts.status, "owned": owned})


def run(case: Case, folder: Path) -> tuple[Inventory, dict[str, Facts], Plan]:
    """The inventory, the facts that are planned from, and the plan."""
    facts = starting_facts(case)
    for number, document in enumerate(case.document.get("previous", [])):
        loaded = inventory(case, document, folder)
        there = {name: found for name, found in facts.items() if name in loaded.hosts}
        plan = make_plan(loaded, there, replace(fleet_facts.setting(), packages=packages.load(loaded)))
        assert not plan.refusals, plan.refusals
        facts = {
            name: applied(found, plan.hosts[name]) if name in plan.hosts else found for name, found in facts.items()
        }
        for name, change in case.document.get("meanwhile", {}).items() if number == 0 else ():
            facts[name] = replace(facts[name], config=fleet_facts.merge(facts[name].config, change))
    final = inventory(case, case.document["inventory"], folder)
    facts = {name: found for name, found in facts.items() if name in final.hosts}
    return final, facts, make_plan(final, facts, setting_of(case, final))


def setting_of(case: Case, inventory: Inventory) -> Setting:
    """The suite that the case plans with, and the files that the inventory refers to."""
    word = case.document.get("bundle")
    found = packages.load(inventory)
    forced = bool(case.document.get("forced", False))
    if word == "without-xdp":
        return replace(fleet_facts.setting(carriers=("af_packet", "udp")), packages=found, forced=forced)
    setting = fleet_facts.setting(fleet_facts.NEWER_BUNDLE if word == "newer" else fleet_facts.BUNDLE)
    return replace(setting, packages=found, forced=forced)


def seen(plan: Plan, names: list[str], folder: Path) -> dict[str, Any]:
    """The plan as cases spell it: digests as ..., files of the case by their names."""
    result: dict[str, Any] = {}
    for name in names:
        entry: dict[str, Any] = {"steps": []}
        if name in plan.hosts:
            for step in plan.hosts[name].steps:
                undo = [_words(argv) for argv in step.undo.argv] if step.undo else step.undo_reason
                entry["steps"].append(
                    {
                        "step": step.id,
                        "disruption": step.disruption,
                        "summary": DIGEST.sub("...", step.summary),
                        "argv": [_words(argv) for argv in step.argv],
                        "undo": undo,
                    }
                )
        entry["refusals"] = [
            SHA256.sub("...", refusal["reason"]).replace(f"{folder}/", "")
            for refusal in plan.refusals
            if refusal["host"] == name
        ]
        entry["notes"] = [note["note"] for note in plan.notes if note["host"] == name]
        result[name] = {key: value for key, value in entry.items() if value}
    if plan.not_for_apply:
        result["not_for_apply"] = list(plan.not_for_apply)
    return result


def _words(argv: tuple[str, ...]) -> str:
    return SHA256.sub("...", " ".join(argv))
