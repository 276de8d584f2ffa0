# SPDX-License-Identifier: Apache-2.0
"""What is proved after the steps, as data: the agent of one host proves local checks, both ends prove link checks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tether_hw.plan.function_name import FUNCTION
from tether_hw.plan.lane import Lane
from tether_hw.plan.rule import SYMBOLIC
from tether_hw.plan.rules_table import LOCATION, PLACE, parse_wanted
from tether_hw.plan.shape import HEX64, NAME, Fields, integer_item

#: config: the facts' config has this digest. engine: it answers on its socket. lane: its socket is on its queue, with
#: this carrier. rules: steering rules are there, in hardware where they may be. link: engine frames from the peer
#: arrive on the queues of these lanes, none misdirected.
LOCAL_CHECKS = ("config", "engine", "lane", "rules")
LINK_CHECKS = ("link",)
#: Made of a host's rules and its links when they are proved: the rules count the frames of a peer.
COUNTER_CHECKS = ("counters",)
PROVED, FAILED, NOT_NOW = "proved", "failed", "not provable now"
#: Rules are there and work, but hardware did not take them: kept where that was allowed, and told.
IN_SOFTWARE = "in software"
RESULTS = (PROVED, FAILED, NOT_NOW, IN_SOFTWARE)
RULE_TABLES = ("ntuple", "flower", "reps")
PLACE_OR_LOCATION = re.compile(f"(?:{LOCATION.pattern}|{PLACE.pattern})")


@dataclass(frozen=True)
class Check:
    """One thing to prove. `data` by check: config {"digest"}; engine {}; lane: a Lane; rules: {"function", "table":
    ntuple, flower or reps (then "port" says on what), "rules": {place: rule}}; link: {"link", "peer", "lanes",
    "peer_lanes", "delivers"}."""

    id: str
    check: str
    nic: str | None
    data: dict[str, Any]

    @property
    def scope(self) -> str:
        return "link" if self.check in LINK_CHECKS else "local"

    def to_dict(self) -> dict[str, Any]:
        return {"id": self.id, "check": self.check, "nic": self.nic, "data": self.data}

    @classmethod
    def parse(cls, value: Any, where: str = "check") -> Check:
        fields = Fields(value, where)
        check = cls(
            fields.text("id", limit=256),
            fields.one_of("check", LOCAL_CHECKS + LINK_CHECKS),
            fields.optional_text("nic", NAME),
            fields.plain("data"),
        )
        fields.done()
        _check_data(check, fields.at("data"))
        return check


def _check_data(check: Check, where: str) -> None:
    if check.check == "lane":
        Lane.parse(check.data, where)
        return
    fields = Fields(check.data, where)
    if check.check == "config":
        fields.text("digest", HEX64)
    elif check.check == "rules":
        fields.text("function", FUNCTION)
        if fields.one_of("table", RULE_TABLES) == "reps":
            fields.text("port", SYMBOLIC)
        fields.table("rules", parse_wanted, PLACE_OR_LOCATION)
    elif check.check == "link":
        fields.text("link", NAME)
        fields.text("peer", NAME)
        fields.objects("lanes", _parse_link_lane, 256)
        fields.objects("peer_lanes", _parse_link_lane, 256)
        fields.one_of("delivers", ("by-lane", "one-queue"))
    fields.done()


def _parse_link_lane(value: Any, where: str) -> dict[str, Any]:
    fields = Fields(value, where)
    lane: dict[str, Any] = {
        "lane": integer_item(fields.take("lane"), fields.at("lane")),
        "nic": fields.text("nic", NAME),
        "queue": integer_item(fields.take("queue"), fields.at("queue")),
    }
    fields.done()
    return lane
