# SPDX-License-Identifier: Apache-2.0
"""The entries of the owned record after a run: what was there before us, and what we set last."""

from __future__ import annotations

from typing import Any, Iterable

from tether_hw.plan.effects import Change


def merge(entries: list[dict[str, Any]], changes: Iterable[Change]) -> list[dict[str, Any]]:
    """The entries after these changes: the first `before` of a path stays, `set` is the last; equal ones fall out."""
    by_path = {tuple(entry["path"]): dict(entry) for entry in entries}
    for change in changes:
        entry = by_path.setdefault(change.path, {"path": list(change.path), "before": change.before})
        entry["before"] = with_strangers(entry["before"], entry.get("set"), change.before)
        entry["set"] = change.after
    return [by_path[path] for path in sorted(by_path) if by_path[path]["before"] != by_path[path]["set"]]


def with_strangers(before: Any, set_by_us: Any, now: Any) -> Any:
    """What was there before us in a table of rules, with what others have put there since we last did."""
    tables = (before, set_by_us, now)
    if not all(isinstance(table, dict) and isinstance(table.get("rules"), dict) for table in tables):
        return before
    came = {place: rule for place, rule in now["rules"].items() if set_by_us["rules"].get(place) != rule}
    return {**before, "rules": {**before["rules"], **came}}
