# SPDX-License-Identifier: Apache-2.0
"""The engine's roster: who may talk to it."""

from __future__ import annotations

from typing import Any

from tether_hw.plan.kinds.engine_file import EngineFile
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import HEX64, NAME, Fields


class EngineRoster(EngineFile):
    """`content` is a `tether.roster/1` document. A running engine is told to read it again: no channel is lost."""

    kind = "engine_roster"
    name = "roster"
    timeout_s = 30

    @classmethod
    def check(cls, content: dict[str, Any], where: str) -> None:
        fields = Fields(content, where)
        fields.schema("tether.roster/1")
        fields.objects("peers", _check_peer)
        fields.done()

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        return (*super().argv(paths), ("tether-engine", "reload"))

    def summary(self, config: dict[str, Any]) -> str:
        before = config["engine"]["roster"]
        names = _names(before if isinstance(before, dict) else {})
        after = _names(self.content or {})
        if self.action == "restore":
            return super().summary(config)
        added = [f"+{name}" for name in sorted(after - names)]
        removed = [f"-{name}" for name in sorted(names - after)]
        words = added + removed or ["addresses or keys of " + ", ".join(sorted(after)) if after else "empty"]
        return "roster " + " ".join(words)


def _names(roster: dict[str, Any]) -> set[str]:
    peers = roster.get("peers")
    if not isinstance(peers, list):
        return set()
    return {str(peer.get("name")) for peer in peers if isinstance(peer, dict)}


def _check_peer(value: Any, where: str) -> None:
    from tether_hw.plan.lane import parse_address

    fields = Fields(value, where)
    fields.text("name", NAME)
    fields.text("link", NAME)
    parse_address(fields.take("hail"), fields.at("hail"))
    if fields.has("lane"):  # 0 goes without saying
        fields.integer("lane", 0, 255)

    def key(item: Any, at: str) -> str:
        if not isinstance(item, str) or not HEX64.match(item):
            raise fields.fail("keys", "a key is 64 hexadecimal digits")
        return item

    keys = fields.objects("keys", key, 2)
    if not keys:
        raise fields.fail("keys", "a peer has one or two keys")
    fields.done()
