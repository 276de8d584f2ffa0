# SPDX-License-Identifier: Apache-2.0
"""The engine's part of a host's plan: can it carry what is asked for, and what makes it so. Pure."""

from __future__ import annotations

from tether_hw.fleet.draft import BundleOffer, HostDraft, Setting
from tether_hw.fleet.engine_intent import EngineIntent, engine_user, taken_over
from tether_hw.fleet.inventory import Inventory
from tether_hw.fleet.removals import engine_is_ours
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.engine_config import EngineConfig
from tether_hw.plan.kinds.engine_file import EngineFile
from tether_hw.plan.kinds.engine_roster import EngineRoster
from tether_hw.plan.kinds.engine_service import EngineService


def carriers(inventory: Inventory, name: str, draft: HostDraft, setting: Setting) -> None:
    """Carriers that neither the bundle nor the host has are refusals."""
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


def engine_steps(
    inventory: Inventory,
    name: str,
    draft: HostDraft,
    intent: EngineIntent | None,
    bundle: BundleOffer | None,
    setting: Setting,
) -> list[tuple[str | None, StepData]]:
    """Files, roster and service of the engine; its removal where no lane is left."""
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
    if steps and engine["service"] == "running" and not draft.nic_steps and not record_differs:
        restart = not taken_over(engine["config"], intent.config, draft.paths.engine_config)
        steps = [(None, config if restart else config.while_running())]
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
