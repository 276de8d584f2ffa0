# SPDX-License-Identifier: Apache-2.0
"""The law of a transaction of machines of a model: wishes hold, a second plan is empty, taken back is as before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.drivers.common.picture import Picture
from tests.drivers.common.rules import bitten, denied, known, seen
from tests.drivers.common.transaction import Applied, Scene


@dataclass
class Account:
    """What many machines came to."""

    applied: int = 0
    refused: int = 0
    empty: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    traps: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Family:
    """What the law asks of a model. wrong: what of a wish does not hold. files: what lies beside every inventory."""

    model: str
    build: Callable[[Path, Any], Any]
    picture: Callable[[Any], Picture]
    wrong: Callable[[Any, Any], list[str]]
    files: Callable[[], dict[str, bytes]] = dict
    scene: Callable[..., Any] = Scene
    fit: Callable[[Any, Any], Any] = lambda begin, wish: wish


def hold(family: Family, folder: Path, begin: Any, wishes: list[Any], account: Account) -> None:
    """Apply the wishes one over the other, then take them back, last first."""
    scene = family.scene(family.build(folder, begin), folder)
    boots: bool = getattr(begin, "boots", False)
    done: list[tuple[Picture, Applied]] = []
    with seen(bitten) as bites:
        for wish in [family.fit(begin, wish) for wish in wishes]:
            before = family.picture(scene.machine)
            applied = _apply(family, scene, wish, account)
            if applied is None:
                assert not before.differences(family.picture(scene.machine)), "a refused plan touched the host"
            else:
                done.append((before, applied))
                if boots:
                    _boot(family, scene, wish, applied)
        for before, applied in reversed(done):
            record = scene.roll_back(applied)
            assert record["restored"], record
            found = before.differences(family.picture(scene.machine))
            assert not found, f"not as before: {found}"
    strange = set(bites) - set(known(family.model))
    assert not strange, f"not in the list of {family.model}: {strange}"


def _boot(family: Family, scene: Scene, wish: Any, applied: Applied) -> None:
    """A boot that nobody asked for: the boot plan makes the wish again."""
    result = scene.boots()
    assert result is None or result["ok"], result
    assert applied.boot is None or not family.wrong(scene.machine, wish), family.wrong(scene.machine, wish)


def _apply(family: Family, scene: Scene, wish: Any, account: Account) -> Applied | None:
    inventory = scene.inventory(wish.nics(), family.files())
    plan = scene.plan(inventory)
    if plan.refusals:
        account.refused += 1
        account.reasons.update(str(refusal["reason"]).partition(": ")[2][:60] for refusal in plan.refusals)
        return None
    if not plan.steps:
        account.empty += 1
        assert not family.wrong(scene.machine, wish), family.wrong(scene.machine, wish)
        return None
    with seen(denied) as noes, seen(bitten) as traps:
        applied = scene.apply(inventory, plan)
    assert applied.state == "confirmed", f"{applied.why}\n" + "\n".join(step.summary for step in plan.steps)
    assert not noes, f"the plan ran into {dict(noes)}"
    assert not family.wrong(scene.machine, wish), family.wrong(scene.machine, wish)
    again = scene.plan(inventory)
    assert not again.refusals, again.refusals
    assert not again.steps, [step.summary for step in again.steps]
    account.applied += 1
    account.steps.update(step.kind for step in plan.steps)
    account.traps.update(traps)
    return applied
