# SPDX-License-Identifier: Apache-2.0
"""The law of a transaction of machines of the model: wishes hold, a second plan is empty, taken back is as before."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.drivers.common.rules import bitten, denied, seen
from tests.drivers.common.transaction import Applied, Scene
from tests.drivers.ice.draws import Begin, Picture, Wish, build_machine, files, unmet


@dataclass
class Account:
    """What many machines came to."""

    applied: int = 0
    refused: int = 0
    empty: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    traps: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)


def hold(folder: Path, begin: Begin, wishes: list[Wish], account: Account) -> None:
    """Apply the wishes one over the other, then take them back, last first."""
    scene = Scene(build_machine(folder, begin), folder)
    done: list[tuple[Picture, Applied]] = []
    for wish in wishes:
        before = Picture.of(scene.machine)
        applied = _apply(scene, wish, account)
        if applied is None:
            assert not before.differences(Picture.of(scene.machine)), "a refused plan touched the host"
        else:
            done.append((before, applied))
    for before, applied in reversed(done):
        record = scene.roll_back(applied)
        assert record["restored"], record
        found = before.differences(Picture.of(scene.machine))
        assert not found, f"not as before: {found}"


def _apply(scene: Scene, wish: Wish, account: Account) -> Applied | None:
    inventory = scene.inventory(wish.nics(), files())
    plan = scene.plan(inventory)
    if plan.refusals:
        account.refused += 1
        account.reasons.update(str(refusal["reason"]).partition(": ")[2][:60] for refusal in plan.refusals)
        return None
    if not plan.steps:
        account.empty += 1
        assert not unmet(scene.machine, wish)
        return None
    with seen(denied) as noes, seen(bitten) as traps:
        applied = scene.apply(inventory, plan)
    assert applied.state == "confirmed", f"{applied.why}\n" + "\n".join(step.summary for step in plan.steps)
    assert not noes, f"the plan ran into {dict(noes)}"
    assert not unmet(scene.machine, wish), unmet(scene.machine, wish)
    again = scene.plan(inventory)
    assert not again.refusals, again.refusals
    assert not again.steps, [step.summary for step in again.steps]
    account.applied += 1
    account.steps.update(step.kind for step in plan.steps)
    account.traps.update(traps)
    return applied
