# SPDX-License-Identifier: Apache-2.0
"""Rosters without keys that are revoked, and steps that would otherwise bring such a key back. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from tether_hw.plan.canonical import file_text, text_digest
from tether_hw.plan.effects import Change, Condition
from tether_hw.plan.kinds.engine_roster import EngineRoster
from tether_hw.plan.step import Step, StepUndo

_Path = tuple[str, ...]
_ROSTER: _Path = ("engine", "roster")
_DIGEST: _Path = ("engine", "roster_sha256")


def keys_in(roster: Any) -> dict[str, str]:
    """Key -> name of its peer, for every key of a roster document."""
    peers = roster.get("peers") if isinstance(roster, dict) else None
    return {key: str(peer["name"]) for peer in peers or [] for key in peer["keys"]}


def without(roster: Any, keys: Collection[str]) -> Any:
    """The roster without these keys, and without peers that have no other."""
    if not set(keys_in(roster)) & set(keys):
        return roster
    peers = [{**peer, "keys": [key for key in peer["keys"] if key not in keys]} for peer in roster["peers"]]
    return {**roster, "peers": [peer for peer in peers if peer["keys"]]}


def digest_of(roster: Any, former: Any, sha256: Any) -> Any:
    """The digest of the file of a roster that was made from `former`, whose file has the digest `sha256`."""
    return sha256 if roster == former or roster is None else text_digest(file_text(roster))


def config_without(config: dict[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """A config whose roster has none of these keys."""
    engine = config["engine"]
    roster = without(engine["roster"], keys)
    sha256 = digest_of(roster, engine["roster"], engine["roster_sha256"])
    return {**config, "engine": {**engine, "roster": roster, "roster_sha256": sha256}}


def step_without(step: Step, keys: Collection[str]) -> Step:
    """The step as it would be had these keys never been: what it finds, leaves and puts back."""
    if step.kind != EngineRoster.kind or not keys:
        return step

    def conditions(of: tuple[Condition, ...]) -> tuple[Condition, ...]:
        found: dict[_Path, Any] = {condition.path: condition.equals for condition in of}
        roster = without(found.get(_ROSTER), keys)
        sha256 = digest_of(roster, found.get(_ROSTER), found.get(_DIGEST))
        new = {_ROSTER: roster, _DIGEST: sha256}
        return tuple(Condition(one.path, new.get(one.path, one.equals)) for one in of)

    def side(of: str) -> dict[_Path, Any]:
        found = {change.path: getattr(change, of) for change in step.effect}
        return {one.path: one.equals for one in conditions(tuple(Condition(*pair) for pair in found.items()))}

    before, after = side("before"), side("after")
    undo = step.undo
    content = before.get(_ROSTER)
    if undo is not None and content != {change.path: change.before for change in step.effect}.get(_ROSTER):
        # The bytes that the snapshot keeps have the key as well, so what it would restore is written without it.
        undo = StepUndo({"action": "write", "content": content, "sha256": before[_DIGEST]}, undo.argv)
    data = step.data
    if data["action"] == "write":
        left = without(data["content"], keys)
        data = {**data, "content": left, "sha256": digest_of(left, data["content"], data["sha256"])}
    return replace(
        step,
        data=data,
        pre=conditions(step.pre),
        post=conditions(step.post),
        effect=tuple(Change(change.path, before[change.path], after[change.path]) for change in step.effect),
        undo=undo,
    )
