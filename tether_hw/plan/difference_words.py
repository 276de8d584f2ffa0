# SPDX-License-Identifier: Apache-2.0
"""Differences of two configs in words for people."""

from __future__ import annotations

from typing import Any

from tether_hw.plan.shape import HEX64

_MOST = 12


def brief(value: Any) -> str:
    """A value of config in a few characters."""
    text = "absent" if value is None else str(value)
    if isinstance(value, str) and HEX64.match(value):
        return text[:12]
    return text if len(text) <= 40 else text[:37] + "..."


def in_words(found: list[dict[str, Any]]) -> str:
    """Differences in one line: what was and what is."""
    return _listed([f"{_path(one)} was {brief(one['before'])}, is {brief(one['after'])}" for one in found])


def not_as_planned(found: list[dict[str, Any]]) -> str:
    """Differences of what was planned (before) and what is (after), in one line."""
    return _listed([f"{_path(one)} is {brief(one['after'])}, planned is {brief(one['before'])}" for one in found])


def _path(difference: dict[str, Any]) -> str:
    return ".".join(difference["path"])


def _listed(words: list[str]) -> str:
    more = len(words) - _MOST
    return "; ".join([*words[:_MOST], f"and {more} more"] if more > 0 else words)
