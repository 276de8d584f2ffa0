# SPDX-License-Identifier: Apache-2.0
"""Plans through boots: a plan that boots a host goes on from what the boot leaves; each host gets a boot plan. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from tether_hw.fleet.draft import HostDraft
from tether_hw.plan.canonical import digest
from tether_hw.plan.cold import cold, wiped
from tether_hw.plan.difference_words import not_as_planned
from tether_hw.plan.effects import fold, look_up
from tether_hw.plan.facts import Facts, differences
from tether_hw.plan.kinds.base import StepData, make_step
from tether_hw.plan.kinds.host_reboot import HostReboot
from tether_hw.plan.order import in_order
from tether_hw.plan.owned import merge
from tether_hw.plan.plan import HostPlan
from tether_hw.plan.step import Step

Steps = list[tuple[str | None, StepData]]
#: Plans a host from other facts; the draft then has its notes and refusals.
Again = Callable[[HostDraft], Steps]


def make_steps(name: str, steps: Iterable[tuple[str | None, StepData]], draft: HostDraft, again: Again) -> list[Step]:
    """The steps of a host in their order; after a step that boots it, those that its new facts ask for."""
    ordered = in_order(steps)
    boots = [number for number, (_nic, data) in enumerate(ordered) if isinstance(data, HostReboot)]
    if not boots:
        return _made(name, ordered, draft.facts.config, draft, 1)
    for place in _not_ours(draft.facts):
        draft.refusals.append(f"{place}, which nobody of ours set, is gone after the boot that is needed: take it away")
    head = _made(name, ordered[: boots[-1] + 1], draft.facts.config, draft, 1)
    after = _again(draft, _afterwards(draft.facts, head))
    rest = in_order(again(after))
    if any(isinstance(data, HostReboot) for _nic, data in rest):
        draft.refusals.append("one boot is not enough for what waits for it: apply it in two plans")
        return head
    draft.refusals.extend(f"after its boot: {reason}" for reason in after.refusals)
    draft.checks, draft.steered = after.checks, after.steered
    return head + _made(name, rest, after.facts.config, draft, len(head) + 1)


def _not_ours(facts: Facts) -> list[str]:
    """What a boot takes away that no plan of ours put there: taking this run back could not bring it back."""
    owned = {tuple(entry["path"]): entry for entry in facts.status["owned"]}
    found = []
    for path, after in wiped(facts.config).items():
        if path[0] != "functions" or "nv" in path or path[2:] in (("mlx5", "vfs"), ("flower", "hook")):
            continue
        now = look_up(facts.config, path)
        place = next((path[:length] for length in range(len(path), 1, -1) if path[:length] in owned), None)
        before, ours = after, after
        if place is not None:
            before, ours = (look_up({"": owned[place][name]}, ("", *path[len(place) :])) for name in ("before", "set"))
        if isinstance(now, dict):
            kept = before if isinstance(before, dict) else {}
            words = f"{len(now)} of {path[-2]}" if path[-1] == "rules" else f"{path[-1]} {', '.join(sorted(now))}"
            foreign = place is None or any(now.get(key) == kept[key] for key in kept) or now != ours
        else:
            words = f"{path[-1]} {now}"
            foreign = place is None or now != ours or ours == before
        if foreign:
            found.append(f"{path[1]}: {words}")
    return sorted(found)


def _again(draft: HostDraft, facts: Facts) -> HostDraft:
    return HostDraft(facts, draft.paths, beside=draft.beside, resets=draft.resets)


def _made(name: str, ordered: Steps, config: dict[str, Any], draft: HostDraft, first: int) -> list[Step]:
    made: list[Step] = []
    for number, (nic, data) in enumerate(ordered, first):
        if isinstance(data, HostReboot) and made:
            # What the steps before it set, a boot sets back like all else that we set.
            owned = merge(draft.facts.status["owned"], [change for step in made for change in step.effect])
            data = replace(data, wipes=HostReboot.planned(config, owned, data.reason, data.budget).wipes)
        step = make_step(data, config, draft.paths, number, name, nic)
        config = fold(config, step.effect)
        made.append(step)
    return made


def _afterwards(facts: Facts, steps: list[Step], *, booted: bool = False) -> Facts:
    """The facts once the steps are confirmed; `booted`: and the host was booted after that."""
    changes = [change for step in steps for change in step.effect]
    owned = merge(facts.status["owned"], changes)
    config = fold(facts.config, changes)
    if booted:
        config = cold(config, owned)
    functions = {
        pci: status if config["functions"][pci]["vfs"] else {**status, "vf_drivers": {}, "representors": {}}
        for pci, status in facts.status["functions"].items()
    }
    # A driver in safe mode says less than it can do with a package.
    free = {
        function["device"]
        for pci, function in config["functions"].items()
        if function["card"] in config["cards"]
        and facts.config["cards"][function["card"]]["safe_mode"]
        and not config["cards"][function["card"]]["safe_mode"]
    }
    limits = {
        name: {**limit, "queues_max": None} if name in free else limit for name, limit in facts.status["limits"].items()
    }
    status = {**facts.status, "owned": owned, "functions": functions, "limits": limits}
    return replace(facts, config=config, status=status)


def _ours(difference: dict[str, Any], owned: list[dict[str, Any]], wanted: dict[str, Any]) -> bool:
    """Whether what a boot takes away is something that we set: what others put there is theirs to put there again."""
    path = tuple(difference["path"])
    if path[-1] in ("hook", "offload"):
        return False  # nothing without the rules on it, which are differences of their own
    if path[2:4] == ("mlx5", "vfs"):
        path = (*path[:2], "vfs")  # they come and go by their number
    value = look_up(wanted, path)
    for entry in owned:
        place = tuple(entry["path"])
        if path[: len(place)] == place:
            before, ours = (look_up({"": entry[name]}, ("", *path[len(place) :])) for name in ("before", "set"))
            return bool(ours == value != before)
    return False


def boot_plan(name: str, draft: HostDraft, steps: list[Step], bundle: str | None, again: Again) -> HostPlan | None:
    """What makes a host again, after any boot, what it is after these steps. None, with a note, where no plan does."""
    if not steps:
        return None
    wanted = fold(draft.facts.config, [change for step in steps for change in step.effect])
    start = _again(draft, _afterwards(draft.facts, steps, booted=True))
    rest = again(start)
    config = start.facts.config
    why = list(start.refusals)
    if any(isinstance(data, HostReboot) for _nic, data in rest):
        why.append("it would boot again")
    made = [] if why else _made(name, in_order(rest), config, start, 1)
    owned = start.facts.status["owned"]
    after = fold(config, [change for step in made for change in step.effect])
    left = [one for one in differences(wanted, after) if _ours(one, owned, wanted)]
    if not why and left:
        why.append(not_as_planned(left))
    if why:
        draft.notes.append(f"after a boot it stays as it boots, until the next apply: {'; '.join(why)}")
        return None
    return HostPlan(
        host=name,
        root=draft.paths.root,
        facts_digest=digest(config),
        config=config,
        bundle=bundle,
        steps=tuple(made),
        checks=(),
    )
