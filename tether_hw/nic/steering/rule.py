# SPDX-License-Identifier: Apache-2.0
"""One steering rule on one device: it crosses in plans, so it lives there; families know it by this name."""

from __future__ import annotations

from tether_hw.plan.rule import (
    ACTIONS,
    DROP,
    ETHERTYPE,
    EXACT,
    GOTO,
    HANDLE_BASE,
    LOST,
    MOST_CHAIN,
    MOST_RULES,
    OFFLOADS,
    OUR_PREFS,
    PREF_TAGGED,
    PREF_UNTAGGED,
    QUEUE,
    REDIRECT,
    MacMatch,
    Rule,
    lost,
    same_mask,
)
from tether_hw.plan.rule_police import Police

__all__ = [
    "ACTIONS",
    "DROP",
    "ETHERTYPE",
    "EXACT",
    "GOTO",
    "HANDLE_BASE",
    "LOST",
    "MOST_CHAIN",
    "MOST_RULES",
    "OFFLOADS",
    "OUR_PREFS",
    "PREF_TAGGED",
    "PREF_UNTAGGED",
    "QUEUE",
    "REDIRECT",
    "MacMatch",
    "Police",
    "Rule",
    "lost",
    "same_mask",
]
