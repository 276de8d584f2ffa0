# SPDX-License-Identifier: Apache-2.0
"""The owned record: what we set on this host and what was there before, for everything that carries no mark of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterable

from tether_hw.agent import durable
from tether_hw.agent.errors import AgentError
from tether_hw.plan.effects import MISSING, Change, look_up
from tether_hw.plan.owned import merge

SCHEMA = "tether.owned/1"


class Owned:
    """{"schema", "config": [{"path", "before", "set"}], "bundles": [digest], "user": name or null}.

    Once a run was kept also "kept": the newest whose changes are in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Any]:
        document = durable.read_json(self.path)
        if document is None:
            return {"schema": SCHEMA, "config": [], "bundles": [], "user": None}
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise AgentError("%s is not an owned record" % self.path)
        return document

    def entries(self) -> list[dict[str, Any]]:
        return list(self.read()["config"])

    def place(self, bundle: str, user: str | None) -> None:
        """Note a bundle that was unpacked and a system user that we made."""
        document = self.read()
        document["bundles"] = sorted({*document["bundles"], bundle})
        document["user"] = user or document["user"]
        durable.write_json(self.path, document, 0o644)

    def kept(self, run: str, changes: Iterable[Change]) -> None:
        """A confirmed run's changes are ours now; doing it twice is the same as once.

        By its name: what it put back to what was there before us is not in the record any more, so by the entries alone
        the second time would take it for somebody else's.
        """
        document = self.read()
        if document.get("kept") == run:
            return
        document["config"] = merge(document["config"], changes)
        document["kept"] = run
        durable.write_json(self.path, document, 0o644)

    def given_back(self, changes: Iterable[Change], config: dict[str, Any]) -> None:
        """A confirmed run was taken back: what is as it was before we came is ours no more."""
        document = self.read()
        document["config"] = unmerge(document["config"], changes, config)
        durable.write_json(self.path, document, 0o644)


def unmerge(entries: list[dict[str, Any]], changes: Iterable[Change], config: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries after these changes were undone and the host's config is `config`.

    What is as it was before we ever came falls out, and so does what somebody else changed since: it is not ours.
    What is as it was before this run stays, set by an earlier one.
    """
    touched: dict[tuple[str, ...], Any] = {}
    for change in changes:
        touched.setdefault(change.path, change.before)
    left = []
    for entry in entries:
        path = tuple(entry["path"])
        if path in touched:
            now = look_up(config, path)
            if now is MISSING or now == entry["before"] or now != touched[path]:
                continue
            entry = dict(entry, set=now)
        left.append(entry)
    return left
